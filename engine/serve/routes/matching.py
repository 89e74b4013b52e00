"""``/v1/match``."""

from time import perf_counter
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request

from ..computing import Computed, Wanted
from ..forms import FoundMatch, MatchAnswer, MatchedImage
from ..service import Service
from ..verdicts import similarity_probabilities
from .context import Reader, TheService, images_body

router = APIRouter(prefix="/v1", tags=["match"])
Verify = Literal["none"]


@router.post("/match", openapi_extra=images_body())
async def match(
    request: Request,
    service: TheService,
    caller: Reader,
    k: Annotated[int, Query(ge=1, le=1000, description="References at most, for each image.")] = 10,
    verify: Annotated[Verify, Query(description="How closely candidates are looked at.")] = "none",
    evidence: Annotated[bool, Query(description="Tell what speaks for each match.")] = False,
) -> MatchAnswer:
    """The references that images are most likely copies of, the likeliest first. A bad image is its own item's error."""
    begun = perf_counter()
    service.check_room()
    async with service.uploads.read(request) as upload:
        received = perf_counter() - begun
        output = service.engine.embedder.output_for("query")
        results = await service.compute(request, [Wanted(image.data, output, k) for image in upload.images])
        names = [image.name for image in upload.images]
    items = [_item(service, name, one) for name, one in zip(names, results.images, strict=True)]
    timings = {"receive": received, **results.seconds, "total": perf_counter() - begun}
    return MatchAnswer(items=items, bundle=service.bundle_hash, timings=timings)


def _item(service: Service, name: str, one: Computed) -> MatchedImage:
    scores = [score for _, score in one.nearest]
    probabilities = similarity_probabilities(service.constants.views, scores)
    matches = [
        FoundMatch(id=found, score=score, probability=value, verdict=service.thresholds.verdict(value))
        for (found, score), value in zip(one.nearest, probabilities, strict=True)
    ]
    return MatchedImage(name=name, matches=matches, error=one.reason, damaged=one.damaged)
