"""The table of qualities in the README: ``python -m benchmarks.evaluation ../shared/data/eval``.

FOLDER holds ``references/``, ``queries/``, ``ground_truth.csv`` and ``edits.csv``. Prints micro-AP and recall@P90 of every
kind of descriptor, for both precisions, and per edit class for int8.
"""

import argparse
import tempfile
from pathlib import Path
from typing import get_args

from copytrace.engine import Engine, save_pairs, score_pairs, search
from copytrace.engine.api import Scored
from copytrace.engine.embedder import Output, Precision
from copytrace.engine.score import read_labels


def evaluate(folder: Path, work: Path, precision: Precision, output: Output) -> Scored:
    """Embed, search and score, through files, as the command line does."""
    engine = Engine(precision=precision)
    engine.embed_source(folder / "references", work / "r.h5", output="raw" if output == "raw" else "projected")
    engine.embed_source(folder / "queries", work / "q.h5", role="query", output=output)
    save_pairs(search(work / "q.h5", work / "r.h5"), work / "pairs.csv")
    labels = read_labels(folder / "edits.csv", "class_name")
    return score_pairs(work / "pairs.csv", folder / "ground_truth.csv", labels=labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    results: dict[tuple[str, str], Scored] = {}
    with tempfile.TemporaryDirectory() as work:
        for output in get_args(Output):
            for precision in get_args(Precision):
                results[output, precision] = evaluate(folder, Path(work), precision, output)
    print(
        "| descriptors | int8 micro-AP | int8 recall@P90 | float32 micro-AP | float32 recall@P90 |\n|---|---|---|---|---|"
    )
    for output in get_args(Output):
        parts = [results[output, precision].evaluation for precision in get_args(Precision)]
        print(f"| {output} | " + " | ".join(f"{p.micro_ap:.4f} | {p.recall_at_p90:.4f}" for p in parts) + " |")
    columns = get_args(Output)
    print("\n| edit, int8 | " + " | ".join(columns) + " |\n|---" * 1 + "|---" * len(columns) + "|")
    for name in results["projected", "int8"].classes:
        cells = [results[output, "int8"].classes[name] for output in columns]
        print(f"| {name} | " + " | ".join(f"{c.micro_ap:.3f} / {c.recall_at_p90:.2f}" for c in cells) + " |")


if __name__ == "__main__":
    main()
