"""``/h/hash``."""

from fastapi import APIRouter, Request

from ...alike import OUTPUT
from ..computing import Wanted
from ..routes.context import Reader, TheService
from .context import PHOTO_BODY, SIGNAL_TYPE, ContentType, Types, Url, check_types, no_url, one_photo, signal_of

router = APIRouter(prefix="/h")


@router.get("/hash")
async def hash_url(
    caller: Reader, url: Url = None, content_type: ContentType = None, types: Types = None
) -> dict[str, str]:
    """Refused: the service fetches nothing."""
    raise no_url()


@router.post("/hash", openapi_extra=PHOTO_BODY)
async def hash_file(request: Request, service: TheService, caller: Reader, types: Types = None) -> dict[str, str]:
    """The signal of a photograph; "" for a file that is none."""
    check_types(types)
    async with one_photo(service, request) as upload:
        (one,) = (await service.compute(request, [Wanted(upload.images[0].data, OUTPUT)])).images
    return {SIGNAL_TYPE: signal_of(service, one)}
