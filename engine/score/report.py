"""The HTML report: one self-contained file with figures, curves, and queries beside their best matches."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jinja2
import numpy as np

from ..outputs import REPORT_MARK
from .metric import Evaluation, Ranking
from .plots import precision_recall_png, score_histogram_png
from .tables import GroundTruth, ScoredPairs

Thumbnail = Callable[[str], bytes | None]
"""Id -> a small JPEG, or None where there is no picture."""

EXAMPLES = 24


@dataclass(frozen=True, slots=True)
class Match:
    """A query's best match and what became of it. kind: found, missed, false, or rejected."""

    kind: str
    query: str
    reference: str
    expected: str
    score: float


def best_matches(pairs: ScoredPairs, truth: GroundTruth, threshold: float) -> list[Match]:
    """Every labelled query with its best-scored pair, best scores first.

    found: a right pair above the threshold; false: a wrong pair above it; missed: a copy without a right pair above it;
    rejected: no copy, and nothing above the threshold.
    """
    expected: dict[str, str] = dict.fromkeys(truth.queries, "")
    expected.update(sorted(truth.positives))
    best: dict[str, tuple[float, str]] = {}
    for row in np.argsort(-pairs.scores, kind="stable"):
        best.setdefault(pairs.queries[row], (float(pairs.scores[row]), pairs.references[row]))
    matches = []
    for query, wanted in expected.items():
        score, reference = best.get(query, (-np.inf, ""))
        if score >= threshold:
            kind = "found" if (query, reference) in truth.positives else "false"
        else:
            kind = "missed" if wanted else "rejected"
        matches.append(Match(kind, query, reference, wanted, score))
    return sorted(matches, key=lambda match: (-match.score, match.query))


def render_report(
    title: str,
    pairs: ScoredPairs,
    truth: GroundTruth,
    ranking: Ranking,
    evaluation: Evaluation,
    *,
    classes: Mapping[str, Evaluation] | None = None,
    stages: Mapping[str, float] | None = None,
    query_picture: Thumbnail = lambda name: None,
    reference_picture: Thumbnail = lambda name: None,
) -> str:
    """The whole page as one string of HTML.

    classes: evaluations per edit class. stages: seconds, in thread time. The verdicts use the threshold of recall@P90, or the
    best score where there is none.
    """
    scores = ranking.scores
    threshold = evaluation.threshold_at_p90
    if threshold is None:
        threshold = float(np.nextafter(scores[0], np.inf)) if len(scores) else np.inf
    matches = best_matches(pairs, truth, threshold)
    by_kind = {kind: [m for m in matches if m.kind == kind] for kind in ("found", "missed", "false", "rejected")}
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("copytrace.engine.score", "templates"), autoescape=True, trim_blocks=True
    )
    return environment.get_template("report.html.j2").render(
        mark=REPORT_MARK,
        title=title,
        evaluation=evaluation,
        threshold=threshold,
        counts={kind: len(found) for kind, found in by_kind.items()},
        shown={kind: _spread(found) for kind, found in by_kind.items()},
        classes=classes or {},
        stages=stages or {},
        curve=_data_url(precision_recall_png(ranking, evaluation), "png"),
        histogram=_data_url(score_histogram_png(ranking), "png"),
        query_url=lambda name: _picture_url(query_picture(name)),
        reference_url=lambda name: _picture_url(reference_picture(name) if name else None),
    )


def _spread(matches: list[Match]) -> list[Match]:
    """At most EXAMPLES of them, evenly over the range of scores."""
    if len(matches) <= EXAMPLES:
        return matches
    return [matches[round(i * (len(matches) - 1) / (EXAMPLES - 1))] for i in range(EXAMPLES)]


def _data_url(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _picture_url(data: bytes | None) -> str | None:
    return None if data is None else _data_url(data, "jpeg")
