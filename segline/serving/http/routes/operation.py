"""For those who run the server: whether it lives, is ready, how it fares, and what may be asked of it."""

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from segline.serving.http.faults import RefusedError
from segline.serving.http.metrics import TYPE
from segline.serving.http.routes.docs import docs_page
from segline.serving.http.routes.keys import service_of

ROUTES = APIRouter(tags=["operation"])


@ROUTES.get("/healthz")
async def healthz() -> Response:
    """Say that the process lives."""
    return JSONResponse({"status": "alive"})


@ROUTES.get("/readyz")
async def readyz(request: Request) -> Response:
    """Say whether volumes are taken in."""
    service = service_of(request)
    if service.draining:
        raise RefusedError(503, "the server shuts down")
    return JSONResponse({"status": "ready", "model": service.live.served.name})


@ROUTES.get("/metrics")
async def metrics(request: Request) -> Response:
    """Tell counters and times as Prometheus reads them."""
    return Response(service_of(request).metrics.text(), media_type=TYPE)


@ROUTES.get("/docs", include_in_schema=False)
async def docs(request: Request) -> Response:
    """Show people what may be asked."""
    return HTMLResponse(docs_page(request.app.openapi(), str(request.base_url)))
