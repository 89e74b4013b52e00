"""What ``copytrace plan`` says of the challenge's size beside what it took: a record of ``benchmarks.million``.

``copytrace plan --measure rates.json --images /tmp/million/references-00.tar --threads 2`` on the same machine, quiet, and then
``python -m benchmarks.planned rates.json``. It fails where the whole, or a stage that takes a twentieth of it, is off by more
than a quarter.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from copytrace.engine.plan import Rates, Task, make_plan, read_rates

from .million import RESULTS

ALLOWED = 0.25
COUNTS_FROM = 0.05  # of the whole
_STAGES = {
    "embed the references": "embed references",
    "embed the queries": "embed queries",
    "merge the parts": "merge",
    "search, exact": "search",
}
"""Names in a plan, and how those of the record's stages begin."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Seconds of a stage."""

    name: str
    measured: float
    planned: float

    @property
    def ratio(self) -> float:
        return self.planned / self.measured


def compared(record: dict[str, Any], rates: Rates) -> list[Compared]:
    """The stages that both have, and their sum last. Each command's start is planned with its stage: one that was killed and
    resumed counts as two."""
    task = Task(record["references"], record["queries"], record["pairs"])
    planned = {one.name: one.value for one in make_plan(task, rates).groups["descriptors alone"]}
    rows = []
    for name, begins in _STAGES.items():
        times = [stage["wall_s"] for stage in record["stages"] if stage["name"].startswith(begins)]
        if times:
            rows.append(Compared(name, sum(times), planned[name] + len(times) * rates.seconds.start))
    return [*rows, Compared("together", sum(r.measured for r in rows), sum(r.planned for r in rows))]


def off(rows: list[Compared]) -> list[str]:
    """The names of what counts and is off by more than is allowed."""
    whole = rows[-1].measured
    counting = [row for row in rows if row.measured >= COUNTS_FROM * whole]
    return [row.name for row in counting if abs(row.ratio - 1) > ALLOWED]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rates", type=Path)
    parser.add_argument("--record", type=Path, default=RESULTS / "million.json")
    options = parser.parse_args()
    record, rates = json.loads(options.record.read_text()), read_rates(options.rates)
    if record["threads"] != rates.threads:
        raise SystemExit(f"the record is of {record['threads']} threads, the rates are of {rates.threads}")
    rows = compared(record, rates)
    print("| stage | measured, s | planned, s | planned / measured |\n|---|---|---|---|")
    for row in rows:
        print(f"| {row.name} | {row.measured:.1f} | {row.planned:.1f} | {row.ratio:.2f} |")
    if wrong := off(rows):
        raise SystemExit(f"off by more than {ALLOWED:.0%}: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
