"""Jobs, one after the other: imports from a folder or tar on the service's own machine, and the search for duplicates.

Jobs are kept in the collection. One that was cut off begins anew when the service does; what is there already, with the same
bytes, is passed over, so that it ends with the same references.
"""

import hashlib
import logging
import secrets
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from threading import Event, Lock
from typing import TYPE_CHECKING, Any

from ..collection.audit import now
from ..collection.found_duplicates import DuplicatePair, FoundDuplicates
from ..dedup.find import DEFAULT_MAX_DISTANCE
from ..errors import CopytraceError, ServiceError
from ..pipeline import chunks_of
from ..read import Image, Source, open_source
from .duplicates import duplicate_pairs
from .failure import RequestError
from .forms import JobAnswer, NewJob
from .live import Newcomer, check_name

if TYPE_CHECKING:
    from .service import Service

log = logging.getLogger(__name__)

PROPERTY = "jobs"
KEPT = 100
LISTED_FAILURES = 100
_IMAGES = 16
_OPEN = ("waiting", "running")


class Jobs:
    """The jobs of a service. Methods that change something block; call them away from the event loop."""

    def __init__(self, service: "Service") -> None:
        self._service = service
        self._collection = service.references.collection
        self._jobs = {one["id"]: JobAnswer(**one) for one in self._collection.properties.get(PROPERTY, [])}
        self._found = FoundDuplicates(self._collection.path)
        self._lock = Lock()
        self._stop = Event()

    def start(self, new: NewJob, who: str) -> JobAnswer:
        """A job that waits for its turn. Raises: RequestError for a source that is not allowed or not there."""
        given = new.model_dump()
        if new.source is not None:
            given["source"] = str(allowed_path(new.source, self._service.settings.jobs_from))
        elif new.max_distance is None:
            given["max_distance"] = DEFAULT_MAX_DISTANCE
        job = JobAnswer(id=secrets.token_hex(8), **given, who=who, created=now())
        with self._lock:
            self._jobs[job.id] = job
            self._save()
        return job

    def all(self) -> list[JobAnswer]:
        """The newest first."""
        return sorted(self._jobs.values(), key=lambda job: job.created, reverse=True)

    def get(self, name: str) -> JobAnswer:
        """Raises: RequestError 404."""
        job = self._jobs.get(name)
        if job is None:
            raise RequestError(404, "missing", f"there is no job {name!r}")
        return job

    def cancel(self, name: str) -> JobAnswer:
        """Let a job go no further; what it has added stays. Raises: RequestError 404, 409 when it has ended."""
        with self._lock:
            job = self.get(name)
            if job.status not in _OPEN:
                raise RequestError(409, "ended", f"the job has ended: {job.status}")
            job.status = "cancelled"
            self._save()
        return job

    def run(self) -> None:
        """Work on jobs until ``stop``."""
        while not self._stop.wait(0.2):
            for job in reversed(self.all()):
                if job.status in _OPEN and not self._stop.is_set():
                    self._work(job)

    def stop(self) -> None:
        """Let ``run`` return soon; a job that is under way goes on when the service is started again."""
        self._stop.set()

    def duplicates(self, name: str, after: int, limit: int) -> list[DuplicatePair]:
        """What a job has found. Raises: RequestError 404; 409 when it has not ended, or looked for nothing of the kind."""
        job = self.get(name)
        if job.kind != "duplicates" or job.status != "finished":
            raise RequestError(
                409, "no_result", f"the job is {job.kind}, {job.status}: there are no duplicates to list"
            )
        return self._found.page(name, after, limit)

    def close(self) -> None:
        self._found.close()

    def _work(self, job: JobAnswer) -> None:
        if not self._begin(job):
            return
        try:
            if job.kind == "duplicates":
                self._find_duplicates(job)
            else:
                self._import_all(job)
            self._end(job, "finished")
        except (CopytraceError, OSError) as error:
            log.warning("job %s: %s", job.id, error)
            job.error = " ".join(str(error).split())
            self._end(job, "failed")
        except Exception:  # the next job is to have its turn
            log.exception("job %s", job.id)
            job.error = "an error of the service; the log has its traceback"
            self._end(job, "failed")

    def _begin(self, job: JobAnswer) -> bool:
        """Whether it may: it may have been cancelled after it was seen to wait."""
        with self._lock:
            if job.status not in _OPEN:
                return False
            job.status, job.done, job.added, job.replaced, job.unchanged, job.failed = "running", 0, 0, 0, 0, 0
            job.without_metadata, job.failures = 0, []
            return True

    def _find_duplicates(self, job: JobAnswer) -> None:
        def goes_on(done: int) -> bool:
            job.done, job.images = done, max(done, len(self._service.references))
            return self._goes_on(job)

        pairs = duplicate_pairs(self._service.references, job.max_distance or 0.0, goes_on)
        if self._goes_on(job):
            job.pairs = len(pairs)
            self._found.save(job.id, pairs, keep=self._jobs)

    def _import_all(self, job: JobAnswer) -> None:
        source = open_source(Path(job.source or ""))
        allowed = self._service.settings.jobs_from
        for file in source.files():
            if not _is_within(file.resolve(), allowed):  # by a link, or a list of paths
                raise ServiceError(f"{file}: leads out of the folders that jobs may read")
        job.images = len(source)
        for images in self._pieces(source, job):
            self._import(images, job)

    def _goes_on(self, job: JobAnswer) -> bool:
        return job.status == "running" and not self._stop.is_set()

    def _pieces(self, source: Source, job: JobAnswer) -> Iterator[list[Image]]:
        for images in chunks_of(source, _IMAGES):
            if not self._goes_on(job):
                return
            yield images

    def _end(self, job: JobAnswer, status: Any) -> None:
        with self._lock:
            if self._goes_on(job):
                job.status = status
                try:
                    self._save()
                except CopytraceError as error:  # a full disk; the job begins anew when the service does
                    log.warning("job %s: %s", job.id, error)

    def _import(self, images: Sequence[Image], job: JobAnswer) -> None:
        """Read, compute and add some images; those that are there with the same bytes are only read."""
        known = self._service.references.reader.find(image.id for image in images)
        read: list[tuple[Image, bytes, str]] = []
        for image in images:
            try:
                check_name(image.id)
                data = image.read()
            except (CopytraceError, OSError) as error:
                _fail(job, image.id, str(error))
                continue
            sha256 = hashlib.sha256(data).hexdigest()
            if image.id in known and known[image.id].sha256 == sha256:
                job.unchanged += 1
            else:
                read.append((image, data, sha256))
        results = self._service.compute_now([self._service.as_reference(data) for _, data, _ in read])
        newcomers = []
        for (image, data, sha256), one in zip(read, results, strict=True):
            if one.row is None:
                _fail(job, image.id, one.reason or "")
            else:
                metadata = _metadata(image, job)
                newcomers.append(Newcomer(image.id, sha256, len(data), one.row, metadata, one.looks()))
        add = partial(self._service.references.add, newcomers, job.who, replace=job.replace)
        for outcome in self._service.write_now(add):
            if outcome.status == "error":
                _fail(job, outcome.id, outcome.error or "")
            else:
                setattr(job, outcome.status, getattr(job, outcome.status) + 1)
        job.done += len(images)

    def _save(self) -> None:
        """Keep the jobs, of those that have ended the newest."""
        kept = self.all()[:KEPT]
        self._jobs = {job.id: job for job in kept}
        self._collection.set_properties(**{PROPERTY: [job.model_dump() for job in kept]})


