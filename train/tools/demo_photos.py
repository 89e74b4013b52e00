"""Makes the photographs of ``copytrace demo``: references, edited queries and their truth.

    python -m copytrace.train.tools.demo_photos SHARD.tar SOURCES.csv -o engine/photos

Takes photographs of the clothing dataset (CC0 1.0) only. Half of the queries are copies, half have no reference.
"""

import argparse
import csv
import shutil
import tarfile
import tempfile
from pathlib import Path

from copytrace.engine.read import open_source

from ..data.attack_set import make_queries
from ..data.query_set import write_set

REPOSITORY = "alexeygrigorev/clothing-dataset"
REFERENCES, DISTRACTORS, QUERIES = 200, 100, 140


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
    photos = clothing_photos(shard, sources, REFERENCES + DISTRACTORS)
    references = [(f"R{i:04d}.jpg", data) for i, (_, data) in enumerate(photos[:REFERENCES])]
    others = [(f"D{i:04d}.jpg", data) for i, (_, data) in enumerate(photos[REFERENCES:])]
    with tempfile.TemporaryDirectory() as scratch:
        for part, files in (("references", references), ("others", others)):
            (Path(scratch) / part).mkdir()
            for name, data in files:
                (Path(scratch) / part / name).write_bytes(data)
        sources_of = [open_source(Path(scratch) / part) for part in ("references", "others")]
        shutil.rmtree(folder, ignore_errors=True)
        write_set(make_queries(sources_of[0], QUERIES, seed, sources_of[1]), folder, references)
    lines = "".join(f"R{i:04d}.jpg  {name}\n" for i, (name, _) in enumerate(photos[:REFERENCES]))
    (folder / "ORIGIN.txt").write_text(
        f"Photographs: {REPOSITORY}, CC0 1.0, reduced to 112 pixels on the shorter side.\n"
        f"Queries: the same and others of that dataset, edited by copytrace.train.tools.demo_photos.\n\n{lines}"
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
