"""``copytrace plan``."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ..arguments import MAX_THREADS
from ..bundle import DEFAULT_BUNDLE
from ..errors import PlanError
from ..manifest import Precision
from ..plan import Effort, Fleet, Rates, Task, check_fleet, check_rates_output, count, make_plan, measure_rates
from ..plan import read_rates as read
from ..plan import save_rates as save
from ..plan.task import PAIRS
from ..read import open_source
from .console import errors, print_result
from .demo import PHOTOS
from .opening import EngineOptions, open_engine
from .options import DeviceOption, path

EFFORT = Effort()


def _count(text: str | int) -> int:
    try:
        return count(str(text))
    except PlanError as error:
        raise typer.BadParameter(str(error)) from None


def plan(
    references: Annotated[
        int | None, typer.Option(help="Reference images: 1000000 or 1e6.", parser=_count, metavar="N")
    ] = None,
    queries: Annotated[int | None, typer.Option(help="Query images.", parser=_count, metavar="N")] = None,
    top: Annotated[
        int, typer.Option(help="The best pairs that the search returns.", parser=_count, metavar="N")
    ] = PAIRS,
    machines: Annotated[
        int | None, typer.Option(help="Machines like the measured one (default: 1).", parser=_count, metavar="N")
    ] = None,
    gpus: Annotated[
        int | None,
        typer.Option(
            help="The same with a graphics card each; the rates must have been measured on one.",
            parser=_count,
            metavar="N",
        ),
    ] = None,
    hours: Annotated[float | None, typer.Option(help="How many machines it takes to be done in so many hours.")] = None,
    image_bytes: Annotated[
        float | None, typer.Option(help="Bytes of an image, for the space they take (default: of those measured with).")
    ] = None,
    rates: Annotated[
        Path | None,
        typer.Option(help="Rates that --measure wrote, on this machine or another; nothing is measured.", parser=path),
    ] = None,
    measure: Annotated[
        Path | None, typer.Option(help="Measure, and write the rates to this file (JSON), for --rates.", parser=path)
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            help="Typical images to measure with, what embed takes: larger ones take longer to decode. "
            "Default: photographs of the package, which are small.",
            parser=path,
        ),
    ] = None,
    bundle: Annotated[
        Path, typer.Option(help="Folder with networks, projection and bank.", parser=path)
    ] = DEFAULT_BUNDLE,
    precision: Annotated[Precision, typer.Option(help="Which of the bundle's networks.")] = "int8",
    device: DeviceOption = "auto",
    threads: Annotated[int | None, typer.Option(min=1, max=MAX_THREADS, help="Default: all processors.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as one JSON object.")] = False,
) -> None:
    """Say how many machines, hours and bytes a number of images takes, and what to choose, each number with its formula.

    The rates are measured first, which takes about a minute on a machine that does nothing else, or read from a file.
    """
    how = EngineOptions(precision=precision, device=device, threads=threads)
    measuring = [images, measure, threads, precision, device, bundle]
    if rates is not None and measuring != [None, None, None, "int8", "auto", DEFAULT_BUNDLE]:
        raise typer.BadParameter("--rates are given, so nothing is measured; leave out what measuring needs")
    if None in (references, queries) and not (measure is not None and references is None and queries is None):
        raise typer.BadParameter("give --references and --queries; --measure can stand alone")
    fleet = Fleet(machines, hours, gpus)
    task = None if references is None or queries is None else Task(references, queries, top, image_bytes)
    found = read(rates) if rates is not None else _measured(images, bundle, how, fleet, measure)
    if measure is not None:
        save(found, measure)
    if task is None:
        print_result({"rates_file": str(measure), **found.record()}, f"rates: {measure}", as_json)
        return
    planned = make_plan(task, found, fleet)
    print_result(planned.record(), planned.text(), as_json)


def _measured(images: Path | None, bundle: Path, how: EngineOptions, fleet: Fleet, output: Path | None) -> Rates:
    if output is not None:
        check_rates_output(output)
    source = open_source(PHOTOS / "references" if images is None else images)
    engine = open_engine(bundle, **how)
    check_fleet(fleet, "cuda" if any(network.lanes for network in engine.embedder.networks) else "cpu")
    options = {"bundle": str(bundle), **how}
    found = measure_rates(engine, source, options, effort=EFFORT, say=lambda what: errors.print(f"measuring: {what}"))
    return found if images is not None else replace(found, image_source="the package")
