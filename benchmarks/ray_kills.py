"""A source embedded on Ray while actors and the driver are killed: the merged file must be a single run's, byte for byte.

``python -m benchmarks.ray_kills --images 20000 --shards 16 --actors 2 --kills 3``. One process of two threads embeds all, then
the cluster does, which shows what sharing out costs when both have started. At last the cluster does while actors (``--kills``)
and the driver (once) get SIGKILL, each after a random share of the images.
"""

import argparse
import io
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import h5py

from .harness import machine

ROOT = Path(__file__).parent.parent
EVALUATION = ROOT.parent / "shared" / "data" / "eval" / "references"
PHOTOS = EVALUATION if EVALUATION.is_dir() else ROOT / "engine" / "photos" / "references"
COMMAND = Path(sys.executable).parent / "copytrace"
DATASETS = ("descriptors", "ids", "failed", "damaged")
WANTED_OVERHEAD = 1.2
ROW_BYTES = 4 * 256


def make_tar(photos: Path, count: int, path: Path) -> None:
    """``count`` members, the photographs again and again under names of their own; every 500th is no image."""
    files = sorted(photos.glob("*.jpg"))
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for number, file in enumerate(islice(cycle(files), count)):
            data = file.read_bytes() if number % 500 != 250 else b"\xff\xd8\xff no photograph"
            info = tarfile.TarInfo(f"{number:07d}.jpg")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def contents(path: Path) -> dict[str, bytes]:
    with h5py.File(path) as file:
        values = {name: repr(file[name][:].tolist()).encode() for name in DATASETS}
        return values | {"descriptors": file["descriptors"][:].tobytes()}


class Runs:
    """The ways to embed one tar, by the command line."""

    def __init__(self, folder: Path, tar: Path, options: argparse.Namespace) -> None:
        self.folder, self.tar, self.options = folder, tar, options
        self.bundle = ["--bundle", options.bundle] if options.bundle else []

    def alone(self, name: str) -> float:
        """Seconds of one process with as many threads as all actors have, its start left out."""
        threads = str(self.options.actors * self.options.threads)
        done = self._ended(self._start("-o", self.folder / name, "--threads", threads))
        return float(done["seconds"])

    def cluster(self, name: str) -> float:
        """Seconds of the cluster from the moment when its first actor could work."""
        done = self._ended(self._start_cluster(name))
        print(f"  the first actor was ready after {done['starting_seconds']:.1f} s", flush=True)
        return float(done["seconds"]) - float(done["starting_seconds"])

    def killed(self, name: str, rng: random.Random) -> None:
        """Actors and the driver are killed, in any order, and the driver is started again."""
        events = ["actor"] * self.options.kills + ["driver"]
        rng.shuffle(events)
        shares = sorted(rng.uniform(0.05, 0.9) for _ in events)
        parts = self.folder / f"{name}.parts"
        process = self._start_cluster(name)
        for event, share in zip(events, shares, strict=True):
            while embedded(parts) < share * self.options.images or not (victims := list(actors_of(process.pid))):
                assert process.poll() is None, "the run has ended before all kills; take more images"
                time.sleep(0.05)
            victim = process.pid if event == "driver" else rng.choice(victims)
            os.kill(victim, signal.SIGKILL)
            print(f"  SIGKILL to the {event} after {embedded(parts)} of {self.options.images} images", flush=True)
            if event == "driver":
                process.wait()
                process = self._start_cluster(name)
        done = self._ended(process)
        print(
            f"  {done['skipped']} shards were done before the last start, {done['again']} handed out again", flush=True
        )

    def _start_cluster(self, name: str) -> subprocess.Popen[str]:
        o = self.options
        shared = ["--ray", "auto", "--shards", str(o.shards), "--actors", str(o.actors), "--threads", str(o.threads)]
        return self._start("-o", self.folder / name, *shared)

    def _start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        command = [COMMAND, "embed", self.tar, *arguments, *self.bundle, "--json"]
        with (self.folder / "errors.txt").open("a") as errors:
            return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)

    def _ended(self, process: subprocess.Popen[str]) -> dict[str, float]:
        output, _ = process.communicate()
        if process.returncode:
            raise SystemExit(f"{output}\n{(self.folder / 'errors.txt').read_text()}")
        done: dict[str, float] = json.loads(output)
        return done


def embedded(parts: Path) -> int:
    """About how many images are in parts, and in what was begun of them."""
    count = 0
    for path in parts.glob("part-*"):
        try:
            if path.suffix == ".json":
                count += json.loads(path.read_text())["images"]
            elif path.suffix == ".partial":
                count += path.stat().st_size // ROW_BYTES
        except (OSError, ValueError):  # it has just become something else
            continue
    return count


def actors_of(driver: int) -> Iterator[int]:
    """The processes of the actors that a driver, or what it has started, has started."""
    parents, actors = {}, []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
            if (status.parent / "cmdline").read_bytes().startswith(b"ray::ShardWorker"):
                actors.append(int(status.parent.name))
        except (OSError, ValueError):  # it has just ended
            continue
    for actor in actors:
        ancestor = actor
        while ancestor in parents and ancestor != driver:
            ancestor = parents[ancestor]
        if ancestor == driver:
            yield actor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--shards", type=int, default=16)
    parser.add_argument("--actors", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1, help="of each actor; one process has those of all")
    parser.add_argument("--kills", type=int, default=3, help="actors killed; the driver is killed once besides")
    parser.add_argument("--rounds", type=int, default=1, help="of the comparison with one process; may be 0")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--photos", type=Path, default=PHOTOS, help="a folder of JPEGs")
    parser.add_argument("--bundle", help="default: the package's")
    options = parser.parse_args()
    print(f"{machine()}; {options.images} images, {options.shards} shards, {options.actors} actors", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_tar(options.photos, options.images, folder / "images.tar")
        runs = Runs(folder, folder / "images.tar", options)
        ratios = []
        if not options.rounds:
            runs.alone("whole.h5")
        for number in range(options.rounds):
            alone, shared = runs.alone("whole.h5"), runs.cluster(f"cluster-{number}.h5")
            assert contents(folder / f"cluster-{number}.h5") == contents(folder / "whole.h5"), "the files differ"
            ratios.append(shared / alone)
            print(f"one process {alone:.1f} s, the cluster {shared:.1f} s", flush=True)
        runs.killed("killed.h5", random.Random(options.seed))
        assert contents(folder / "killed.h5") == contents(folder / "whole.h5"), "the files differ"
        print(f"{options.kills} actors and the driver killed: the merged file is a single run's")
        if ratios:
            ratio = statistics.median(ratios)
            verdict = "" if ratio <= WANTED_OVERHEAD else "   NOT REACHED"
            print(f"the cluster takes {ratio:.3f} times as long (wanted <= {WANTED_OVERHEAD}){verdict}")


if __name__ == "__main__":
    main()
