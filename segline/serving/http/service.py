"""The service: from a request to a job, and the jobs whose answers may be fetched."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from segline.common.errors import SeglineError
from segline.inference.familiarity.drift import Entry
from segline.serving.http.bodies import Body, Part, body_of, linger
from segline.serving.http.faults import RefusedError, busy
from segline.serving.http.metrics import Metrics
from segline.serving.http.settings import Settings
from segline.serving.http.uploads import images_of, require_taken
from segline.serving.models.live import LiveModel
from segline.serving.work.answering import unplaced
from segline.serving.work.desk import BusyError, Desk
from segline.serving.work.dicom_web import DicomWeb
from segline.serving.work.images import Images
from segline.serving.work.job import Job, Sent, Status
from segline.serving.work.record import Record
from segline.serving.work.spool import Spool


class Service:
    """What the routes share."""

    def __init__(
        self,
        live: LiveModel,
        desk: Desk,
        spool: Spool,
        settings: Settings,
        drift: Record | None = None,
        dicom_web: DicomWeb | None = None,
    ) -> None:
        self.live, self.desk, self.spool, self.settings = live, desk, spool, settings
        self.dicom_web = dicom_web
        self._drift = drift
        self.metrics = Metrics(live, desk)
        self.images = Images(spool.give_back, settings.keep_s, settings.keep_jobs)
        self.draining = False
        self._jobs: dict[str, Job] = {}

    async def taken_in(self, request: Request, wants_dicom: bool = False) -> Job:
        """A job of what a request brings, which waits for its turn.

        Raises:
            RefusedError: the request is not taken, or the queue is full.
            SeglineError: it brings no volume that the model can answer.
        """
        await self.require_room(request)
        async with self.received(request) as (body, folder):
            images = await self.arranged(body.files, folder)
            if wants_dicom and not images[0].is_dir():
                raise SeglineError("a DICOM-SEG is made of a DICOM series; send one as a zip, or its files")
            return await self.asked(images, folder, wants_dicom)

    @asynccontextmanager
    async def received(self, request: Request) -> AsyncIterator[tuple[Body, Path]]:
        """What a request brings, in a folder of its own, which goes if the block fails.

        Raises:
            RefusedError: the request is not taken.
        """
        folder = self.spool.new_folder()
        try:
            yield await body_of(request, folder, self.settings, partial(self.spool.take, folder)), folder
        except BaseException as error:
            await run_in_threadpool(self.spool.give_back, folder)
            if type(error) is SeglineError:
                raise SeglineError(unplaced(str(error), folder.parent)) from error
            raise

    async def arranged(self, files: Sequence[Part], folder: Path) -> tuple[Path, ...]:
        """The images of one volume that uploaded files are; errors as :func:`images_of`."""
        return await run_in_threadpool(images_of, files, folder, self.settings)

    async def asked(self, images: tuple[Path, ...], folder: Path, wants_dicom: bool = False) -> Job:
        """A job of images, which waits for its turn and owns ``folder``; errors as :meth:`taken_in`."""
        job = Job(await run_in_threadpool(self._sent, images, folder, wants_dicom))
        job.finished.add_done_callback(lambda _: self._ended(job))
        try:
            self.desk.submit(job)
        except BusyError as error:
            raise busy(error, self._busy_status) from error
        return job

    def keep(self, job: Job) -> None:
        """Let the answer of a job be fetched later."""
        self.tidy()
        self._jobs[job.id] = job

    def job(self, identity: str) -> Job:
        """One whose answer is kept.

        Raises:
            RefusedError: there is none.
        """
        self.tidy()
        if identity not in self._jobs:
            kept = f"{self.settings.keep_s / 60:.0f} minutes"
            raise RefusedError(404, f"no such job; answers are kept for {kept}, send the volume again")
        return self._jobs[identity]

    def forget(self, job: Job) -> None:
        """Stop a job where it is, and remove all that there is of it."""
        self._jobs.pop(job.id, None)
        self.desk.cancel(job)
        job.finished.add_done_callback(lambda _: self.spool.give_back(job.sent.folder))

    def tidy(self) -> None:
        """Forget what was not fetched or used in time, and the oldest where there are too many."""
        self.images.tidy()
        now, most = time.monotonic(), self.settings.keep_jobs
        ended = [job for job in self._jobs.values() if job.ended is not None]
        for job in ended:
            if len(self._jobs) >= most or now - (job.ended or now) > self.settings.keep_s:
                self.forget(job)

    async def waited_for(self, job: Job, request: Request) -> None:
        """Wait for a job's end; it is cancelled where the client goes away.

        Raises:
            RefusedError: it was cancelled.
            SeglineError: it cannot be answered.
        """
        gone = asyncio.ensure_future(_gone(request))
        finished = asyncio.wrap_future(job.finished)
        try:
            await asyncio.wait((gone, finished), return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            if not job.finished.done():
                self.desk.cancel(job)
        if job.status is Status.FAILED:
            raise SeglineError(job.error)
        if job.status is not Status.DONE:
            raise RefusedError(499, "cancelled")

    @property
    def kept(self) -> int:
        """Jobs whose answers wait to be fetched."""
        return len(self._jobs)

    async def require_room(self, request: Request) -> None:
        """Refuse before a body is read what would be refused after it.

        Raises:
            RefusedError: the queue is full.
        """
        desk = self.desk
        if self.draining or desk.waiting >= desk.limits.waiting:
            await linger(request, self.settings)
            told = "the server shuts down" if self.draining else f"{desk.waiting} volumes wait already"
            raise busy(BusyError(f"{told}; ask again", desk.retry_after_s), self._busy_status)

    @property
    def _busy_status(self) -> int:
        return 503 if self.draining else 429

    def _ended(self, job: Job) -> None:
        self.metrics.ended(job)
        if self._drift and job.familiar and job.answer:
            self._drift.add(Entry.of(job.familiar, job.answer["model"]))

    def _sent(self, images: tuple[Path, ...], folder: Path, wants_dicom: bool) -> Sent:
        served = self.live.served
        volume = require_taken(images, len(served.plan.channels), self.settings)
        needs, windows = served.bytes_for(volume), served.windows_for(volume)
        return Sent(folder, images, needs, windows, wants_dicom)


async def _gone(request: Request) -> None:
    """Wait until the client is."""
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            return
