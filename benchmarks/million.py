"""The challenge's size, for real: a million JPEGs and 50,000 queries to the best 500,000 pairs, by the command line alone.

``python -m benchmarks.million --folder /tmp/million`` makes the images (10 GB, kept there for another time), embeds every tar,
one of them killed in the middle and resumed, merges the parts, writes the submission and checks it, and searches. Then a
sample of the queries is searched by brute force in float64, the tar that was killed is embedded without that, and some images
alone. Times and peak memory of every stage go to ``--record``.
"""

import argparse
import json
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from sys import executable
from typing import Any

from .harness import machine
from .million_checks import alone_rows_differ, pairs_differ
from .million_images import Made, Recipe, make_tars
from .watched import Stage, run

COMMAND = Path(executable).parent / "copytrace"
TRAINING = Path(__file__).parent.parent.parent / "shared" / "data" / "train"
RESULTS = Path(__file__).parent / "results"
REFERENCES, QUERIES, PAIRS, TARS = 1_000_000, 50_000, 500_000, 20
KILLED_AT = 0.4  # of the images of one tar
CHECKED_QUERIES, CHECKED_IMAGES = 200, 20
WANTED_MINUTES, WANTED_MIB = 75, 2048


class Job:
    """The stages, one after the other, in a folder of their own."""

    def __init__(self, folder: Path, made: Made, threads: int, pairs: int) -> None:
        self.folder, self.made, self.pairs = folder, made, pairs
        self.threads = ["--threads", str(threads)]
        self.stages: list[Stage] = []
        self.parts = [folder / f"{tar.stem}.h5" for tar in made.references]
        self.queries, self.references, self.found = (folder / name for name in ("q.h5", "r.h5", "pairs.csv"))

    def run(self) -> None:
        killed = len(self.parts) // 2
        for i, part in enumerate(self.parts):
            if i == killed:
                self._kill(i)
            self._do(f"embed {part.stem}", *self._embed(i, part), *(["--resume"] if i == killed else []))
        self._do("embed queries", "embed", self.made.queries, "-o", self.queries, "--role", "query", *self.threads)
        if len(self.parts) > 1:
            self._do("merge", "merge", *self.parts, "-o", self.references)
        else:
            self.references = self.parts[0]
        submission = self.folder / "submission.h5"
        self._do("submission", "submission", self.queries, self.references, "-o", submission)
        self._do("check of the submission", "submission", "--check", submission)
        top = ["--top", str(self.pairs), *self.threads]
        self._do("search", "search", self.queries, self.references, "-o", self.found, *top)

    def uninterrupted(self) -> bool:
        """Whether the tar that was killed and resumed gives the same bytes without that."""
        killed, whole = len(self.parts) // 2, self.folder / "uninterrupted.h5"
        run("embed without a kill", [COMMAND, *self._embed(killed, whole), "--json"])
        return whole.read_bytes() == self.parts[killed].read_bytes()

    def _embed(self, i: int, output: Path) -> list[str | Path]:
        return ["embed", self.made.references[i], "-o", output, *self.threads]

    def _do(self, name: str, *command: str | Path) -> None:
        self._add(run(name, [COMMAND, *command, "--json"]))

    def _kill(self, i: int) -> None:
        journal = self.parts[i].with_name(f"{self.parts[i].name}.partial")
        enough = 4096 + int(KILLED_AT * self.made.counts[i] * 1024)  # a row is 256 float32

        def now() -> bool:
            return journal.exists() and journal.stat().st_size >= enough

        self._add(run(f"embed {self.parts[i].stem}, killed", [COMMAND, *self._embed(i, self.parts[i]), "--json"], now))

    def _add(self, stage: Stage) -> None:
        self.stages.append(stage)
        print(line(stage), flush=True)


def line(stage: Stage) -> str:
    return (
        f"{stage.name:<32} {stage.wall_s:9.1f} s {stage.processor_s:9.1f} s processor {stage.peak_mib:7.0f} MiB"
        f"{'' if stage.ended == 'done' else '   killed'}"
    )


def checked(job: Job, queries: int, images: int) -> dict[str, Any]:
    """What is asked of the results, beside time and memory."""
    queries = min(queries, job.made.query_count)
    return {
        "queries_by_brute_force": queries,
        "of_these_differ": pairs_differ(job.queries, job.references, job.found, queries),
        "images_alone": images,
        "of_these_rows_differ": alone_rows_differ(job.made.references, job.references, images),
        "resumed_is_byte_identical": job.uninterrupted(),
    }


