"""All benchmarks of the CPU path: ``python -m benchmarks``. Each checks first that the contenders compute the same."""

import argparse
import os
from pathlib import Path

ROOT = Path(__file__).parent.parent
EVALUATION = ROOT.parent / "shared" / "data" / "eval" / "references"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--images", type=Path, help="JPEGs for the pipeline (default: the evaluation set or the demo's)"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=["core", "search", "matching", "pipeline", "training"])
    args = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(args.threads)  # read when the libraries are loaded, which is below

    from . import core, matching, pipeline, search, training
    from .harness import machine

    print(f"{machine()}; {args.threads} threads, {args.rounds} rounds")
    images = args.images or (EVALUATION if EVALUATION.is_dir() else ROOT / "engine" / "photos" / "references")
    ratios = []
    if args.only in (None, "pipeline"):
        ratios += pipeline.run(images, args.threads, args.rounds)
    if args.only in (None, "core"):
        ratios += core.run(args.threads, args.rounds)
    if args.only in (None, "search"):
        ratios += search.run(args.threads, args.rounds)
    if args.only in (None, "matching"):
        ratios += matching.run(images, args.threads, args.rounds)
    if args.only in (None, "training"):
        ratios += training.run(args.rounds)
    print("\n".join(result.line() for result in ratios))


if __name__ == "__main__":
    main()
