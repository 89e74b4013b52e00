"""The verb ``bundle``: what is in a bundle, and rewriting one of an older format."""

import json
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from copytrace.engine import DEFAULT_BUNDLE, Bundle, MissingExtraError
from copytrace.engine.cli.console import errors
from copytrace.engine.cli.options import path
from copytrace.engine.manifest import MatchingFile

from ..check import check_arrays, check_networks

app = typer.Typer(no_args_is_help=True, help="Show what is in a bundle, or rewrite one of an older format.")

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]


@app.command()
def info(
    folder: Annotated[
        Path, typer.Argument(help="A bundle; default: the one in the package.", parser=path)
    ] = DEFAULT_BUNDLE,
    as_json: AsJson = False,
) -> None:
    """Check a bundle, and show what is in it.

    Its networks are opened where ONNX Runtime is installed (the extra cpu).
    """
    bundle = Bundle(folder)
    check_arrays(bundle)
    try:
        check_networks(bundle)
    except MissingExtraError as error:
        errors.print(f"its networks were not opened: {error}")
    if as_json:
        print(json.dumps(_as_dict(bundle), ensure_ascii=False))
    else:
        print(_as_text(bundle))


@app.command()
def upgrade(
    folder: Annotated[Path, typer.Argument(help="A bundle.", parser=path)],
    as_json: AsJson = False,
) -> None:
    """Rewrite a bundle's manifest in the newest format. Its other files and its descriptors stay what they are.

    A matching.json and a quantisers.npz that lie in the folder become part of the bundle.
    """
    from ..bundle import upgrade as rewrite

    manifest = rewrite(folder)
    result = {"bundle": str(folder), "format": manifest.format}
    print(json.dumps(result) if as_json else f"{folder}: its manifest has format {manifest.format}")


def _as_dict(bundle: Bundle) -> dict[str, Any]:
    return {
        "bundle": str(bundle.path),
        "space": bundle.space,
        "recipe": bundle.recipe,
        "matching": bundle.matching,
        "bytes": sum((bundle.path / entry.file).stat().st_size for entry in bundle.manifest.files),
        "manifest": bundle.manifest.model_dump(),
    }


def _as_text(bundle: Bundle) -> str:
    manifest, how = bundle.manifest, bundle.normalisation()
    lines = [f"{manifest.name or '(without a name)'}: {bundle.path}"]
    for network in manifest.networks:
        lines.append(
            f"network {network.name}: {network.role}, {network.input_size} x {network.input_size} pixels -> "
            f"{network.dimension} values; {', '.join(network.precisions)}"
        )
    lines += [
        f"projection: {manifest.projection.input_dimension} -> {manifest.projection.dimension}",
        f"bank: {manifest.bank.rows} rows",
        f"normalisation: method {how.method}, beta {how.beta:g}, {how.cosines} cosines, {how.directions} directions",
    ]
    if manifest.score_normalisation is not None:
        lines.append(f"scores: alpha {manifest.score_normalisation.alpha:g}, n {manifest.score_normalisation.n}")
    lines += [f"threshold {name}: {score:g}" for name, score in manifest.thresholds.items()]
    for name in get_args(MatchingFile):
        own = manifest.matching.get(name)
        lines.append(f"{name} of matching: {'those of the default bundle' if own is None else own.file}")
    hashes = {"space": bundle.space, "recipe": bundle.recipe, "matching": bundle.matching}
    return "\n".join([*lines, *(f"{name} {value}" for name, value in hashes.items())])
