"""Scoring what was found: figures, a calibrated threshold, and the report with its pictures."""

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from typing import get_args

from .arguments import file_path, flag, one_of
from .found import Found
from .outputs import REPORT, check_output
from .read import IdRule, Source, open_source, thumbnail
from .score import (
    Calibration,
    Evaluation,
    GroundTruth,
    Ranking,
    ScoredPairs,
    evaluate,
    evaluate_ranking,
    find_threshold,
    mismatch,
    rank_pairs,
    read_pairs,
    read_truth,
)
from .score.report import Missing, Picture, render_report
from .store.atomic import replacing

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class Scored:
    """Pairs and ground truth with what came out of them.

    classes: figures per edit class, labels: query -> class, both empty where no labels were given. origin: where pairs and
    truth come from, as far as it is known.
    """

    pairs: ScoredPairs
    truth: GroundTruth
    ranking: Ranking
    evaluation: Evaluation
    classes: dict[str, Evaluation]
    labels: Mapping[str, str] = field(default_factory=dict)
    origin: Mapping[str, str] = field(default_factory=dict)


def score_pairs(
    pairs: Found | ScoredPairs | PathLike,
    truth: GroundTruth | PathLike,
    *,
    labels: Mapping[str, str] | None = None,
    drop_unlabelled: bool = True,
    cap: bool = True,
) -> Scored:
    """Evaluate pairs (found, tables or files) the way the challenge does.

    labels: query -> edit class, for figures per class as well.
    Warns (UserWarning) when pairs and truth seem to be of different images.
    Raises: ScoreError; ValueError or TypeError for arguments that are not allowed.
    """
    flag("drop_unlabelled", drop_unlabelled)
    flag("cap", cap)
    origin = dict(pairs.origin) if isinstance(pairs, Found) else {}
    origin |= {
        name: str(value) for name, value in (("pairs", pairs), ("truth", truth)) if isinstance(value, str | os.PathLike)
    }
    table, truth = _tables(pairs, truth)
    ranking = rank_pairs(table, truth, drop_unlabelled=drop_unlabelled, cap=cap)
    labels = labels or {}
    classes = {}
    for name in sorted({labels.get(query, "") for query in truth.queries} - {""}):
        part = truth.restricted_to({query for query in truth.queries if labels.get(query) == name})
        if part.positives:
            classes[name] = evaluate(table, part, cap=cap)
    return Scored(table, truth, ranking, evaluate_ranking(ranking, len(truth.queries)), classes, labels, origin)


def calibrate(
    pairs: Found | ScoredPairs | PathLike,
    truth: GroundTruth | PathLike,
    *,
    precision: float | None = None,
    false_matches_per_query: float | None = None,
    confidence: float = 0.95,
    drop_unlabelled: bool = True,
    seed: int = 0,
) -> Calibration:
    """The lowest threshold that keeps ``precision``, or at most ``false_matches_per_query``; give one of the two.

    pairs: what a search found, a table or a file. All of them count, without the challenge's cap. A pair is a match when its
    score is at least the threshold. seed: of the bootstrap behind the interval.
    Warns (UserWarning) when pairs and truth seem to be of different images.
    Raises: ScoreError when no threshold does; ValueError for arguments out of range.
    """
    flag("drop_unlabelled", drop_unlabelled)
    table, truth = _tables(pairs, truth)
    return find_threshold(
        rank_pairs(table, truth, drop_unlabelled=drop_unlabelled, cap=False),
        len(truth.queries),
        precision=precision,
        false_matches_per_query=false_matches_per_query,
        confidence=confidence,
        seed=seed,
    )


def _tables(pairs: Found | ScoredPairs | PathLike, truth: GroundTruth | PathLike) -> tuple[ScoredPairs, GroundTruth]:
    if isinstance(pairs, Found):
        pairs = pairs.scored()
    table = pairs if isinstance(pairs, ScoredPairs) else read_pairs(file_path("pairs", pairs))
    truth = truth if isinstance(truth, GroundTruth) else read_truth(file_path("truth", truth))
    if truth.positives and (odd := mismatch(table, truth)):
        warnings.warn(odd, stacklevel=3)
    return table, truth


def save_report(
    scored: Scored,
    path: PathLike,
    *,
    title: str = "copytrace report",
    queries: PathLike | None = None,
    references: PathLike | None = None,
    ids: IdRule = "stem",
    stages: Mapping[str, float] | None = None,
    origin: Mapping[str, str] | None = None,
) -> list[Missing]:
    """Write the HTML report, with pictures from the sources that are given; returns what pictures are missing in it, and why.

    ids: how the sources' file names become ids, as in ``embed``. origin: more about where the figures come from, by name, such
    as bundle and precision, which a file of pairs does not tell.
    Warns (UserWarning) when pictures are missing.
    Raises: SourceError; StoreError, also when ``path`` is one of the pictures or a file of another kind.
    """
    if not isinstance(scored, Scored):
        raise TypeError(f"scored must be what score_pairs gives, not {type(scored).__name__}")
    one_of("ids", ids, get_args(IdRule))
    path = file_path("path", path)
    sources = {
        role: open_source(file_path(f"the source of {role} pictures", source), ids=ids)
        for role, source in (("query", queries), ("reference", references))
        if source is not None
    }
    check_output(path, REPORT, (file for source in sources.values() for file in source.files()))
    where = {
        "copytrace": version("copytrace"),
        "date": datetime.now().astimezone().isoformat(" ", "minutes"),
        **dict.fromkeys(("bundle", "precision"), "not told by a table of pairs"),
        **scored.origin,
        **{f"{role} pictures": source.name for role, source in sources.items()},
        **(origin or {}),
    }
    page, missing = render_report(
        title,
        scored.pairs,
        scored.truth,
        scored.ranking,
        scored.evaluation,
        classes=scored.classes,
        labels=scored.labels,
        stages=stages,
        origin=where,
        pictures={role: pictures_of(source) for role, source in sources.items()},
    )
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    if missing:
        some = "; ".join(f"{one.role} {one.id}: {one.reason}" for one in missing[:3])
        warnings.warn(f"{len(missing)} pictures are missing in {path}: {some}", stacklevel=2)
    return missing


def pictures_of(source: Source) -> Picture:
    """Small pictures of a source by id, for reports."""
    position = {name: i for i, name in enumerate(source.ids())}

    def picture(name: str) -> bytes | str:
        if name not in position:
            return f"not among the {len(position)} images of {source.name}, such as {next(iter(position))}"
        try:
            return thumbnail(source[position[name]].read()) or "not a usable image"
        except OSError as error:
            return error.strerror or str(error)

    return picture
