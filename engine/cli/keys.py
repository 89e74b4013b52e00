"""``copytrace collection key``: who may use a collection that is served."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ..collection import Collection, Keys, Role
from .console import print_result
from .options import path

app = typer.Typer(help="Make, list and revoke keys to the service, also while it runs.")
WHO = "command line"
Folder = Annotated[Path, typer.Argument(help="The collection's folder.", metavar="REFS.CT", parser=path)]
Name = Annotated[str, typer.Argument(help="What the key is called, in lists and in the audit log.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]


@app.command("add")
def add_key(
    collection: Folder,
    name: Name,
    role: Annotated[
        Role,
        typer.Option(
            help="read: match and list; write: also add and delete; review: read, and decide; admin: everything."
        ),
    ] = "read",
    as_json: AsJson = False,
) -> None:
    """Make a key and print it; it is shown this once."""
    with Keys(collection) as keys:
        secret = keys.add(name, role, WHO)
    print_result({"collection": str(collection), "name": name, "role": role, "key": secret}, secret, as_json)


@app.command("list")
def list_keys(collection: Folder, as_json: AsJson = False) -> None:
    """List all keys that ever were; the keys themselves are not kept."""
    with Keys(collection) as keys:
        found = keys.list_keys()
    shown = [
        {"name": k.name, "role": k.role, "created": k.created, "used": k.used or None, "revoked": k.revoked or None}
        for k in found
    ]
    lines = [
        f"{key.name}  {key.role}  made {key.created}  "
        + (f"revoked {key.revoked}" if key.revoked else f"used {key.used or 'never'}")
        for key in found
    ]
    print_result({"collection": str(collection), "keys": shown}, "\n".join([*lines, f"{len(found)} keys"]), as_json)


@app.command("revoke")
def revoke_key(collection: Folder, name: Name, as_json: AsJson = False) -> None:
    """Let a key be valid no more; a service that runs refuses it from then on."""
    with Keys(collection) as keys:
        keys.revoke(name, WHO)
    print_result({"collection": str(collection), "revoked": name}, f"{name}: revoked", as_json)


def audit(
    collection: Folder,
    after: Annotated[int, typer.Option(min=0, help="Begin behind the entry of this number.")] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many (default: all).")] = None,
    as_json: AsJson = False,
) -> None:
    """Show who changed what through the service, and when."""
    with Collection.open(collection) as opened:
        entries = opened.audit(after, -1 if limit is None else limit)
    lines = [f"{entry.number}  {entry.time}  {entry.who}  {entry.action}  {entry.what}" for entry in entries]
    shown = [asdict(entry) for entry in entries]
    print_result(
        {"collection": str(collection), "entries": shown}, "\n".join([*lines, f"{len(entries)} entries"]), as_json
    )
