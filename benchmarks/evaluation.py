"""The tables of QUALITY.md.

    python -m benchmarks.evaluation ../shared/data/eval                       # the default bundle, every kind of descriptor
    python -m benchmarks.evaluation ../shared/data/eval --bundles RUN/bundle ...  # bundles side by side, int8

FOLDER holds ``references/``, ``queries/``, ``ground_truth.csv`` and ``edits.csv``. Cells are micro-AP / recall@P90.
"""

import argparse
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import get_args

from copytrace.engine import DEFAULT_BUNDLE, Engine, Scored, save_pairs, score_pairs, search
from copytrace.engine.embedder import Output
from copytrace.engine.manifest import Precision
from copytrace.engine.score import read_labels

DESCRIPTORS: tuple[Output, ...] = ("projected", "method1", "method2")


def evaluate(folder: Path, bundle: Path, precision: Precision, output: Output) -> Scored:
    """Embed, search and score, through files, as the command line does."""
    engine = Engine(bundle, precision=precision)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        engine.embed_source(folder / "references", work / "r.h5", output="raw" if output == "raw" else "projected")
        engine.embed_source(folder / "queries", work / "q.h5", role="query", output=output)
        save_pairs(search(work / "q.h5", work / "r.h5"), work / "pairs.csv")
        labels = read_labels(folder / "edits.csv", "class_name")
        return score_pairs(work / "pairs.csv", folder / "ground_truth.csv", labels=labels)


def line(cells: Iterable[object]) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def both(scored: Scored, name: str | None = None) -> str:
    figures = scored.evaluation if name is None else scored.classes[name]
    return f"{figures.micro_ap:.3f} / {figures.recall_at_p90:.3f}"


def one_bundle(folder: Path, bundle: Path) -> None:
    """Every kind of descriptor in both precisions, then the classes in int8."""
    results = {
        (output, precision): evaluate(folder, bundle, precision, output)
        for output in DESCRIPTORS
        for precision in get_args(Precision)
    }
    print(line(["descriptors", *get_args(Precision)]) + "\n|---|---|---|")
    for output in DESCRIPTORS:
        print(line([output, *(both(results[output, precision]) for precision in get_args(Precision))]))
    print("\n" + line(["edit, int8", *DESCRIPTORS]) + "\n" + "|---" * (1 + len(DESCRIPTORS)) + "|")
    for name in results["projected", "int8"].classes:
        print(line([name, *(both(results[output, "int8"], name) for output in DESCRIPTORS)]))


def several_bundles(folder: Path, bundles: list[Path]) -> None:
    """Bundles side by side; the classes with the descriptors that a bundle gives queries by default."""
    results = [{output: evaluate(folder, bundle, "int8", output) for output in DESCRIPTORS} for bundle in bundles]
    names = [bundle.parent.name if bundle.name == "bundle" else bundle.name for bundle in bundles]
    print(line(["bundle", *DESCRIPTORS]) + "\n" + "|---" * (1 + len(DESCRIPTORS)) + "|")
    for name, result in zip(names, results, strict=True):
        print(line([name, *(both(result[output]) for output in DESCRIPTORS)]))
    defaults = [
        result[f"method{Engine(bundle).bundle.normalisation().method}"]
        for bundle, result in zip(bundles, results, strict=True)
    ]
    print("\n" + line(["edit", *names]) + "\n" + "|---" * (1 + len(names)) + "|")
    for name in defaults[0].classes:
        print(line([name, *(both(scored, name) for scored in defaults)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bundles", type=Path, nargs="+")
    args = parser.parse_args()
    if args.bundles:
        several_bundles(args.folder, args.bundles)
    else:
        one_bundle(args.folder, DEFAULT_BUNDLE)


if __name__ == "__main__":
    main()
