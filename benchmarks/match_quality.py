"""The table of matching: micro-AP / recall@P90 of every step, per edit, and milliseconds a query.

    python -m benchmarks.match_quality FOLDER [--more SOURCE] [--threads 2]

FOLDER holds ``references/``, ``queries/``, ``edits.csv`` and ``ground_truth.csv`` or ``truth.csv``. SOURCE: more references, as
distractors. Nothing is chosen here. Milliseconds are processor time over all threads, without the references.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from copytrace.engine import Engine, Scored, ScoredPairs, score_pairs
from copytrace.engine.matching import Matcher, Mode
from copytrace.engine.pictures import Looks, Picture, picture_stream
from copytrace.engine.read import open_source
from copytrace.engine.references import References
from copytrace.engine.score import read_labels

from .evaluation import both, line


@dataclass(frozen=True)
class Step:
    """A row of the table."""

    name: str
    mode: Mode
    turns: bool = True
    regions: int = 3


STEPS = (
    Step("global", "views", False, 0),
    Step("+ regions", "views", False),
    Step("+ turns (views)", "views"),
    Step("verify", "verify"),
    Step("full", "full"),
)


def gather(engine: Engine, places: list[Path]) -> References:
    """The images of several sources as references."""
    looks = Looks.of_references(engine.embedder, local=True)
    streams = [picture_stream(engine.embedder, open_source(place), looks) for place in places]
    return References.of_pictures([item for stream in streams for item in stream if isinstance(item, Picture)])


def measure(step: Step, engine: Engine, references: References, folder: Path) -> tuple[Scored, float]:
    """Figures, and milliseconds a query."""
    matcher = Matcher(references, step.mode, engine=engine, turns=step.turns, regions=step.regions)
    source = open_source(folder / "queries")
    start = time.process_time()
    found = list(matcher.match_source(source))
    cost = 1000 * (time.process_time() - start) / len(source)
    rows = [(query.query_id, match.reference_id, match.score) for query in found for match in query.matches]
    queries, ids, scores = zip(*rows, strict=True)
    truth = next(path for name in ("ground_truth.csv", "truth.csv") if (path := folder / name).is_file())
    labels = read_labels(folder / "edits.csv", "class_name")
    return score_pairs(ScoredPairs(list(queries), list(ids), np.array(scores)), truth, labels=labels), cost


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--more", type=Path, nargs="*", default=[])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", nargs="*", default=[step.name for step in STEPS])
    args = parser.parse_args()
    engine = Engine(threads=args.threads)
    references = gather(engine, [args.folder / "references", *args.more])
    print(f"{len(references)} references, {sum(map(len, references.features))} local features")
    results: dict[str, Scored] = {}
    print(line(["step", "all", "ms"]) + "\n|---|---|---|")
    for step in STEPS:
        if step.name in args.steps:
            results[step.name], cost = measure(step, engine, references, args.folder)
            print(line([step.name, both(results[step.name]), f"{cost:.0f}"]), flush=True)
    print("\n" + line(["edit", *results]) + "\n" + "|---" * (1 + len(results)) + "|")
    for name in next(iter(results.values())).classes:
        print(line([name, *(both(scored, name) for scored in results.values())]))


if __name__ == "__main__":
    main()
