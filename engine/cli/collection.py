"""``copytrace collection``: references kept in one folder."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ..alike import decoders_in, precision_of
from ..bundle import DEFAULT_BUNDLE
from ..collection import Collection, Reference, read_metadata
from ..decoded_by import DECODER, decoder_attribute
from ..embedder import Damaged
from ..errors import CollectionError
from ..exchange import export_descriptors, import_descriptors
from ..manifest import Precision
from ..match.views import CROP_LABELS
from ..read import DEFAULT_BYTE_LIMIT, DEFAULT_PIXEL_LIMIT
from ..run import OnError
from ..stored_crops import COST, will_make_crops
from . import added, keys, thresholds
from .console import Interrupted, errors, print_result, progress_bar
from .opening import open_engine
from .options import DeviceOption, IdsOption, RuntimeOption, path

app = typer.Typer(help="Keep references in one folder: add, remove, list, check, export, import, backup, compact.")
app.add_typer(keys.app, name="key", no_args_is_help=True)
app.command()(keys.audit)
app.command()(thresholds.thresholds)
Folder = Annotated[
    Path, typer.Argument(help="The collection's folder, such as refs.ct.", metavar="REFS.CT", parser=path)
]
Replace = Annotated[
    bool, typer.Option("--replace", help="Let the new take the place of what is there under the same id.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]


@app.command()
def add(
    collection: Folder,
    source: Annotated[
        Path,
        typer.Argument(
            help="A folder (recursive), uncompressed tar, Parquet file, text file of paths, image, or - (paths on stdin).",
            parser=path,
        ),
    ],
    metadata: Annotated[
        Path | None,
        typer.Option(
            help="CSV with a column id, or JSON lines with an id: what to keep with images. Its keys go before those of the "
            "source's own metadata.",
            parser=path,
        ),
    ] = None,
    source_metadata: Annotated[
        bool,
        typer.Option(
            help="Keep what stands beside images: WebDataset's JSON in tars, the other columns of Parquet files. References "
            "that have metadata keep it unless --replace is given.",
        ),
    ] = True,
    features: Annotated[
        bool | None,
        typer.Option(
            help="Keep local features and a thumbnail of each, some 35 KB, for match and verify; without them only "
            "match --mode views works. Default: as the collection does; a new one keeps them.",
            show_default=False,
        ),
    ] = None,
    crops: Annotated[
        bool | None,
        typer.Option(
            help=f"Keep the descriptors of nine crops of each, which match compares too: {COST}, 9,216 bytes at 256 numbers. "
            "Fixed when the collection is made. Default: as the collection does; a new one keeps none.",
            show_default=False,
        ),
    ] = None,
    replace: Replace = False,
    bundle: Annotated[
        Path, typer.Option(help="Folder with networks, projection and bank.", parser=path)
    ] = DEFAULT_BUNDLE,
    precision: Annotated[
        Precision | None, typer.Option(help="Which of the bundle's networks (default: the collection's, or int8).")
    ] = None,
    device: DeviceOption = "auto",
    runtime: RuntimeOption = "auto",
    ids: IdsOption = "stem",
    on_error: Annotated[OnError, typer.Option(help="Bad images: list them, or stop at the first.")] = "skip",
    damaged: Annotated[
        Damaged,
        typer.Option(help="Damaged images that can still be decoded: keep them, or leave them out. Listed anyway."),
    ] = "keep",
    threads: Annotated[int | None, typer.Option(min=1, help="Default: all processors.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Images per network call; changes no result.")] = None,
    pixel_limit: Annotated[int, typer.Option(min=1, help="Images with more pixels are refused.")] = DEFAULT_PIXEL_LIMIT,
    byte_limit: Annotated[int, typer.Option(min=1, help="Images of more bytes are not read.")] = DEFAULT_BYTE_LIMIT,
    as_json: AsJson = False,
) -> None:
    """Embed images and keep them as references; the collection is made where there is none.

    Images that are there already, with the same bytes, are left alone: an interrupted run goes on with the same command.
    """
    values = read_metadata(metadata) if metadata else {}
    chosen = precision or precision_of(collection)
    engine = open_engine(
        bundle,
        precision=chosen,
        device=device,
        runtime=runtime,
        threads=threads,
        batch=batch_size,
        pixel_limit=pixel_limit,
    )
    if will_make_crops(collection, crops):
        stored = 4 * engine.dimension * len(CROP_LABELS)
        errors.print(f"with crops: {COST} for each reference, {stored:,} bytes")
    try:
        with progress_bar("adding") as progress:
            result = engine.add_source(
                source,
                collection,
                ids=ids,
                metadata=values,
                source_metadata=source_metadata,
                features=features,
                crops=crops,
                replace=replace,
                on_error=on_error,
                byte_limit=byte_limit,
                damaged=damaged,
                progress=progress,
            )
    except Interrupted:
        raise Interrupted("interrupted; what is done is kept, run the same command again to go on") from None
    if result.unused_metadata:
        first, count = result.unused_metadata[0], len(result.unused_metadata)
        errors.print(f"warning: metadata of {count} ids that are no image of {source}, the first is {first!r}")
    shown = {**added.as_dict(result, collection), "runtime": engine.runtime}
    nothing = len(result.failed) == result.images
    if nothing:
        shown["error"] = f"none of the {result.images} images could be used"
    print_result(shown, f"computed by {engine.runtime}\n{added.as_text(result, collection)}", as_json)
    if nothing:
        errors.print(f"error: {shown['error']}")
        raise typer.Exit(1)


@app.command()
def remove(
    collection: Folder,
    ids: Annotated[list[str] | None, typer.Argument(help="Ids of references.")] = None,
    listed: Annotated[
        Path | None, typer.Option("--from", help="A text file with an id on each line.", parser=path)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Remove references, all that are named or none."""
    wanted = [*(ids or []), *(_read_lines(listed) if listed else [])]
    if not wanted:
        raise typer.BadParameter("give ids, or --from FILE")
    with Collection.open(collection, write=True) as opened:
        removed = opened.remove(wanted)
        result = {"collection": str(collection), "removed": removed, "references": len(opened)}
    print_result(result, f"{removed} removed, {result['references']} left: {collection}", as_json)


