"""The service's client, in two forms with the same methods. Needs the extra ``serve``.

::

    from copytrace.engine.client import Client

    with Client("http://127.0.0.1:8000", key="ct_...") as client:
        client.add(["a.jpg", "b.jpg"], metadata=[{"owner": "A"}, None])
        (image,) = client.match("upload.jpg", k=3).items
        print(image.matches[0].id, image.matches[0].verdict)
"""

from ..errors import optional_module

optional_module("httpx", "serve")

from .asynchronous import AsyncClient  # noqa: E402
from .calls import RequestFailedError, ServedImage  # noqa: E402
from .synchronous import Client  # noqa: E402

__all__ = ["AsyncClient", "Client", "RequestFailedError", "ServedImage"]
