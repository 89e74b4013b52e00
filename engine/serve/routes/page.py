"""The page: log in, match an image, decide on what is doubtful, look through the references, see the day's numbers."""

import asyncio
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response

from ...errors import optional_module
from ..access import check_origin
from ..failure import RequestError
from ..sessions import COOKIE, set_cookie
from .context import TheService

router = APIRouter(include_in_schema=False)
FOLDER = Path(__file__).parent.parent / "page"
MAX_FORM_BYTES = 4096
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {"Content-Security-Policy": _POLICY}
_FILES = {path.name: path for path in sorted(FOLDER.iterdir()) if path.suffix in (".js", ".css")}


@router.get("/")
async def index(request: Request, service: TheService) -> Response:
    """Nothing of the collection is in it: what the page shows, it asks for by the routes that all use."""
    caller = service.access.visitor(request)
    return _login() if caller is None else _page("index.html", caller=caller, service=service)


@router.post("/login")
async def login(request: Request, service: TheService) -> Response:
    """Begin a session for the key in the form."""
    check_origin(request)
    try:
        async with asyncio.timeout(service.settings.request_seconds):
            form = await _form(request)
    except TimeoutError:
        raise RequestError(408, "slow", "the form took too long", {"Connection": "close"}) from None
    token = service.access.log_in(form.get("key", "").strip())
    if token is None:
        return _login("The key is not known, or not valid any more.", 401)
    answer = RedirectResponse(".", 303)
    set_cookie(request, answer, token)
    return answer


@router.post("/logout")
async def logout(request: Request, service: TheService) -> Response:
    check_origin(request)
    service.access.sessions.end(request)
    answer = RedirectResponse(".", 303)
    answer.delete_cookie(COOKIE)
    return answer


@router.get("/page/{name}")
async def file(name: str) -> Response:
    """Scripts and styles."""
    if name not in _FILES:
        raise RequestError(404, "missing", "there is no such file")
    return FileResponse(_FILES[name], headers=_HEADERS)


def _login(message: str = "", status: int = 200) -> Response:
    return _page("login.html", status, message=message)


def _page(name: str, status: int = 200, **values: Any) -> Response:
    return HTMLResponse(_templates().get_template(name).render(**values), status, _HEADERS)


@cache
def _templates() -> Any:
    jinja2 = optional_module("jinja2", "serve")
    return jinja2.Environment(loader=jinja2.FileSystemLoader(FOLDER), autoescape=True, undefined=jinja2.StrictUndefined)


async def _form(request: Request) -> dict[str, str]:
    """A small form. Raises: RequestError."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            raise RequestError(413, "body", f"the form has more than {MAX_FORM_BYTES} bytes", {"Connection": "close"})
    return {name: values[-1] for name, values in parse_qs(body.decode(errors="replace")).items()}
