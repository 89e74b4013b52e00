"""The page: match an image in the browser, and look through the references."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse

router = APIRouter(include_in_schema=False)
FOLDER = Path(__file__).parent.parent / "page"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {"Content-Security-Policy": _POLICY}


@router.get("/")
async def index() -> FileResponse:
    """Nothing of the collection is in it; what it shows it asks for with the key that is entered."""
    return FileResponse(FOLDER / "index.html", headers=_HEADERS)


@router.get("/page.js")
async def script() -> FileResponse:
    return FileResponse(FOLDER / "page.js", headers=_HEADERS)


@router.get("/page.css")
async def style() -> FileResponse:
    return FileResponse(FOLDER / "page.css", headers=_HEADERS)
