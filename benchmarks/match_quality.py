"""The tables of matching: micro-AP / recall@P90 of every step, per edit, with what a query and a reference cost.

    python -m benchmarks.match_quality FOLDER [--more SOURCE ...] [--steps NAME ...] [--reliability F.png] [--cache DIR]

FOLDER holds ``references/``, ``queries/``, ``edits.csv`` and ``ground_truth.csv`` or ``truth.csv``. SOURCE: more references, as
distractors. Nothing is chosen here. Pictures are made ready once for all steps; milliseconds are processor time over all
threads, of fifty queries made ready as a step needs them and of all of them matched, without the references. --reliability
draws how often the likeliest reference of a query is right, against its probability, in the step verify. --cache keeps the
pictures of references there, for the next run with the same bundle.
"""

import argparse
import pickle
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np

from copytrace.engine import Engine, Matched, Scored, ScoredPairs, score_pairs
from copytrace.engine.match.features import ROW_BYTES
from copytrace.engine.match.recall import memory_bytes, most_voted
from copytrace.engine.match.verify import Verifier
from copytrace.engine.matching import VOTED, Matcher, Mode
from copytrace.engine.pictures import Looks, Picture, picture_stream
from copytrace.engine.published import Rule
from copytrace.engine.read import Source, open_source
from copytrace.engine.references import References
from copytrace.engine.score import read_labels

from .evaluation import both, line
from .reliability import draw_reliability, likeliest

COSTED = 50


@dataclass(frozen=True)
class Step:
    """A row of the table. crops: those of references too. local_alone: candidates by votes, score by matches."""

    name: str
    mode: Mode = "views"
    turns: bool = True
    regions: bool = True
    crops: bool = False
    rule: Rule = "copytrace"
    local_alone: bool = False

    def looks(self, engine: Engine) -> Looks:
        if self.rule != "copytrace":
            return Looks.of_branches(engine.embedder)
        whole = Looks.of_queries(engine.embedder, local=self.mode != "views", turns=self.turns)
        return whole if self.regions else replace(whole, regions=0)

    def needed(self, picture: Picture) -> Picture:
        """A picture without the views that the step does not look at."""
        kinds = ["whole", *["turn"] * self.turns, *["region"] * self.regions]
        kept = [i for i, view in enumerate(picture.views) if view.kind in kinds]
        views = tuple(picture.views[i] for i in kept)
        features = None if self.mode == "views" else picture.features
        return replace(picture, views=views, descriptors=picture.descriptors[kept], features=features)


STEPS = (
    Step("global", turns=False, regions=False),
    Step("+ regions", turns=False),
    Step("+ turns (views)"),
    Step("+ reference crops", crops=True),
    Step("local alone", "full", False, False, local_alone=True),
    Step("verify", "verify"),
    Step("full", "full"),
    Step("isc2021", rule="isc2021"),
    Step("isc2021-plain", rule="isc2021-plain"),
)


def pictures_of(source: Source, looks: Looks, engine: Engine, cache: Path | None = None) -> list[Picture]:
    """The usable pictures of a source; kept in and taken from the folder ``cache``."""
    key = sha256(repr((engine.bundle.recipe, source.fingerprint(), looks)).encode()).hexdigest()[:24]
    path = cache / f"{key}.pickle" if cache else None
    if path is not None and path.is_file():
        with path.open("rb") as file:
            return list(pickle.load(file))
    made = [item for item in picture_stream(engine.embedder, source, looks) if isinstance(item, Picture)]
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            pickle.dump(made, file)
    return made


def local_alone(matcher: Matcher, pictures: Iterable[Picture]) -> list[tuple[str, str, float]]:
    """(query, reference, score) of the references with the most votes; matches on one map decide, votes where they tie."""
    rows, recall = [], matcher.recall
    assert recall is not None
    for query in pictures:
        assert query.features is not None
        votes = recall.votes([query.features])[0]
        numbers = most_voted(votes, VOTED)
        found = Verifier(query.features).verify_many([matcher.references.features[n] for n in numbers])
        for number, one in zip(numbers, found, strict=True):
            rows.append((query.id, matcher.references.ids[number], one.inliers + votes[number] / 1000.0))
    return rows


