"""The HTML report: one self-contained file with figures, curves, and queries beside their best matches."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import jinja2

from ..outputs import REPORT_MARK
from .metric import Evaluation, Ranking
from .plots import precision_recall_png, score_histogram_png
from .tables import GroundTruth, ScoredPairs
from .verdicts import KINDS, Verdict, verdicts

Picture = Callable[[str], bytes | str]
"""Id -> a small JPEG, or why there is none."""

EXAMPLES = 24


@dataclass(frozen=True, slots=True)
class Missing:
    """A picture that the report should show and cannot. role: "query" or "reference"."""

    role: str
    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class _Figure:
    """One picture of a card: what it is, its id, and its data URL, or why there is none."""

    caption: str
    id: str
    url: str | None
    reason: str


def render_report(
    title: str,
    pairs: ScoredPairs,
    truth: GroundTruth,
    ranking: Ranking,
    evaluation: Evaluation,
    *,
    classes: Mapping[str, Evaluation] | None = None,
    labels: Mapping[str, str] | None = None,
    stages: Mapping[str, float] | None = None,
    origin: Mapping[str, str] | None = None,
    pictures: Mapping[str, Picture] | None = None,
) -> tuple[str, list[Missing]]:
    """The whole page as one string of HTML, and the pictures that it should show and cannot.

    classes: evaluations per edit class. labels: query -> edit class. stages: seconds, in thread time. origin: where the
    figures come from, by name. pictures: by role, "query" and "reference"; a role that is not there has no pictures and misses
    none. The verdicts use the threshold of recall@P90; where there is none, no pair is a match.
    """
    album = _Album(pictures or {})
    found = verdicts(pairs, truth, evaluation.threshold_at_p90, labels)
    by_kind = {kind: [verdict for verdict in found if verdict.kind == kind] for kind in KINDS}
    shown = {
        KINDS[kind]: [(verdict, album.figures(verdict)) for verdict in _spread(some)]
        for kind, some in by_kind.items()
        if some
    }
    page = render_page(
        "report.html.j2",
        title=title,
        evaluation=evaluation,
        counts={kind: len(some) for kind, some in by_kind.items()},
        headings=KINDS,
        shown=shown,
        classes=classes or {},
        stages=stages or {},
        origin=origin or {},
        pictures=album.shown,
        without=[role for role in ("query", "reference") if role not in (pictures or {})],
        missing=album.missing,
        curve=data_url(precision_recall_png(ranking, evaluation), "png"),
        histogram=data_url(score_histogram_png(ranking), "png"),
    )
    return page, album.missing


class _Album:
    """The pictures of the cards; remembers which are missing."""

    def __init__(self, pictures: Mapping[str, Picture]) -> None:
        self._pictures = pictures
        self.missing: list[Missing] = []
        self.shown = 0
        self._look_up = cache(self._first_look)

    def figures(self, verdict: Verdict) -> list[_Figure]:
        """Query and best match; where that is not right, what was expected too."""
        figures = [self._figure("query", "query", verdict.query)]
        if verdict.reference is None:
            figures.append(_Figure("best match", "", None, "no pair has this query"))
        else:
            figures.append(self._figure("best match", "reference", verdict.reference))
        if not verdict.expected:
            figures.append(_Figure("expected", "no copy", None, "no copy expected"))
        elif not verdict.right:
            more = len(verdict.expected) - 1
            caption = f"expected, and {more} more" if more else "expected"
            figures.append(self._figure(caption, "reference", verdict.expected[0]))
        return figures

    def _figure(self, caption: str, role: str, name: str) -> _Figure:
        url, reason = self._look_up(role, name)
        return _Figure(caption, name, url, reason)

    def _first_look(self, role: str, name: str) -> tuple[str | None, str]:
        if role not in self._pictures:
            return None, "no pictures given"
        self.shown += 1
        found = self._pictures[role](name)
        if isinstance(found, bytes):
            return data_url(found, "jpeg"), ""
        self.missing.append(Missing(role, name, found))
        return None, "picture missing"


def _spread(some: list[Verdict]) -> list[Verdict]:
    """At most EXAMPLES of them, evenly over the range of scores."""
    if len(some) <= EXAMPLES:
        return some
    return [some[round(i * (len(some) - 1) / (EXAMPLES - 1))] for i in range(EXAMPLES)]


def render_page(template: str, **values: object) -> str:
    """One of the package's pages as a string of HTML, all values escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("copytrace.engine.score", "templates"), autoescape=True, trim_blocks=True
    )
    return environment.get_template(template).render(mark=REPORT_MARK, **values)


def data_url(data: bytes, kind: str) -> str:
    """A picture (kind "png" or "jpeg") as a URL that holds it."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
