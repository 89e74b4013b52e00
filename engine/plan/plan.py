"""A whole plan: work, machines, hours, bytes and choices of a task."""

from dataclasses import asdict, dataclass
from typing import Any

from ..errors import PlanError
from . import choice, space, work
from .figure import Figure, bytes_text, count_text, seconds_text
from .rates import Rates
from .task import Fleet, Task


@dataclass(frozen=True, slots=True)
class Plan:
    """groups: figures by what they are of. notes: what a reader must know before believing them."""

    task: Task
    fleet: Fleet
    rates: Rates
    groups: dict[str, list[Figure]]
    choices: list[choice.Choice]
    notes: list[str]

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {
            **asdict(self.task),
            **asdict(self.fleet),
            **{name.replace(" ", "_"): [asdict(one) for one in figures] for name, figures in self.groups.items()},
            "choices": [asdict(one) for one in self.choices],
            "notes": self.notes,
            "rates": self.rates.record(),
        }

    def text(self) -> str:
        """For people: a line for each figure, with its formula."""
        lines = []
        for name, figures in self.groups.items():
            lines += ["", name, *(f"  {one.name:<46}{one.text:>16}   {one.formula}" for one in figures)]
        lines += ["", "what to choose"]
        for one in self.choices:
            lines += [f"  {one.question}: {one.choice}", f"      {one.why}"]
        return "\n".join([*lines, "", *self.notes]).lstrip()


def make_plan(task: Task, rates: Rates, fleet: Fleet | None = None) -> Plan:
    """Raises: PlanError for graphics cards with rates of none."""
    fleet = fleet or Fleet()
    check_fleet(fleet, rates.device)
    alone, looked_at = work.without_second_look(task, rates), work.with_second_look(task, rates)
    machines = fleet.needed(work.total(alone).value)
    groups = {
        "descriptors alone": [*alone, *_hours(alone, fleet)],
        "with the second look": [*looked_at, *_hours(looked_at, fleet)],
        "on disk": [*space.on_disk(task, rates), _reading(task, rates)],
        "in memory": space.in_memory(task, rates),
    }
    return Plan(task, fleet, rates, groups, choice.choices(task, rates, machines), _notes(task, rates, fleet))


def check_fleet(fleet: Fleet, device: str) -> None:
    """device: "cpu" or "cuda", where the rates are from. Raises: PlanError for graphics cards with rates of none."""
    if fleet.gpus is not None and device != "cuda":
        raise PlanError(
            "these rates are of a processor, and a graphics card's cannot be derived from them; on a machine with one: "
            "copytrace plan --measure rates.json --device cuda, then --rates rates.json"
        )


def _hours(figures: list[Figure], fleet: Fleet) -> list[Figure]:
    """What it comes to, on one machine and on those there are."""
    together = work.total(figures)
    kind = "machines with a card" if fleet.gpus else "machines"
    found = [together]
    if fleet.hours is not None:
        seconds = f"{together.value:,.0f}" if together.value >= 1000 else f"{together.value:.4g}"
        formula = f"{seconds} s / {fleet.hours:g} h, rounded up"
        found.append(Figure(f"{kind} for {fleet.hours:g} hours", fleet.needed(together.value), "machines", formula))
    if fleet.size > 1:
        value = together.value / fleet.size
        found.append(Figure(f"on {count_text(fleet.size)} {kind}", value, "s", f"{together.text} / {fleet.size}"))
    return found


def _reading(task: Task, rates: Rates) -> Figure:
    """How fast disks must be for the search not to wait for them."""
    size, seconds = task.references * 4 * rates.dimension, work.exact_search(task, rates).value
    formula = f"{bytes_text(size)} / {seconds_text(seconds)}"
    return Figure("read by each machine in the search", size / seconds, "bytes/s", formula)


def _notes(task: Task, rates: Rates, fleet: Fleet) -> list[str]:
    machine = rates.machine
    notes = [
        f"Rates: {machine.get('processor', 'a machine')}, {rates.threads} threads, {machine['memory_gib']} GiB,"
        f" {rates.computed_by}, measured {rates.measured}; images of {rates.image_source}: {rates.image_bytes / 1e3:.3g} kB,"
        f" {rates.image_pixels / 1e6:.3g} megapixels on average. Larger ones take longer: measure with --images of your own.",
        "Stages on M machines take 1/M of one machine's time, if storage keeps up: that was not measured.",
    ]
    if task.image_bytes is not None:
        notes.append("--image-bytes changes the space that images take, and no time.")
    if rates.busy:
        notes.append(
            f"The rates were measured on a busy machine ({rates.busy}): they are the work of its processors, and a quiet one"
            " takes a little longer than the plan says. Better measure again when nothing else runs."
        )
    if fleet.gpus:
        notes.append(f"A machine has one graphics card, as the one measured; there are {fleet.gpus}.")
    return notes
