"""Makes the photographs of ``copytrace demo``: references, edited queries and their truth.

    python -m copytrace.train.demo_photos SHARD.tar SOURCES.csv -o engine/photos

Takes photographs of the clothing dataset (CC0 1.0) only. Ten kinds of edits; of every ten queries, seven are copies and three
have no reference.
"""

import argparse
import csv
import shutil
import tarfile
from pathlib import Path

import cv2
import numpy as np

from .attacks import CLASSES, attack

REPOSITORY = "alexeygrigorev/clothing-dataset"
REFERENCES, QUERIES, COPIES_OF_TEN = 200, 100, 7
QUALITY = 85


def clothing_photos(shard: Path, sources: Path, count: int) -> list[tuple[str, bytes]]:
    """(path in the dataset, JPEG) of the first ``count`` clothing photographs of a shard."""
    with sources.open(newline="", encoding="utf-8") as file:
        origin = {row["name"]: row["path"] for row in csv.DictReader(file) if row["repository"] == REPOSITORY}
    photos = []
    with tarfile.open(shard) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.name in origin else None
            if file and len(photos) < count:
                photos.append((origin[member.name], file.read()))
    return photos


def make(shard: Path, sources: Path, folder: Path, seed: int = 0) -> None:
    """Write the folder anew."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("references", "queries"):
        (folder / name).mkdir(parents=True)
    rng = np.random.default_rng(seed)
    photos = clothing_photos(shard, sources, REFERENCES + QUERIES)
    for i, (_, data) in enumerate(photos[:REFERENCES]):
        (folder / "references" / f"R{i:04d}.jpg").write_bytes(data)
    with (folder / "truth.csv").open("w", newline="") as truth, (folder / "edits.csv").open("w", newline="") as edits:
        truth_rows, edit_rows = csv.writer(truth, lineterminator="\n"), csv.writer(edits, lineterminator="\n")
        truth_rows.writerow(("query_id", "reference_id"))
        edit_rows.writerow(("query_id", "class_name"))
        for i in range(QUERIES):
            copy = i // len(CLASSES) % 10 < COPIES_OF_TEN
            source = int(rng.integers(REFERENCES)) if copy else REFERENCES + i
            image, background = (
                cv2.imdecode(np.frombuffer(photos[j][1], np.uint8), cv2.IMREAD_COLOR_RGB)
                for j in (source, REFERENCES + int(rng.integers(QUERIES)))
            )
            edited = attack(image, CLASSES[i % len(CLASSES)], rng, background)
            path = folder / "queries" / f"Q{i:04d}.jpg"
            cv2.imwrite(str(path), cv2.cvtColor(edited, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
            truth_rows.writerow((path.stem, f"R{source:04d}" if copy else ""))
            edit_rows.writerow((path.stem, CLASSES[i % len(CLASSES)]))
    lines = "".join(f"R{i:04d}.jpg  {name}\n" for i, (name, _) in enumerate(photos[:REFERENCES]))
    (folder / "ORIGIN.txt").write_text(
        f"Photographs: {REPOSITORY}, CC0 1.0, reduced to 112 pixels on the shorter side.\n"
        f"Queries: the same and others of that dataset, edited by copytrace.train.demo_photos.\n\n{lines}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shard", type=Path)
    parser.add_argument("sources", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("engine/photos"))
    args = parser.parse_args()
    make(args.shard, args.sources, args.output)


if __name__ == "__main__":
    main()
