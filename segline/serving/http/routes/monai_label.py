"""MONAI Label's protocol, as far as viewers use it: 3D Slicer's and OHIF's plugins ask the live model by it.

Written after the client and the endpoints of MONAI Label 0.8.5. Nothing is trained here, and no label kept:
images stay for as long as the answers of jobs.
"""

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import parse_qs

import numpy as np
from fastapi import APIRouter, Depends, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, JSONResponse, Response

from segline import __version__
from segline.imaging.files import read_volume, write_volume
from segline.serving.http.faults import RefusedError
from segline.serving.http.routes.keys import is_key, require_key, service_of
from segline.serving.http.service import Service
from segline.serving.work.images import Kept
from segline.serving.work.job import Job

OPEN = APIRouter(tags=["MONAI Label"])
ROUTES = APIRouter(tags=["MONAI Label"], dependencies=[Depends(require_key)])
_BOUNDARY = "segline-parts-5f3a9c"
_LOGIN_BYTES = 4096
_UID = re.compile(r"[0-9.]{5,64}")
_SUFFIXES = (".nii.gz", ".nii", ".nrrd")
_DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32")
Output = Literal["image", "json", "all"]


@OPEN.get("/auth/")
async def auth(request: Request) -> Response:
    """Say whether a key is asked for."""
    return JSONResponse({"enabled": bool(service_of(request).settings.key)})


@OPEN.post("/auth/token")
async def token(request: Request) -> Response:
    """Give the token of a login: the password is the key, whoever the user is."""
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > _LOGIN_BYTES:
            raise RefusedError(413, "more than a login; send username and password")
    password = parse_qs(content.decode("latin-1")).get("password", [""])[0]
    if not is_key(request, password):
        raise RefusedError(401, "the password is not the server's key")
    return JSONResponse({"access_token": password, "token_type": "Bearer"})


@ROUTES.get("/auth/token/valid")
async def valid() -> Response:
    """Say that a token is good."""
    return JSONResponse({})


@ROUTES.get("/info/")
async def info(request: Request) -> Response:
    """Describe the live model as MONAI Label describes its apps."""
    service = service_of(request)
    plan = service.live.served.plan
    labels = {name: value for value, name in service.live.served.labels.items()}
    model = {
        "type": "segmentation" if plan.network.answers == "voxels" else "classification",
        "labels": labels,
        "dimension": 3,
        "description": f"{service.live.served.name}: {service.live.served.answers.words(plan)}",
        "config": {},
    }
    none: dict[str, Any] = {"trainers": {}, "strategies": {}, "scoring": {}, "train_stats": {}}
    about = {"name": "segline", "description": model["description"], "version": __version__}
    stores = {"labels": list(labels), "models": {plan.task: model}, "datastore": _status(service)}
    return JSONResponse({**about, **stores, **none})


@ROUTES.put("/session/")
async def new_session(request: Request) -> Response:
    """Take an image in, to be asked about by its session's name."""
    name, kept = await _kept(request, "")
    return JSONResponse({"session_id": name, "session_info": _session(name, kept)})


@ROUTES.get("/session/{name}")
async def session(request: Request, name: str) -> Response:
    """Say what a session has."""
    return JSONResponse(_session(name, _known(service_of(request), name)))


@ROUTES.delete("/session/{name}")
async def end_session(request: Request, name: str) -> Response:
    """Remove a session with its image."""
    told = _session(name, _known(service_of(request), name))
    service_of(request).images.remove(name)
    return JSONResponse(told)


@ROUTES.get("/datastore/")
async def datastore(request: Request, output: str = "stats") -> Response:
    """Count the images that are kept, or name them."""
    service = service_of(request)
    if output != "all":
        return JSONResponse(_status(service))
    objects = {
        name: {
            "image": {"ext": "".join(kept.images[0].suffixes), "info": {"ts": int(kept.since)}},
            "labels": {},
        }
        for name, kept in service.images.all.items()
    }
    return JSONResponse({"name": "segline", "description": "images that were sent", "objects": objects})


@ROUTES.put("/datastore/")
@ROUTES.put("/datastore/image")
async def add_image(request: Request, image: str = "") -> Response:
    """Take an image in under a name."""
    name, _ = await _kept(request, image)
    return JSONResponse({"image": name})


@ROUTES.get("/datastore/image")
async def image(request: Request, image: str) -> Response:
    """Give an image back."""
    kept = _known(service_of(request), image)
    if kept.images[0].is_dir():
        raise RefusedError(404, "the image is a DICOM series; ask where it is from")
    return FileResponse(kept.images[0], filename=kept.images[0].name)


