"""A server that speaks as much of the interface as the page asks for, with whatever answers behind it."""

import itertools
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, JSONResponse
from starlette.datastructures import UploadFile

from segline.common.errors import SeglineError
from segline.imaging.files import read_channels, write_volume
from segline.imaging.volume import Volume
from segline.serving.viewer import page_files

from ..s3_server import free_port

Answerer = Callable[[Volume, Path], tuple[Volume | None, dict[str, Any]]]
"""From a volume, and where it lies, to a mask and the rest of the answer."""


@dataclass
class StandIn:
    """Jobs by number. ``hold`` keeps them from ending while it is clear, ``refusals`` are given first."""

    models: list[dict[str, Any]]
    answerer: Answerer
    folder: Path
    key: str = ""
    hold: threading.Event = field(default_factory=threading.Event)
    refusals: list[int] = field(default_factory=list)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    headers: list[dict[str, str]] = field(default_factory=list)
    uri: str = ""

    def __post_init__(self) -> None:
        self.hold.set()
        self._numbers = itertools.count(1)

    def app(self) -> FastAPI:
        app = FastAPI()
        for address, path in page_files().items():
            app.get(f"/{address}")(lambda path=path: FileResponse(path))
        app.get("/v1/models")(self._models)
        app.post("/v1/jobs", status_code=202)(self._post)
        app.get("/v1/jobs/{name}")(self._job)
        app.delete("/v1/jobs/{name}")(self._delete)
        app.get("/v1/jobs/{name}/{what}")(self._file)
        app.exception_handler(HTTPException)(self._error)
        return app

    async def _error(self, _: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)

    async def _models(self, request: Request) -> list[dict[str, Any]]:
        self._require_key(request)
        return self.models

    async def _post(self, request: Request) -> dict[str, str]:
        self._require_key(request)
        if self.refusals:
            raise HTTPException(self.refusals.pop(0), "the queue is full", {"Retry-After": "1"})
        name = str(next(self._numbers))
        folder = self.folder / name
        folder.mkdir()
        paths = await self._received(request, folder)
        self.headers.append(dict(request.headers))
        self.jobs[name] = {"status": "queued", "progress": 0.0, "error": None, "answer": None}
        threading.Thread(target=self._work, args=(name, folder, paths), daemon=True).start()
        return {"id": name, "status": "queued"}

    async def _received(self, request: Request, folder: Path) -> list[Path]:
        if request.headers["content-type"].startswith("multipart/form-data"):
            form = await request.form()
            uploads = [upload for upload in form.getlist("file") if isinstance(upload, UploadFile)]
            contents = [(str(upload.filename), await upload.read()) for upload in uploads]
        else:
            contents = [(request.headers["x-filename"], await request.body())]
        for name, content in contents:
            (folder / name).write_bytes(content)
        return [self._unzipped(folder / name) for name, _ in contents]

    def _unzipped(self, path: Path) -> Path:
        if path.suffix != ".zip":
            return path
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            archive.extractall(path.parent / "series")
        return path.parent / "series"

    def _work(self, name: str, folder: Path, paths: list[Path]) -> None:
        job = self.jobs[name]
        job.update(status="running", progress=0.4)
        self.hold.wait()
        try:
            volume = read_channels(paths)
            mask, answer = self.answerer(volume, paths[0])
        except SeglineError as error:
            job.update(status="failed", error=str(error).replace(str(folder), ""))
            return
        if mask:
            write_volume(folder / "mask.nii.gz", mask)
            write_volume(folder / "volume.nii.gz", volume)
        if job["status"] == "running":
            job.update(status="done", progress=1.0, answer=answer)

    async def _job(self, name: str) -> dict[str, Any]:
        return self.jobs[name]

    async def _delete(self, name: str) -> dict[str, Any]:
        self.jobs[name]["status"] = "cancelled"
        return self.jobs[name]

    async def _file(self, name: str, what: str) -> FileResponse:
        return FileResponse(self.folder / name / f"{what}.nii.gz", media_type="application/gzip")

    def _require_key(self, request: Request) -> None:
        if self.key and request.headers.get("authorization") != f"Bearer {self.key}":
            raise HTTPException(401, "an access key is needed")


@contextmanager
def stand_in(
    models: list[dict[str, Any]], answerer: Answerer, prefix: str = "", key: str = ""
) -> Iterator[StandIn]:
    """One that listens on a free port of the loopback interface, below ``prefix``."""
    with TemporaryDirectory() as scratch:
        served = StandIn(models, answerer, Path(scratch), key)
        outer = FastAPI()
        outer.mount(prefix, served.app())
        port = free_port()
        server = uvicorn.Server(uvicorn.Config(outer, host="127.0.0.1", port=port, log_level="error"))
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            assert thread.is_alive(), "the server ended at once"
        served.uri = f"http://127.0.0.1:{port}{prefix}"
        try:
            yield served
        finally:
            served.hold.set()
            server.should_exit = True
            thread.join()
