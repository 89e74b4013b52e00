"""``/v1/embed``."""

from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response

from ...embedder import Role
from ..computing import Computed, Wanted
from ..failure import RequestError
from ..forms import EmbedAnswer, EmbeddedImage
from .context import Reader, TheService, images_body

router = APIRouter(prefix="/v1", tags=["embed"])
RAW = "application/octet-stream"


@router.post("/embed", response_model=EmbedAnswer, openapi_extra=images_body())
async def embed(
    request: Request,
    service: TheService,
    caller: Reader,
    role: Annotated[Role, Query(description="Queries are also moved away from the bank.")] = "reference",
    format: Annotated[
        Literal["json", "float32"] | None,
        Query(description="float32: the rows alone, little-endian, and no image may be bad. Default: by Accept."),
    ] = None,
) -> Response:
    """The descriptors of images."""
    service.check_room()
    async with service.uploads.read(request) as upload:
        output = service.engine.embedder.output_for(role)
        results = await service.compute(request, [Wanted(image.data, output) for image in upload.images])
        names = [image.name for image in upload.images]
    if format == "float32" or (format is None and RAW in request.headers.get("accept", "")):
        return _raw(names, results.images)
    items = [
        EmbeddedImage(
            name=name,
            descriptor=None if one.row is None else one.row.tolist(),
            error=one.reason,
            damaged=one.damaged,
        )
        for name, one in zip(names, results.images, strict=True)
    ]
    answer = EmbedAnswer(items=items, dimension=service.references.index.dimension, bundle=service.bundle_hash)
    return JSONResponse(answer.model_dump())


def _raw(names: list[str], images: list[Computed]) -> Response:
    """Raises: RequestError for a bad image, which rows alone cannot tell of."""
    bad = [f"{name or 'image'}: {one.reason}" for name, one in zip(names, images, strict=True) if one.reason]
    if bad:
        raise RequestError(422, "images", "; ".join(bad))
    rows = np.stack([one.row for one in images if one.row is not None])
    shape = f"{rows.shape[0]},{rows.shape[1]}"
    return Response(rows.astype("<f4").tobytes(), media_type=RAW, headers={"X-Copytrace-Shape": shape})
