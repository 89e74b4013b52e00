"""The service: a collection behind HTTP, searched while it changes. Needs the extra ``serve``.

::

    request -> access (key, role, rate) -> upload (limits) -> batcher (bounded queue) -> networks and search -> answer
                                                          \\-> writer (one thread): the collection, then the index

What searches reads snapshots of the index and never waits for the writer; an answer of success means that the change is on the
disk and in the index.
"""

from .settings import Settings, load_settings

__all__ = ["Settings", "load_settings"]
