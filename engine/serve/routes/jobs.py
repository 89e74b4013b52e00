"""``/v1/jobs``."""

from functools import partial

from fastapi import APIRouter

from ..forms import ErrorAnswer, JobAnswer, JobList, NewJob
from .context import Reader, TheService, Writer

router = APIRouter(prefix="/v1", tags=["jobs"])


@router.post("/jobs", status_code=202)
async def start(service: TheService, caller: Writer, body: NewJob) -> JobAnswer:
    """Import a folder, tar or list of paths that lies on the service's own machine, where that is allowed."""
    service.check_ready()
    return await service.read(partial(service.jobs.start, body.source, body.replace, caller.name))


@router.get("/jobs")
async def list_jobs(service: TheService, caller: Reader) -> JobList:
    """The jobs, the newest first."""
    return JobList(items=service.jobs.all())


@router.get("/jobs/{id}", responses={404: {"model": ErrorAnswer}})
async def get(service: TheService, caller: Reader, id: str) -> JobAnswer:
    """How far a job is."""
    return service.jobs.get(id)


@router.post("/jobs/{id}/cancel", responses={404: {"model": ErrorAnswer}, 409: {"model": ErrorAnswer}})
async def cancel(service: TheService, caller: Writer, id: str) -> JobAnswer:
    """Let a job go no further; what it has added stays."""
    return await service.read(partial(service.jobs.cancel, id))
