"""``--index``: references are searched by an index in Milvus."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from ..api import Engine
from ..candidates import NearestReferences, nearest_references
from ..errors import MilvusError
from ..milvus import FORMS, MilvusAddress
from ..milvus_index import IndexState, open_candidates
from .console import errors


def milvus_address(text: str | MilvusAddress) -> MilvusAddress:
    try:
        return text if isinstance(text, MilvusAddress) else MilvusAddress.parse(text)
    except MilvusError as error:
        raise typer.BadParameter(str(error)) from None


IndexOption = Annotated[
    MilvusAddress | None,
    typer.Option(
        "--index",
        help=f"Search by an index in Milvus, made of the collection and brought up to date; approximate. {FORMS}.",
        metavar="ADDRESS",
        parser=milvus_address,
    ),
]


@contextmanager
def searched(
    index: MilvusAddress | None, collection: Path, engine: Engine
) -> Iterator[tuple[NearestReferences, IndexState | None]]:
    """Who finds the nearest references, and what index it is, if it is one."""
    if index is None:
        yield nearest_references, None
        return
    with open_candidates(index, collection, threads=engine.embedder.workers) as (candidates, state):
        errors.print(state.line())
        yield candidates, state
