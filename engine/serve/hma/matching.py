"""``/m``: what is in the banks that is like a photograph or a signal, and how two signals compare."""

from functools import partial
from time import time
from typing import Annotated

from fastapi import APIRouter, Body, Query, Request

from ...alike import OUTPUT
from ...signals import distance_text
from ..computing import Wanted
from ..failure import RequestError
from ..routes.context import Reader, TheService
from ..service import Service
from .banks import BankMatch, find_matches
from .context import (
    PHOTO_BODY,
    SIGNAL_TYPE,
    Banks,
    Bypass,
    ContentType,
    Seed,
    Types,
    Url,
    bank_names,
    check_signal,
    check_signal_type,
    check_types,
    descriptor,
    no_url,
    one_photo,
    signal_of,
)
from .forms import Comparison, ContentMatch, IndexStatus, RawMatches, Two

router = APIRouter(prefix="/m")

ByBank = dict[str, list[ContentMatch]]


@router.get("/lookup")
async def lookup_signal(
    service: TheService,
    caller: Reader,
    signal: str | None = None,
    signal_type: str | None = None,
    banks: Banks = None,
    url: Url = None,
    content_type: ContentType = None,
    types: Types = None,
    seed: Seed = None,
    bypass_coinflip: Bypass = False,
) -> ByBank:
    """What is like a signal, by bank, the nearest first."""
    if url is not None:
        raise no_url()
    if not signal or not signal_type:
        raise RequestError(400, "signal", "both signal and signal_type are required")
    return _by_bank(await _matches(service, signal, signal_type, banks))


@router.post("/lookup", openapi_extra=PHOTO_BODY)
async def lookup_file(
    request: Request,
    service: TheService,
    caller: Reader,
    banks: Banks = None,
    types: Types = None,
    seed: Seed = None,
    bypass_coinflip: Bypass = False,
) -> dict[str, ByBank]:
    """What is like a photograph, by signal type and bank, the nearest first."""
    check_types(types)
    async with one_photo(service, request) as upload:
        (one,) = (await service.compute(request, [Wanted(upload.images[0].data, OUTPUT)])).images
    signal = signal_of(service, one)
    check_signal(signal, one, "invalid signal")
    return {SIGNAL_TYPE: _by_bank(await _matches(service, signal, SIGNAL_TYPE, banks))}


@router.get("/raw_lookup")
async def raw_lookup(
    service: TheService,
    caller: Reader,
    signal: str,
    signal_type: str,
    banks: Banks = None,
    include_distance: Annotated[bool, Query(description="Give distances too.")] = False,
) -> RawMatches:
    """The ids of what is like a signal, the nearest first."""
    found = await _matches(service, signal, signal_type, banks)
    if include_distance:
        return RawMatches(matches=[_answer(one) for one in found])
    return RawMatches(matches=[one.content for one in found])


@router.post("/compare")
async def compare(
    service: TheService,
    caller: Reader,
    body: Annotated[dict[str, Two], Body(examples=[{SIGNAL_TYPE: ["Y3Qx...", "Y3Qx..."]}])],
) -> dict[str, Comparison]:
    """Whether two signals match, and their distance."""
    answer: dict[str, Comparison] = {}
    for signal_type, (first, second) in body.items():
        check_signal_type(signal_type)
        distance = service.signals.distance(descriptor(service, first), descriptor(service, second))
        answer[signal_type] = (distance <= service.signals.max_distance, {"distance": distance})
    return answer


@router.get("/index/status")
async def index_status(service: TheService, caller: Reader, signal_type: str | None = None) -> dict[str, IndexStatus]:
    """The index is live: what was acknowledged is in it."""
    if signal_type is not None:
        check_signal_type(signal_type)
    if service.state == "starting":
        return {SIGNAL_TYPE: IndexStatus(present=False, built_to=-1, size=0)}
    return {SIGNAL_TYPE: IndexStatus(present=True, built_to=int(time()), size=len(service.references))}


async def _matches(service: Service, signal: str, signal_type: str, banks: str | None) -> list[BankMatch]:
    check_signal_type(signal_type)
    row = descriptor(service, signal)
    service.check_ready()
    return await service.read(partial(find_matches, service, row, bank_names(banks)))


def _by_bank(found: list[BankMatch]) -> ByBank:
    answer: ByBank = {}
    for one in found:
        answer.setdefault(one.bank, []).append(_answer(one))
    return answer


def _answer(one: BankMatch) -> ContentMatch:
    return ContentMatch(bank_content_id=one.content, distance=distance_text(one.distance))
