"""The page at ``/``, which shows a volume, sends it, and lays the mask over it."""

import mimetypes
from functools import cache
from pathlib import Path

from fastapi import APIRouter
from starlette.responses import FileResponse, Response

from segline.common.errors import SeglineError
from segline.serving.http.faults import RefusedError
from segline.serving.viewer import page_files

ROUTES = APIRouter(include_in_schema=False)
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self' data: blob:; worker-src blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


@ROUTES.get("/")
async def page() -> Response:
    """The page itself."""
    return _file("")


@ROUTES.get("/viewer/{name}")
async def part(name: str) -> Response:
    """What it is made of."""
    return _file(f"viewer/{name}")


def _file(address: str) -> Response:
    try:
        path = _files().get(address)
    except SeglineError as error:
        raise RefusedError(503, str(error)) from error
    if path is None:
        raise RefusedError(404, "no such part of the page")
    kind = mimetypes.guess_type(path.name)[0]
    return FileResponse(path, media_type=kind, headers={"Content-Security-Policy": _POLICY})


@cache
def _files() -> dict[str, Path]:
    return page_files()
