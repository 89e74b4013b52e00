"""The routes of HMA (Hasher-Matcher-Actioner) that its clients call, answered from the collection being served.

Shapes are those of HMA: distances as text, errors as ``{"message"}``. There is one signal type, ``copytrace``, and one content
type, ``photo``. A content is a reference, its id the reference's number. No route fetches URLs.
"""

from typing import Any

from fastapi import APIRouter

from . import curation, hashing, matching, status
from .forms import Message

router = APIRouter(tags=["hma"])
_ERRORS: dict[int | str, dict[str, Any]] = {
    code: {"model": Message} for code in (400, 401, 403, 404, 413, 415, 429, 503)
}
for part in (hashing, matching, curation):
    router.include_router(part.router, responses=_ERRORS)
router.include_router(status.router)

__all__ = ["router"]
