"""``copytrace client``: a service called from a shell."""

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ..collection.reviews import Order
from ..read import Image, open_source
from .console import errors, print_result, progress_bar
from .options import IdsOption, path

if TYPE_CHECKING:
    from ..client import Client

app = typer.Typer(help="Call a running service: match, add, delete, reviews, decide.")
Url = Annotated[str, typer.Option(envvar="COPYTRACE_URL", help="Where the service is.")]
KeyOption = Annotated[
    str | None, typer.Option(envvar="COPYTRACE_KEY", help="An API key; better given by the environment than here.")
]
Pictures = Annotated[
    Path, typer.Argument(help="A folder (recursive), uncompressed tar, text file of paths, or image.", parser=path)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
DEFAULT_URL = "http://127.0.0.1:8000"
_MATCHED_AT_ONCE = 8


@app.command()
def match(
    images: Pictures,
    url: Url = DEFAULT_URL,
    key: KeyOption = None,
    k: Annotated[int, typer.Option(min=1, help="References at most, for each image.")] = 1,
    verify: Annotated[str | None, typer.Option(help="none, candidates or full (default: the service's).")] = None,
    ids: IdsOption = "stem",
    as_json: AsJson = False,
) -> None:
    """Print of which references images are copies: image, verdict, reference, probability, score."""
    source = open_source(images, ids=ids)
    items = []
    with _client(url, key) as client, progress_bar("matching") as progress:
        waiting: list[tuple[str, bytes]] = []
        for number, image in enumerate(source, 1):
            waiting.append((image.id, _bytes(image)))
            if len(waiting) == _MATCHED_AT_ONCE or number == len(source):
                items += client.match(waiting, k=k, verify=verify).items
                waiting = []
                progress(number, len(source), sum(item.error is not None for item in items))
    lines = []
    for item in items:
        lines += [f"{item.name}\t{m.verdict}\t{_plain(m.id)}\t{m.probability:.4f}\t{m.score:.6f}" for m in item.matches]
        lines += [f"{item.name}\terror\t{item.error}"] if item.error else []
    failed = sum(item.error is not None for item in items)
    _print({"items": [item.model_dump() for item in items]}, lines, as_json, failed == len(items))


@app.command()
def add(
    images: Pictures,
    url: Url = DEFAULT_URL,
    key: KeyOption = None,
    replace: Annotated[bool, typer.Option("--replace", help="Let images take the place of others.")] = False,
    ids: IdsOption = "stem",
    as_json: AsJson = False,
) -> None:
    """Add images as references; run again, it goes on where it was interrupted."""
    source = open_source(images, ids=ids)
    counts: dict[str, int] = {}
    failed: list[dict[str, str | None]] = []
    with _client(url, key) as client, progress_bar("adding") as progress:
        pictures = ((image.id, _bytes(image)) for image in source)
        done = client.add_many(pictures, ids=(image.id for image in source), replace=replace)
        for number, item in enumerate(done, 1):
            counts[item.status] = counts.get(item.status, 0) + 1
            if item.error:
                failed.append({"id": item.id, "reason": item.error})
            progress(number, len(source), len(failed))
    lines = [f"{one['id']}: {one['reason']}" for one in failed[:20]]
    lines.append(", ".join(f"{count} {status}" for status, count in sorted(counts.items())) or "no images")
    _print({"images": len(source), **counts, "failed": failed}, lines, as_json, len(failed) == len(source))


@app.command()
def delete(
    ids: Annotated[list[str], typer.Argument(help="Ids of references.")],
    url: Url = DEFAULT_URL,
    key: KeyOption = None,
    as_json: AsJson = False,
) -> None:
    """Delete references; exit code 1 when one was not there."""
    with _client(url, key) as client:
        items = client.delete(ids).items
    missing = [item.id for item in items if item.status == "missing"]
    text = f"{len(items) - len(missing)} deleted" + (f", not there: {', '.join(missing)}" if missing else "")
    print_result({"deleted": len(items) - len(missing), "missing": missing}, text, as_json)
    if missing:
        raise typer.Exit(1)


@app.command()
def reviews(
    url: Url = DEFAULT_URL,
    key: KeyOption = None,
    order: Annotated[Order, typer.Option(help="The newest first, or the most doubtful.")] = "newest",
    decided: Annotated[
        bool, typer.Option("--decided", help="Those that were decided on, not those that wait.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="Pairs at most.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Print pairs that somebody is to decide on: number, image, reference, probability, decision, who decided."""
    with _client(url, key) as client:
        found = list(islice(client.reviews(order=order, decided=decided), limit))
    lines = [
        f"{r.id}\t{_plain(r.name)}\t{_plain(r.reference)}\t{r.probability:.4f}\t{r.decision or ''}\t{r.who or ''}"
        for r in found
    ]
    print_result({"items": [one.model_dump() for one in found]}, "\n".join(lines) or "none", as_json)


@app.command()
def decide(
    decision: Annotated[Literal["accept", "reject", "undo"], typer.Argument(help="undo takes a decision back.")],
    numbers: Annotated[list[int], typer.Argument(min=1, help="Numbers of pairs, as reviews prints them.")],
    url: Url = DEFAULT_URL,
    key: KeyOption = None,
    as_json: AsJson = False,
) -> None:
    """Accept or reject pairs; exit code 1 when one was not there."""
    from ..client import RequestFailedError

    missing = []
    with _client(url, key) as client:
        for number in numbers:
            try:
                client.decide(number, None if decision == "undo" else decision)
            except RequestFailedError as error:
                if error.status != 404:
                    raise
                missing.append(number)
    done = len(numbers) - len(missing)
    text = f"{done} done" + (f", not there: {', '.join(map(str, missing))}" if missing else "")
    print_result({"decided": done, "missing": missing}, text, as_json)
    if missing:
        raise typer.Exit(1)


def _client(url: str, key: str | None) -> "Client":
    if not url.startswith(("http://", "https://")):
        raise typer.BadParameter(f"{url!r} is no address: it begins with http:// or https://")
    from ..client import Client

    return Client(url, key)


def _bytes(image: Image) -> bytes:
    """An image's bytes; none of one that cannot be read, which the service then says is no image."""
    try:
        return image.read()
    except OSError as error:
        errors.print(f"warning: {image.id}: {error.strerror or error}")
        return b""


def _plain(text: str) -> str:
    """What others have named, without what would move a terminal's cursor or make another line."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def _print(result: dict[str, Any], lines: list[str], as_json: bool, nothing: bool) -> None:
    """The result; nothing: whether no image could be used, which is exit code 1."""
    if nothing:
        result["error"] = "none of the images could be used"
    print_result(result, "\n".join(lines), as_json)
    if nothing:
        errors.print(f"error: {result['error']}")
        raise typer.Exit(1)
