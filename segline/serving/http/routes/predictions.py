"""``/v1``: predictions at once and as jobs, and the models that make them."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from segline.common.errors import SeglineError
from segline.imaging.files import read_channels, write_volume
from segline.serving.http.faults import RefusedError
from segline.serving.http.routes.keys import require_key, service_of
from segline.serving.work.job import Job, Status

Form = Literal["answer", "json", "dicom-seg"]
"""``answer``: the file itself, such as the mask; ``json``: figures, remarks and who answered; ``dicom-seg``:
the mask of a DICOM series as DICOM."""
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "NIfTI, NRRD, MetaImage, MGH, a picture, or a zip of one DICOM series; or a form with "
        "one file a channel. The header X-Filename may say what it is called.",
        "content": {
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "file": {"type": "array", "items": {"type": "string", "format": "binary"}}
                    },
                }
            },
        },
    }
}
_NIFTI, _DICOM = "application/gzip", "application/dicom"


ROUTES = APIRouter(prefix="/v1", dependencies=[Depends(require_key)], tags=["predictions"])


@ROUTES.post("/predict", openapi_extra=_BODY)
async def predict(request: Request, format: Annotated[Form, Query()] = "answer") -> Response:
    """Answer a volume while the client waits.

    The mask comes on exactly the volume's grid, as `.nii.gz`; the header `X-Segline-Answer` has the JSON.
    """
    service = service_of(request)
    job = await service.taken_in(request, wants_dicom=format == "dicom-seg")
    try:
        await service.waited_for(job, request)
        return await _answered(job, format)
    finally:
        service.forget(job)


@ROUTES.post("/jobs", status_code=202, openapi_extra=_BODY)
async def begin(request: Request, dicom_seg: bool = False) -> Response:
    """Take a volume in; its answer is fetched later, with `dicom_seg=true` also as DICOM-SEG."""
    service = service_of(request)
    job = await service.taken_in(request, dicom_seg)
    service.keep(job)
    return JSONResponse(job.described, 202, {"Location": str(request.url_for("look", identity=job.id))})


@ROUTES.get("/jobs/{identity}")
async def look(request: Request, identity: str) -> Response:
    """Say where a job is, and its answer once it is done."""
    return JSONResponse(service_of(request).job(identity).described)


@ROUTES.delete("/jobs/{identity}", status_code=204)
async def cancel(request: Request, identity: str) -> Response:
    """Stop a job, and remove what was sent and answered."""
    service = service_of(request)
    service.forget(service.job(identity))
    return Response(status_code=204)


@ROUTES.get("/jobs/{identity}/mask")
async def fetch(request: Request, identity: str) -> Response:
    """Fetch the answer's file."""
    return await _answered(_done(service_of(request).job(identity)), "answer")


@ROUTES.get("/jobs/{identity}/dicom-seg")
async def fetch_dicom(request: Request, identity: str) -> Response:
    """Fetch the answer as DICOM-SEG, where that was asked for."""
    return await _answered(_done(service_of(request).job(identity)), "dicom-seg")


@ROUTES.get("/jobs/{identity}/volume")
async def volume(request: Request, identity: str) -> Response:
    """Fetch the volume that was sent as NIfTI, such as a DICOM series that a viewer cannot open."""
    job = service_of(request).job(identity)
    return Response(await run_in_threadpool(_as_nifti, job), media_type=_NIFTI)


@ROUTES.get("/models")
async def models(request: Request) -> Response:
    """Say which version answers, what it takes and gives, and by which digests it is known."""
    service = service_of(request)
    return JSONResponse([service.live.served.described])


def _done(job: Job) -> Job:
    if job.status is Status.FAILED:
        raise SeglineError(job.error)
    if job.status is not Status.DONE:
        told = f"the job is {job.status.value}; ask again when it is done"
        raise RefusedError(409, told, {"Retry-After": "1"})
    return job


async def _answered(job: Job, form: Form) -> Response:
    assert job.answer is not None and job.file is not None
    if form == "json" or job.file.suffix == ".json":
        return JSONResponse(job.answer)
    file = job.dicom if form == "dicom-seg" else job.file
    if file is None:
        raise RefusedError(404, "no DICOM-SEG was asked for; begin the job with dicom_seg=true")
    content = await run_in_threadpool(file.read_bytes)
    headers = {
        "X-Segline-Model": job.answer["model"],
        "X-Segline-Answer": json.dumps(job.answer),
        "Content-Disposition": f'attachment; filename="{file.name}"',
    }
    return Response(content, headers=headers, media_type=_DICOM if file is job.dicom else _NIFTI)


def _as_nifti(job: Job) -> bytes:
    path = Path(job.sent.folder, "volume.nii.gz")
    if not path.is_file():
        write_volume(path, read_channels(job.sent.images))
    return path.read_bytes()
