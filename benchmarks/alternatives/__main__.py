"""copytrace beside what would be used in its place, on this machine:

    pip install --no-deps -r benchmarks/alternatives/requirements.txt
    python -m benchmarks.alternatives                            # whole programs on 1-megapixel JPEGs, then networks alone
    python -m benchmarks.alternatives --images FOLDER --only "copytrace int8" PDQ

Each in a process of its own, interleaved, the same files and threads, median and range of the rounds; first a gate: what should
compute the same does, and what computes something else tells the images apart. Prints tables, and writes
benchmarks/results/alternatives.json with the machine's record. Times of the processor stand beside those of the clock: on a
busy machine only they mean something.
torch.compile needs a C++ compiler and some minutes the first time.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import PAUSE

from .apart import Apart

ROOT = Path(__file__).parent.parent.parent
EVALUATION = ROOT.parent / "shared" / "data" / "eval" / "references"
OURS = "copytrace int8"
WANTED = {"plain torch": 12.0, "PDQ": 3.0, "imagededup CNN": 20.0}
"""What ours should be divided by the program's images per second."""
MODEL_IMAGES = 32
Rows = dict[str, np.ndarray]
"""[N, D] of each contender."""


@dataclass(frozen=True)
class Measured:
    """Seconds of every round, by the clock and of all processors."""

    wall: list[float]
    processor: list[float]


def main() -> None:
    options = _options()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(options.threads)  # read when the libraries are loaded, which is below
    from copytrace.engine.bench import machine_record, machine_text

    from .models import MODELS
    from .photographs import megapixels
    from .programs import PROGRAMS

    machine = machine_record()
    with tempfile.TemporaryDirectory() as folder:
        (made := Path(folder) / "images").mkdir()
        photographs = EVALUATION if EVALUATION.is_dir() else ROOT / "engine" / "photos" / "references"
        paths = sorted(options.images.glob("*.jpg")) if options.images else megapixels(photographs, made, options.count)
        batch = _batch(paths)
        with _apart("programs", [*PROGRAMS], options) as programs:
            ends = measure(programs, (paths, Path(folder)), options.rounds, partial(_check_programs, len(paths)))
        with _apart("models", [*MODELS], options) as models:
            alone = measure(models, (batch,), options.rounds, partial(_check_models, batch))
    figures = {
        "programs": {name: _figures(one, len(paths), ends.get(OURS)) for name, one in ends.items()},
        "models": {name: _figures(one, MODEL_IMAGES, alone.get(OURS)) for name, one in alone.items()},
    }
    about = {"images": len(paths), "threads": options.threads, "rounds": options.rounds, "machine": machine}
    options.output.parent.mkdir(exist_ok=True)
    options.output.write_text(json.dumps({**about, **figures}, indent=1) + "\n")
    print(f"{len(paths)} JPEGs, {options.threads} threads, {options.rounds} rounds; {machine_text(machine)}\n")
    for title, rows in figures.items():
        print(table(title, rows, WANTED if title == "programs" else {}))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--images", type=Path, help="a folder of JPEGs (default: 1-megapixel ones, made for the purpose)"
    )
    parser.add_argument("--count", type=int, default=128, help="how many are made")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="programs and networks, as the tables call them")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "alternatives.json")
    return parser.parse_args()


@contextmanager
def _apart(kind: str, names: Sequence[str], options: argparse.Namespace) -> Iterator[dict[str, Apart]]:
    """The contenders that are wanted, by name."""
    with ExitStack() as running:
        yield {
            name: running.enter_context(Apart(kind, name, options.threads))
            for name in names
            if options.only is None or name in options.only
        }


def measure(
    contenders: dict[str, Apart], task: tuple[Any, ...], rounds: int, check: Callable[[Rows], object]
) -> dict[str, Measured]:
    """Every contender in turn, ``rounds`` times, after one time of which ``check`` is given all rows."""
    check({name: one.run(*task)[0] for name, one in contenders.items()})
    found = {name: Measured([], []) for name in contenders}
    for _ in range(rounds):
        for name, one in contenders.items():
            time.sleep(PAUSE)
            _, wall, processor = one.run(*task)
            found[name].wall.append(wall)
            found[name].processor.append(processor)
    return found


def _check_programs(count: int, rows: Rows) -> None:
    """Programs with our networks agree with ours but for how they shrink pictures; all tell images apart.

    Raises: SystemExit.
    """
    ours = rows.get(OURS)
    for name, found in rows.items():
        if len(found) != count or not np.isfinite(found).all() or not found.std(axis=0).any():
            raise SystemExit(f"{name}: no row of its own for every image")
        if ours is not None and found.shape == ours.shape and name.startswith(("copytrace", "plain", "ONNX")):
            cosine = np.median((found * ours).sum(axis=1))
            if cosine < 0.8:
                raise SystemExit(f"{name}: computes something else, median cosine {cosine:.3f}")


def _check_models(batch: list[np.ndarray], rows: Rows) -> None:
    """On the same pixels all give the raw embeddings of our float32 networks, as exactly as their precision allows."""
    from .models import ours

    right = ours("float32")(1)(batch)
    for name, found in rows.items():
        cosine = (found * right).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(right, axis=1)
        least = 0.9 if "int8" in name else 0.99 if "OpenVINO" in name else 0.9999
        if cosine.min() < least:
            raise SystemExit(f"{name}: cosine {cosine.min():.5f} to the float32 networks")


def _batch(paths: list[Path]) -> list[np.ndarray]:
    """MODEL_IMAGES pictures at the size of each network."""
    from copytrace.engine import Bundle
    from copytrace.engine.read import decode_sizes

    sizes = [file.input_size for file in Bundle().networks("int8")]
    pictures = [decode_sizes(path.read_bytes(), sizes)[0] for path in (paths * MODEL_IMAGES)[:MODEL_IMAGES]]
    return [np.stack(one) for one in zip(*pictures, strict=True)]


def _figures(one: Measured, images: int, ours: Measured | None) -> dict[str, float]:
    """Images per second and processor milliseconds an image; how many times as fast ours is, round by round."""
    figures = {
        "images_per_second": images / statistics.median(one.wall),
        "processor_ms": 1000 * statistics.median(one.processor) / images,
    }
    for clock in ("wall", "processor") if ours is not None else ():
        ratios = [theirs / mine for theirs, mine in zip(getattr(one, clock), getattr(ours, clock), strict=True)]
        spread = {"": statistics.median(ratios), "_least": min(ratios), "_most": max(ratios)}
        figures |= {f"ours_faster_{clock}{end}": value for end, value in spread.items()}
    return {name: round(value, 4) for name, value in figures.items()}


def table(title: str, rows: dict[str, dict[str, float]], wanted: dict[str, float]) -> str:
    """Markdown."""
    lines = [
        f"| {title} | images/s | processor ms an image | ours / it, by the clock | by processor time | wanted |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        cells = [f"{row['images_per_second']:.1f}", f"{row['processor_ms']:.2f}"]
        for clock in ("wall", "processor"):
            key = f"ours_faster_{clock}"
            cells.append(
                f"{row[key]:.2f} ({row[key + '_least']:.2f} to {row[key + '_most']:.2f})" if key in row else ""
            )
        cells.append(f">= {wanted[name]:g}" if name in wanted else "")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
