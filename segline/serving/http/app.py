"""The application: routes, refusals, and what is told of each request."""

import logging
import time

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from segline import __version__
from segline.common.errors import SeglineError
from segline.serving.http.faults import RefusedError, refused
from segline.serving.http.routes import monai_label, operation, pages, predictions
from segline.serving.http.service import Service

_log = logging.getLogger("segline.serving")
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
    for routes in (predictions.ROUTES, operation.ROUTES, monai_label.OPEN, monai_label.ROUTES, pages.ROUTES):
        app.include_router(routes)
    app.add_exception_handler(SeglineError, refused)
    app.add_exception_handler(HTTPException, _unrouted)
    app.add_exception_handler(RequestValidationError, _misasked)
    if service.settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=service.settings.origins,
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "X-Filename"],
            expose_headers=["Location", "Retry-After", "X-Segline-Answer", "X-Segline-Model"],
        )
    app.add_middleware(_Told, service=service)
    return app


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
