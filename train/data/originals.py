"""The full-size originals of the training photographs, out of clones of the repositories they come from, into one tar.

    python -m copytrace.train.data.originals sources.csv CLONES -o photos.tar

sources.csv: name, repository (owner/name), path and commit of every photograph. CLONES holds the clones, each in a folder of
the repository's name. Photographs are reduced until their shorter side is 296 pixels; EXIF orientation is applied.
"""

import argparse
import csv
import io
import subprocess
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from copytrace.engine.parallel import map_ordered
from copytrace.engine.threads import cpu_count

SHORT_SIDE = 296
QUALITY = 90

Row = dict[str, str]


def originals(rows: list[Row], clones: Path) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of every row, read from git without a checkout. Raises: ValueError for one that is not there."""
    for repository in sorted({row["repository"] for row in rows}):
        folder = clones / repository.split("/")[-1]
        command = ["git", "-C", str(folder), "cat-file", "--batch"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as git:
            assert git.stdin and git.stdout
            for row in (row for row in rows if row["repository"] == repository):
                git.stdin.write(f"{row['commit']}:{row['path']}\n".encode())
                git.stdin.flush()
                words = git.stdout.readline().split()
                if len(words) != 3:
                    raise ValueError(f"{folder}: no {row['path']} in commit {row['commit']}")
                yield row["name"], git.stdout.read(int(words[2]))
                git.stdout.read(1)
            git.stdin.close()


def reduced(named: tuple[str, bytes]) -> tuple[str, bytes]:
    """The photograph as a JPEG with a shorter side of at most 296 pixels."""
    name, data = named
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        raise ValueError(f"{name}: cannot be decoded")
    factor = SHORT_SIDE / min(pixels.shape[:2])
    if factor < 1.0:
        height, width = (round(side * factor) for side in pixels.shape[:2])
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    return name, cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=Path)
    parser.add_argument("clones", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    with args.sources.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with tarfile.open(args.output, "w") as tar, ThreadPoolExecutor(cpu_count()) as workers:
        for name, data in map_ordered(workers, reduced, originals(rows, args.clones), 64):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))


if __name__ == "__main__":
    main()
