"""Is anything slower than it was? An old commit against the present tree, interleaved, with the same bundle and libraries:

    python -m benchmarks.against COMMIT --images ../shared/data/eval --count 2500

The old commit is unpacked and its native core built in a temporary folder (or in --folder, to be used again). Each side is a
process of its own that stays. A round is old, new, old: the mean of both is compared with what lies between them, and what the
two differ by is the noise. Fails where a task is slower by more than that, or computes something else.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from .harness import machine
from .timed_tasks import TASKS

ROOT = Path(__file__).parent.parent
WORKER = Path(__file__).with_name("timed_tasks.py")


class Side:
    """One state of the project, in a process that does tasks when told."""

    def __init__(self, name: str, process: "subprocess.Popen[str]", folder: Path) -> None:
        self.name, self.folder = name, folder
        self._process = process

    def time(self, task: str) -> dict[str, float]:
        """Seconds by the clock ("wall") and of all processors ("processor"). Raises: SystemExit when the process has ended."""
        assert self._process.stdin is not None and self._process.stdout is not None
        print(task, file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"{self.name}: {task} failed")
        seconds: dict[str, float] = json.loads(answer)
        return seconds

    def result(self, task: str) -> np.ndarray:
        """What the first run of a task gave."""
        return np.asarray(np.load(self.folder / f"{task}.npy"))


@contextmanager
def side(name: str, packages: Path | None, arguments: list[str], folder: Path, threads: int) -> Iterator[Side]:
    """packages: a folder that holds the package copytrace (None: the installed one)."""
    (work := folder / f"work-{name}").mkdir(exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
    environment["PYTHONPATH"] = str(packages or "")
    command = [sys.executable, "-P", str(WORKER), str(work), *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as process:
        yield Side(name, process, work)
        assert process.stdin is not None
        process.stdin.close()


def unpacked(commit: str, folder: Path) -> Path:
    """A folder with the package of a commit, built. Its environment is that of the present one."""
    tree, packages = folder / "tree", folder / "packages"
    if not packages.is_dir():
        tree.mkdir(parents=True)
        archive = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x", "-C", tree], input=archive, check=True)
        subprocess.run([sys.executable, "setup.py", "-q", "build_ext", "--inplace"], cwd=tree, check=True)
        (folder / "unfinished" / "copytrace").mkdir(parents=True)
        for part in ("engine", "export", "train"):
            (folder / "unfinished" / "copytrace" / part).symlink_to(tree / part)
        (folder / "unfinished").rename(packages)
    return packages


def compare(task: str, old: Side, new: Side, rounds: int) -> bool:
    """Prints the ratios of one task; whether it is as fast as it was, and gives the same."""
    for one in (old, new):
        one.time(task)
    a, b = old.result(task), new.result(task)
    different = a.shape != b.shape or np.mean(np.abs(a - b) > 1e-4) > 0.001
    lines, slower = [], False
    times = [[one.time(task) for one in (old, new, old)] for _ in range(rounds)]
    for clock in ("wall", "processor"):
        ratios = [(first[clock] + last[clock]) / 2 / mine[clock] for first, mine, last in times]
        noise = statistics.median(
            abs(first[clock] - last[clock]) / (first[clock] + last[clock]) for first, _, last in times
        )
        slower |= statistics.median(ratios) < 1 - noise
        lines.append(
            f"{clock} {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}, noise {noise:.3f})"
        )
    equal = "the same bits" if a.tobytes() == b.tobytes() else f"within {np.abs(a - b).max():.1g}"
    verdict = "   SOMETHING ELSE" if different else "   SLOWER" if slower else ""
    print(f"{task:<20} old / new: {'; '.join(lines)}; {equal if not different else a.shape}{verdict}", flush=True)
    return not (different or slower)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commit")
    parser.add_argument("--images", type=Path, required=True, help="folder with JPEGs")
    parser.add_argument("--count", type=int, default=2500, help="how many of them")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where the old commit is built, and found again the next time")
    parser.add_argument("--only", nargs="+", choices=TASKS, default=list(TASKS), metavar="TASK", help=", ".join(TASKS))
    options = parser.parse_args()
    print(f"{machine()}; {options.threads} threads, {options.rounds} rounds of old, new, old")
    with ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        packages = unpacked(options.commit, folder)
        paths = sorted(options.images.resolve().rglob("*.jpg"))[: options.count]
        print(f"{len(paths)} images, {options.commit} against the present tree")
        (images := folder / "images.txt").write_text("".join(f"{path}\n" for path in paths))
        bundle = packages / "copytrace" / "engine" / "bundles" / "default"
        arguments = [str(images), str(bundle), str(options.threads)]
        sides = [
            stack.enter_context(side(name, place, arguments, folder, options.threads))
            for name, place in (("old", packages), ("new", None))
        ]
        right = [compare(task, *sides, options.rounds) for task in options.only]
    sys.exit(0 if all(right) else 1)


if __name__ == "__main__":
    main()