def allowed_path(source: str, allowed: Sequence[Path]) -> Path:
    """A source without links and dots, which lies in one of the folders that are allowed. Raises: RequestError."""
    try:
        path = Path(source).resolve(strict=True)
    except (OSError, ValueError, RuntimeError):
        path = None
    if path is None or not _is_within(path, allowed):
        # The same answer for both: nobody is to learn what is there elsewhere.
        raise RequestError(
            403, "source", "the source is not there, or not in a folder that jobs may read (--jobs-from)"
        )
    return path


def _is_within(path: Path, allowed: Sequence[Path]) -> bool:
    return any(path.is_relative_to(folder.resolve()) for folder in allowed)


def _metadata(image: Image, job: JobAnswer) -> dict[str, Any] | None:
    """What the source has beside an image; where it cannot be read, the image is added without."""
    try:
        return image.metadata()
    except OSError as error:
        job.without_metadata += 1
        _list(job, image.id, f"no metadata: {error.strerror or error}")
        return None


def _fail(job: JobAnswer, name: str, reason: str) -> None:
    job.failed += 1
    _list(job, name, reason)


def _list(job: JobAnswer, name: str, reason: str) -> None:
    if len(job.failures) < LISTED_FAILURES:
        job.failures.append({"id": name, "reason": reason})