@ROUTES.delete("/datastore/")
@ROUTES.delete("/datastore/image")
async def remove_image(request: Request, id: str) -> Response:
    """Remove an image."""
    _known(service_of(request), id)
    service_of(request).images.remove(id)
    return JSONResponse({})


@ROUTES.put("/datastore/label")
async def save_label() -> Response:
    """Refuse a label: nothing is trained here."""
    raise RefusedError(501, "labels are not kept here; save it where the data set for the next training lies")


@ROUTES.post("/infer/{model}")
async def infer(
    request: Request,
    model: str,
    image: str = "",
    session_id: str = "",
    output: Annotated[Output, Query()] = "all",
) -> Response:
    """Answer an image that was sent before, or is sent now; `params` may ask for another format or type."""
    service = service_of(request)
    if model != service.live.served.plan.task:
        raise RefusedError(404, f"no model {model!r}; there is {service.live.served.plan.task}")
    await service.require_room(request)
    async with service.received(request) as (body, folder):
        if files := body.named("file"):
            images = await service.arranged(files, folder)
        else:
            images = await _named(service, session_id or image, folder)
        params = _params(body.fields.get("params", ""))
        job = await service.asked(images, folder)
    try:
        await service.waited_for(job, request)
        return await _response(job, output, params)
    finally:
        service.forget(job)


async def _kept(request: Request, name: str) -> tuple[str, Kept]:
    service = service_of(request)
    async with service.received(request) as (body, folder):
        kept = Kept(folder, await service.arranged(body.named("file", "files"), folder))
    return service.images.add(kept, name), kept


async def _named(service: Service, name: str, folder: Path) -> tuple[Path, ...]:
    """An image that is kept, or, of a viewer that has its images there, a series of the DICOMweb server."""
    kept = service.images.get(name)
    if kept is None and service.dicom_web and _UID.fullmatch(name):
        return (await run_in_threadpool(service.dicom_web.fetch, name, folder),)
    return _known(service, name).images


def _known(service: Service, name: str) -> Kept:
    kept = service.images.get(name)
    if kept is None:
        raise RefusedError(404, "no such image or session; send it, or send it again")
    return kept


def _session(name: str, kept: Kept) -> dict[str, Any]:
    return {"name": name, "image": kept.images[0].name, "meta": {}, "create_ts": int(kept.since)}


def _status(service: Service) -> dict[str, Any]:
    return {"total": len(service.images.all), "completed": 0, "label_tags": {}}


def _params(text: str) -> dict[str, Any]:
    try:
        params = json.loads(text or "{}")
    except ValueError as error:
        raise RefusedError(400, "params: not JSON") from error
    if not isinstance(params, dict):
        raise RefusedError(400, "params: not a JSON object")
    return params


async def _response(job: Job, output: Output, params: dict[str, Any]) -> Response:
    assert job.answer is not None and job.file is not None
    told = {"params": {**job.answer, "label_names": job.answer.get("volumes_ml", {})}}
    if output == "json" or job.file.suffix == ".json":
        return JSONResponse(told["params"])
    file = await run_in_threadpool(_as_asked, job.file, params)
    content = await run_in_threadpool(file.read_bytes)
    if output == "image":
        return Response(content, media_type="application/octet-stream")
    return _parts({"params": json.dumps(told["params"])}, file.name, content)


def _as_asked(file: Path, params: dict[str, Any]) -> Path:
    """The mask in the format and the type of numbers that a viewer's parser wants."""
    suffix, dtype = params.get("result_extension", _SUFFIXES[0]), params.get("result_dtype", _DTYPES[0])
    if suffix not in _SUFFIXES or dtype not in _DTYPES:
        wanted = f"{', '.join(_SUFFIXES)} and {', '.join(_DTYPES)}"
        raise RefusedError(400, f"params: result_extension and result_dtype may be {wanted}")
    if (suffix, dtype) == (_SUFFIXES[0], _DTYPES[0]):
        return file
    mask = read_volume(file)
    other = file.with_name(f"label{suffix}")
    write_volume(other, mask.with_array(mask.array.astype(np.dtype(dtype))))
    return other


def _parts(fields: dict[str, str], name: str, content: bytes) -> Response:
    head = "".join(
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"\r\n'
        f"Content-Type: application/json\r\n\r\n{value}\r\n"
        for field, value in fields.items()
    )
    head += f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n'
    head += "Content-Type: application/octet-stream\r\n\r\n"
    body = head.encode() + content + f"\r\n--{_BOUNDARY}--\r\n".encode()
    return Response(body, media_type=f"multipart/form-data; boundary={_BOUNDARY}")
