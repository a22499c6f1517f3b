"""The application: routes, refusals, and what is told of each request."""

import logging
import time

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from segline import __version__
from segline.common.errors import SeglineError
from segline.serving.http import monai_label
from segline.serving.http.docs import docs_page
from segline.serving.http.faults import RefusedError, refused
from segline.serving.http.keys import service_of
from segline.serving.http.metrics import TYPE
from segline.serving.http.predictions import ROUTES
from segline.serving.http.service import Service

_log = logging.getLogger("segline.serving")
_PLAIN = APIRouter(tags=["operation"])
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def make_app(service: Service) -> FastAPI:
    """Everything that is answered over HTTP."""
    app = FastAPI(
        title="segline",
        version=__version__,
        description="Volumes in; masks on exactly their grid, or classes, out.",
        docs_url=None,
        redoc_url=None,
    )
    app.state.service = service
    app.include_router(ROUTES)
    for routes in (_PLAIN, monai_label.OPEN, monai_label.ROUTES):
        app.include_router(routes)
    app.add_exception_handler(SeglineError, refused)
    app.add_exception_handler(HTTPException, _unrouted)
    app.add_exception_handler(RequestValidationError, _misasked)
    app.add_middleware(_Told, service=service)
    return app


@_PLAIN.get("/healthz")
async def healthz() -> Response:
    """Say that the process lives."""
    return JSONResponse({"status": "alive"})


@_PLAIN.get("/readyz")
async def readyz(request: Request) -> Response:
    """Say whether volumes are taken in."""
    service = service_of(request)
    if service.draining:
        raise RefusedError(503, "the server shuts down")
    return JSONResponse({"status": "ready", "model": service.live.served.name})


@_PLAIN.get("/metrics")
async def metrics(request: Request) -> Response:
    """Tell counters and times as Prometheus reads them."""
    return Response(service_of(request).metrics.text(), media_type=TYPE)


@_PLAIN.get("/docs", include_in_schema=False)
async def docs(request: Request) -> Response:
    """Show people what may be asked."""
    return HTMLResponse(docs_page(request.app.openapi(), str(request.base_url)))


class _Told:
    """Counts and logs requests, by the route in place of what was asked, which may name a patient."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; a defect becomes a response, where none has begun."""
        if scope["type"] != "http":
            return
        start, statuses = time.monotonic(), []

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception as error:
            if statuses:
                raise
            await (await refused(Request(scope), error))(scope, receive, noted)
        route = getattr(scope.get("route"), "path", "unknown")
        status = statuses[0] if statuses else 499
        self._service.metrics.request(f"{scope['method']} {route}", status)
        _log.info("%s %s %d %.3f s", scope["method"], route, status, time.monotonic() - start)


async def _unrouted(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    what = {404: "no such page; GET /docs lists what there is", 405: "not a method of this page"}
    told = what.get(error.status_code, str(error.detail))
    return await refused(request, RefusedError(error.status_code, told, error.headers))


async def _misasked(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = " ".join(str(part) for part in first["loc"])
    return await refused(request, RefusedError(400, f"{place}: {first['msg']}"))
