"""``/v1/match``."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from time import perf_counter
from typing import Annotated

from fastapi import APIRouter, Query, Request

from ...collection import Thresholds
from ...matches import Match
from ..computing import Computed
from ..failure import RequestError
from ..forms import FoundMatch, MatchAnswer, MatchedImage, ThresholdValues
from ..service import Service, Verify
from ..verdicts import similarity_probabilities
from .context import Admin, Reader, TheService, images_body

router = APIRouter(prefix="/v1", tags=["match"])


@router.post("/match", openapi_extra=images_body())
async def match(
    request: Request,
    service: TheService,
    caller: Reader,
    k: Annotated[int, Query(ge=1, le=1000, description="References at most, for each image.")] = 10,
    verify: Annotated[
        Verify | None,
        Query(
            description="none: by the descriptor of the whole picture alone. candidates: also by turns and regions, and the "
            "ten most alike are verified by local features. full: also those that most local features vote for, which "
            "needs an index of them in memory. Default: candidates where the collection keeps local features."
        ),
    ] = None,
    evidence: Annotated[bool, Query(description="Tell what speaks for each match.")] = False,
) -> MatchAnswer:
    """The references that images are most likely copies of, the likeliest first. A bad image is its own item's error."""
    return await answer(request, service, k, verify, evidence)


async def answer(request: Request, service: Service, k: int, verify: Verify | None, evidence: bool) -> MatchAnswer:
    """The same for a caller that may ask. Raises: RequestError."""
    begun = perf_counter()
    service.check_room()
    chosen: Verify = verify or ("candidates" if service.keeps_features else "none")
    if chosen != "none" and not service.keeps_features:
        raise RequestError(409, "no_features", "the collection keeps no local features; give verify=none")
    async with service.uploads.read(request) as upload:
        received = perf_counter() - begun
        queries = [service.as_query(image.data, k, chosen) for image in upload.images]
        results = await service.compute(request, queries)
        thresholds = service.thresholds.current()
        answered = [
            (image, one, _item(service, thresholds, image.name, one, evidence))
            for image, one in zip(upload.images, results.images, strict=True)
        ]
        await service.reviewing.queue(answered)
    items = [item for _, _, item in answered]
    service.today.count_matched(items)
    timings = {"receive": received, **results.seconds, "total": perf_counter() - begun}
    exact = service.references.index.is_exact
    return MatchAnswer(items=items, bundle=service.bundle_hash, exact=exact, timings=timings)


@router.get("/thresholds")
async def get_thresholds(service: TheService, caller: Reader) -> ThresholdValues:
    """What verdicts go by."""
    thresholds = service.thresholds.current()
    return ThresholdValues(match=thresholds.match, review=thresholds.review)


@router.put("/thresholds")
async def put_thresholds(service: TheService, caller: Admin, body: ThresholdValues) -> ThresholdValues:
    """Let verdicts go by other thresholds; they are kept in the collection."""
    if body.review > body.match:
        raise RequestError(422, "thresholds", "review must not be above match")
    await service.write(partial(service.thresholds.set, Thresholds(body.match, body.review), caller.name))
    return body


def _item(service: Service, thresholds: Thresholds, name: str, one: Computed, evidence: bool) -> MatchedImage:
    if one.matches is None:
        return _image(name, _nearest(service, thresholds, one), one)
    return _image(name, _verified(thresholds, name, one.matches, evidence), one)


def _image(name: str, found: list[FoundMatch], one: Computed) -> MatchedImage:
    return MatchedImage(name=name, matches=found, error=one.reason, damaged=one.damaged)


def _verified(thresholds: Thresholds, name: str, matches: Sequence[Match], evidence: bool) -> list[FoundMatch]:
    return [
        FoundMatch(
            id=match.reference_id,
            score=match.score,
            probability=match.probability,
            verdict=thresholds.verdict(match.probability),
            evidence=asdict(match.evidence) | {"query_id": name} if evidence else None,
        )
        for match in matches
    ]


def _nearest(service: Service, thresholds: Thresholds, one: Computed) -> list[FoundMatch]:
    scores = [score for _, score in one.nearest]
    probabilities = similarity_probabilities(service.constants.views, scores)
    return [
        FoundMatch(id=found, score=score, probability=value, verdict=thresholds.verdict(value))
        for (found, score), value in zip(one.nearest, probabilities, strict=True)
    ]
