"""The verb ``export``: bundles of checkpoints, other precisions of bundles, and whether all compute the same. torch is imported
when a checkpoint is read."""

import sys
import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from copytrace.engine import DEFAULT_BUNDLE, Bundle, CopytraceError, StoreError
from copytrace.engine.cli.console import print_result
from copytrace.engine.cli.demo import PHOTOS
from copytrace.engine.cli.options import number, path
from copytrace.engine.cli.run_by_default import RunByDefault
from copytrace.engine.infer import Device
from copytrace.engine.manifest import MANIFEST, Precision

app = typer.Typer(
    cls=RunByDefault,
    no_args_is_help=True,
    help="Make a bundle of a checkpoint (export CHECKPOINT -o BUNDLE; options: export run --help), or verify one.",
)

_Precision = StrEnum("Precision", [(name, name) for name in get_args(Precision)])  # typer takes no list of a Literal
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@app.command()
def run(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="CHECKPOINT",
            help="Folder of a run of train, or its checkpoint.pt; or a bundle whose networks get other precisions.",
            parser=path,
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The bundle.", parser=path)],
    photos: Annotated[
        list[Path] | None,
        typer.Option(
            help="Photographs (several times: of all) for calibration; of a run also for projection and bank."
        ),
    ] = None,
    precision: Annotated[
        list[_Precision] | None,
        typer.Option(help="Several times: of all. float32 is always there. [default: all]"),
    ] = None,
    validation: Annotated[
        Path | None,
        typer.Option(help="Of a run: a folder with references/, queries/ and truth.csv, as it was trained with."),
    ] = None,
    whitened: Annotated[
        bool | None,
        typer.Option("--whitened/--not-whitened", help="Of a run: projection, as it was trained with."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a bundle: ONNX networks in several precisions, each compared with the one it is made of, projection and bank.

    Given what a run was trained with, a checkpoint gives the run's own bundle again.
    """
    started = time.perf_counter()
    if output.resolve() == source.resolve():
        raise StoreError(f"{output}: is what is exported; give another folder")
    from copytrace.export.bundle import check_target

    check_target(output)
    wanted = [one.value for one in precision or _Precision]
    if (source / MANIFEST).exists():
        if validation is not None or whitened is not None:
            raise typer.BadParameter("a bundle keeps its projection and constants: no --validation, no --whitened")
        from copytrace.export.add_precisions import add_precisions

        quality = add_precisions(Bundle(source), output, wanted, photos or [], PHOTOS / "references")
    else:
        folder = _run_of(source)
        if not photos:
            raise typer.BadParameter("a checkpoint needs --photos: projection, bank and int8 are fitted on photographs")
        from ..run import export_run

        quality = export_run(folder, photos, output, wanted, _say, validation=validation, whitened=whitened)
    seconds = round(time.perf_counter() - started, 1)
    figures = "".join(f"\n{name} {value}" for name, value in quality.items() if not isinstance(value, dict))
    print_result(
        {"bundle": str(output), "seconds": seconds, "quality": quality},
        f"{output}: made in {seconds} s{figures}",
        as_json,
    )


@app.command()
def verify(
    bundle: Annotated[
        Path, typer.Argument(help="A bundle; default: the one in the package.", parser=path)
    ] = DEFAULT_BUNDLE,
    images: Annotated[
        list[Path] | None, typer.Option(help="Photographs to compare on (several times: on all). [default: the demo's]")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Of these photographs, at most.")] = 200,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(help="Run that a network is of, to compare with torch; for each network one, in their order."),
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(help="A folder with references/, queries/ and truth.csv, for micro-AP. [default: the demo's]"),
    ] = None,
    device: Annotated[
        Device, typer.Option(help="cuda: also compare what a graphics card computes; auto: where there is one.")
    ] = "auto",
    min_cosine: Annotated[
        float, typer.Option(min=-1.0, max=1.0, callback=number, help="Least cosine of float32 and fp16.")
    ] = 0.9999,
    int8_cosine: Annotated[
        float, typer.Option(min=-1.0, max=1.0, callback=number, help="Least mean cosine of int8.")
    ] = 0.97,
    max_loss: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, callback=number, help="Most micro-AP that a precision may lose to float32."),
    ] = 0.02,
    as_json: AsJson = False,
) -> None:
    """Compare a bundle's networks, in every precision, with torch or ONNX float32. Exit code 1 where a limit is broken."""
    from copytrace.export.verify import Limits, Verification, runtimes_on
    from copytrace.export.verify import verify as compare

    limits = Limits(min_cosine, int8_cosine, max_loss)
    opened = Bundle(bundle)
    result: Verification = compare(
        opened,
        images or [PHOTOS / "references"],
        count,
        trained=_trained(checkpoint or []),
        labelled=truth or PHOTOS,
        limits=limits,
        runtimes=runtimes_on(device),
    )
    rows = [
        f"{row.network:<12} {row.runtime:<12} {row.precision:<8} to {row.to}: cosine mean {row.parity.mean:.6f}, "
        f"1st percentile {row.parity.first_percentile:.6f}, min {row.parity.minimum:.6f}"
        for row in result.compared
    ]
    rows += [f"micro-AP {precision:<8} {value:.4f}" for precision, value in result.micro_ap.items()]
    rows += [f"wrong: {line}" for line in result.wrong] or ["all within the limits"]
    print_result({"bundle": str(bundle)} | result.to_dict(), "\n".join(rows), as_json)
    if result.wrong:
        raise typer.Exit(1)


def _run_of(source: Path) -> Path:
    """The folder of the run that a checkpoint is of. Raises: CopytraceError."""
    from ..loop.checkpoint import CHECKPOINT
    from ..loop.run_folder import RUN

    folder = source.parent if source.name == CHECKPOINT else source
    if not (folder / RUN).is_file():
        raise CopytraceError(f"{source}: neither a run of train with its {RUN} and {CHECKPOINT}, nor a bundle")
    return folder


def _trained(checkpoints: Sequence[Path]) -> list[Any]:
    """The networks of runs, computed by torch. Raises: CopytraceError."""
    if not checkpoints:
        return []
    import torch

    from copytrace.export.verify import TrainedNetwork

    from ..loop.trained import trained_network

    def opened(source: Path) -> TrainedNetwork:
        network, settings = trained_network(_run_of(source))

        @torch.inference_mode()
        def embed(pixels: Any) -> Any:
            parts = [network(torch.from_numpy(pixels[i : i + 16])).numpy() for i in range(0, len(pixels), 16)]
            return torch.cat([torch.from_numpy(part) for part in parts]).numpy()

        dimension = embed(torch.zeros((1, settings.size, settings.size, 3), dtype=torch.uint8).numpy()).shape[1]
        return TrainedNetwork(str(source), settings.size, dimension, embed)

    return [opened(source) for source in checkpoints]