@app.command("list")
def list_references(
    collection: Folder,
    after: Annotated[str | None, typer.Option(help="Begin behind this id.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many (default: all).")] = None,
    as_json: AsJson = False,
) -> None:
    """List the references in the order of their ids."""
    with Collection.open(collection) as opened:
        references = opened.references(after, -1 if limit is None else limit)
        result = {
            "collection": str(collection),
            "count": len(opened),
            "dimension": opened.dimension,
            "attributes": opened.attributes,
            "properties": {k: v for k, v in opened.properties.items() if k not in ("dimension", "attributes")},
            "dead_bytes": opened.dead_bytes,
            "references": [asdict(reference) for reference in references],
        }
        decoders = decoder_attribute(decoders_in(opened)).get(DECODER)
    lines = [_line(reference) for reference in references]
    by = f", pixels decoded by {decoders}" if decoders else ""
    print_result(result, "\n".join([*lines, f"{result['count']} references{by}: {collection}"]), as_json)


@app.command()
def check(collection: Folder, as_json: AsJson = False) -> None:
    """Compare every checksum, count and place; exit code 1 when something is damaged."""
    with Collection.open(collection) as opened:
        problems = opened.check()
    text = "\n".join(problems) or f"{collection}: whole"
    print_result({"collection": str(collection), "valid": not problems, "problems": problems}, text, as_json)
    if problems:
        raise typer.Exit(1)


@app.command("export")
def export_file(
    collection: Folder,
    output: Annotated[Path, typer.Option("-o", "--output", help="The descriptor file (HDF5) to write.", parser=path)],
    as_json: AsJson = False,
) -> None:
    """Write the references to a descriptor file, with sha256, size, metadata and what match needs."""
    with Collection.open(collection) as opened:
        count = export_descriptors(opened, output)
    print_result({"output": str(output), "references": count}, f"{count} references: {output}", as_json)


@app.command("import")
def import_file(
    collection: Folder,
    descriptors: Annotated[Path, typer.Argument(help="A descriptor file of references, or a submission.", parser=path)],
    replace: Replace = False,
    as_json: AsJson = False,
) -> None:
    """Add the rows of a descriptor file; the collection is made where there is none."""
    result = import_descriptors(descriptors, collection, replace=replace)
    text = f"{result.added} added, {result.replaced} replaced, {result.unchanged} there already: {collection}"
    print_result({"collection": str(collection), **asdict(result)}, text, as_json)


@app.command()
def backup(
    collection: Folder,
    target: Annotated[Path, typer.Argument(help="The folder to write; it is a collection of its own.", parser=path)],
    as_json: AsJson = False,
) -> None:
    """Copy a collection as it is at this moment, while others may be changing it, and check the copy."""
    with Collection.open(collection) as opened:
        opened.backup(target)
    with Collection.open(target) as copy:
        count = len(copy)
    print_result({"output": str(target), "references": count}, f"{count} references: {target}", as_json)


@app.command()
def compact(collection: Folder, as_json: AsJson = False) -> None:
    """Rewrite the files without what was removed; happens by itself once more is dead than alive."""
    with Collection.open(collection, write=True) as opened:
        freed = opened.compact()
    print_result({"collection": str(collection), "freed_bytes": freed}, f"{freed:,} bytes freed: {collection}", as_json)


def _read_lines(file: Path) -> list[str]:
    try:
        return [line for line in file.read_text(encoding="utf-8-sig").split("\n") if line]
    except UnicodeDecodeError:
        raise CollectionError(f"{file}: not a UTF-8 text file") from None


def _line(reference: Reference) -> str:
    """One line, whatever the id is made of."""
    name = reference.id if reference.id.isprintable() else json.dumps(reference.id, ensure_ascii=False)
    size = "" if reference.size is None else f"{reference.size:,} bytes"
    metadata = json.dumps(reference.metadata, ensure_ascii=False) if reference.metadata else ""
    return "  ".join(part for part in (name, size, metadata) if part)