def measure(
    step: Step, engine: Engine, references: References, queries: Sequence[Picture], source: Source
) -> "Measured":
    matcher = Matcher(references, step.mode, rule=step.rule, engine=engine)
    found: list[Matched] = []
    start = time.process_time()
    if step.local_alone:
        rows = local_alone(matcher, queries)
    else:
        found = list(matcher.matched(queries))
        rows = [(query.query_id, match.reference_id, match.score) for query in found for match in query.matches]
    cost = (time.process_time() - start) / len(queries)
    start = time.process_time()
    sample = [source[i] for i in range(0, len(source), max(1, len(source) // COSTED))][:COSTED]
    for _ in picture_stream(engine.embedder, sample, step.looks(engine)):
        pass
    cost += (time.process_time() - start) / len(sample)
    return Measured(rows, found, 1000 * cost)


@dataclass(frozen=True)
class Measured:
    """(query, reference, score) of a step, what it found where that has probabilities, processor milliseconds a query."""

    rows: list[tuple[str, str, float]]
    found: list[Matched]
    milliseconds: float

    def scored(self, folder: Path) -> Scored:
        queries, ids, scores = zip(*self.rows, strict=True)
        labels = read_labels(folder / "edits.csv", "class_name")
        return score_pairs(ScoredPairs(list(queries), list(ids), np.array(scores)), truth_file(folder), labels=labels)


def truth_file(folder: Path) -> Path:
    return next(path for name in ("ground_truth.csv", "truth.csv") if (path := folder / name).is_file())


def reference_bytes(step: Step, references: References) -> float:
    """Stored for a reference, on average: descriptor; those of crops; local features and thumbnail; its rows in the index of
    votes."""
    total = references.descriptors.nbytes / len(references)
    total += 0.0 if references.crops is None else references.crops.nbytes / len(references)
    if step.mode != "views" or step.rule != "copytrace":
        rows = sum(map(len, references.features))
        total += rows * ROW_BYTES / len(references)
        total += float(np.mean([grey.nbytes for grey in references.thumbnails]))
        total += memory_bytes(rows) / len(references) if step.mode == "full" or step.rule != "copytrace" else 0.0
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--more", type=Path, nargs="*", default=[])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", nargs="*", default=[step.name for step in STEPS], choices=[s.name for s in STEPS])
    parser.add_argument("--reliability", type=Path)
    parser.add_argument("--cache", type=Path)
    args = parser.parse_args()
    engine = Engine(threads=args.threads)
    steps = [step for step in STEPS if step.name in args.steps]
    looks = Looks.of_references(engine.embedder, local=True, crops=any(step.crops for step in steps))
    places = [args.folder / "references", *args.more]
    references = References.of_pictures(
        [picture for place in places for picture in pictures_of(open_source(place), looks, engine, args.cache)]
    )
    print(f"{len(references)} references, {sum(map(len, references.features))} local features")
    source = open_source(args.folder / "queries")
    made: dict[Looks, list[Picture]] = {}
    results: dict[str, Scored] = {}
    print(line(["step", "all", "processor ms a query", "bytes a reference"]) + "\n|---|---|---|---|")
    for step in steps:
        published = step.rule != "copytrace"
        wanted = step.looks(engine) if published else Looks.of_queries(engine.embedder, local=True)
        if wanted not in made:
            made[wanted] = pictures_of(source, wanted, engine, args.cache)
        queries = made[wanted] if published else [step.needed(picture) for picture in made[wanted]]
        compared = references if step.crops else references.without_crops()
        measured = measure(step, engine, compared, queries, source)
        results[step.name] = measured.scored(args.folder)
        cells = [both(results[step.name]), f"{measured.milliseconds:.0f}", f"{reference_bytes(step, compared):.0f}"]
        print(line([step.name, *cells]), flush=True)
        if args.reliability and step.name == "verify":
            draw_reliability(*likeliest(measured.found, truth_file(args.folder)), args.reliability)
    print("\n" + line(["edit", *results]) + "\n" + "|---" * (1 + len(results)) + "|")
    for name in next(iter(results.values())).classes:
        print(line([name, *(both(scored, name) for scored in results.values())]))


if __name__ == "__main__":
    main()