def record(job: Job, options: argparse.Namespace, making_s: float, checks: dict[str, Any]) -> dict[str, Any]:
    return {
        "machine": machine(),
        "threads": options.threads,
        "seed": options.seed,
        "references": sum(job.made.counts),
        "queries": job.made.query_count,
        "pairs": job.pairs,
        "image_bytes": job.made.image_bytes,
        "repeated": job.made.repeated,
        "making_the_images_s": making_s,
        "minutes": sum(stage.wall_s for stage in job.stages) / 60,
        "processor_minutes": sum(stage.processor_s for stage in job.stages) / 60,
        "peak_mib": max(stage.peak_mib for stage in job.stages),
        "checks": checks,
        "stages": [asdict(stage) for stage in job.stages],
    }


def table(told: dict[str, Any]) -> str:
    """The record in Markdown; the tars of references together."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for stage in told["stages"]:
        many = stage["name"].startswith("embed references") and stage["ended"] == "done"
        groups.setdefault("embed the references" if many else stage["name"], []).append(stage)
    rows = [
        f"| {name} | {sum(s['wall_s'] for s in some):.0f} | {sum(s['processor_s'] for s in some):.0f} "
        f"| {max(s['peak_mib'] for s in some):.0f} |"
        for name, some in groups.items()
    ]
    size = f"{told['references']} references, {told['queries']} queries, {told['image_bytes'] / 1e9:.2f} GB of JPEGs"
    return "\n".join(
        [
            f"{size}; {told['machine']}; {told['threads']} threads.",
            "",
            "| stage | s | processor s | peak MiB |",
            "|---|---|---|---|",
            *rows,
            f"| **all** (wanted {WANTED_MINUTES} minutes, {WANTED_MIB} MiB) | **{told['minutes'] * 60:.0f}** "
            f"| {told['processor_minutes'] * 60:.0f} | **{told['peak_mib']:.0f}** |",
            "",
            f"Making the images took {told['making_the_images_s']:.0f} s. Checks: "
            + ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in told["checks"].items())
            + ".",
        ]
    )


def made_in(folder: Path, options: argparse.Namespace) -> tuple[Made, float]:
    """The images, made now or by an earlier run with the same options, and the seconds that took."""
    references, queries = (max(1, round(count * options.scale)) for count in (REFERENCES, QUERIES))
    asked = [references, queries, options.tars, options.seed, [path.name for path in options.photographs]]
    note = folder / "made.json"
    if note.exists() and (known := json.loads(note.read_text()))["asked"] == asked:
        return Made(folder, **known["made"]), known["seconds"]
    start = time.perf_counter()
    recipe = Recipe.of(options.photographs, references, options.seed)
    made = make_tars(recipe, queries, folder, options.tars, options.threads)
    seconds = time.perf_counter() - start
    numbers = {name: value for name, value in asdict(made).items() if name != "folder"}
    note.write_text(json.dumps({"asked": asked, "made": numbers, "seconds": seconds}))
    return made, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="for images and files: 13 GB at full size")
    parser.add_argument(
        "--photographs", type=Path, nargs="+", default=sorted(TRAINING.glob("*.tar")), help="tars of JPEGs"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of images")
    parser.add_argument("--tars", type=int, default=TARS, help="of references; each is embedded by itself")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--record", type=Path, default=RESULTS / "million.json", help="where the table goes too, as .md"
    )
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    made, seconds = made_in(options.folder, options)
    print(
        f"{sum(made.counts)} references, {made.query_count} queries, {made.image_bytes / 1e9:.2f} GB: {seconds:.0f} s"
    )
    work = options.folder / "run"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    job = Job(work, made, options.threads, max(1, round(PAIRS * options.scale)))
    job.run()
    told = record(job, options, seconds, checked(job, CHECKED_QUERIES, CHECKED_IMAGES))
    options.record.parent.mkdir(parents=True, exist_ok=True)
    said = json.dumps(told, indent=1).replace(f"{options.folder}/", "")  # a record names no folder of a machine
    options.record.write_text(said + "\n")
    options.record.with_suffix(".md").write_text(table(told) + "\n")
    print(table(told))
    checks = told["checks"]
    if checks["of_these_differ"] or checks["of_these_rows_differ"] or not checks["resumed_is_byte_identical"]:
        raise SystemExit("the results are not what they should be")


if __name__ == "__main__":
    main()
