"""The command: see the package's docstring."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from copytrace.engine import CopytraceError

from . import __doc__ as description
from .build import SIZES, make_set


def main() -> int:
    parser = argparse.ArgumentParser(
        "copytrace.train.validation_sets", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photographs", nargs="+", type=Path, help="folders, uncompressed tars or text files of paths")
    parser.add_argument("-o", "--output", type=Path, required=True, help="a new folder")
    parser.add_argument("--kind", choices=list(SIZES), default="wide")
    parser.add_argument("--seed", type=_count, default=0, help="the same seed makes the same set")
    for name in ("references", "copies", "distractors"):
        parser.add_argument(f"--{name}", type=_count, help=", ".join(f"{k}: {vars(s)[name]}" for k, s in SIZES.items()))
    args = parser.parse_args()
    given = {name: getattr(args, name) for name in ("references", "copies", "distractors")}
    size = replace(SIZES[args.kind], **{name: count for name, count in given.items() if count is not None})
    if not 1 <= size.copies <= size.references or size.distractors < 2:
        parser.error("at least one copy, no more of them than references, and at least two distractors")
    try:
        made = make_set(args.photographs, args.output, args.kind, size, args.seed)
    except CopytraceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{size.references} references and {made} queries: {args.output}")
    return 0


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
