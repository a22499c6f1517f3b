"""``segline serve``: a model behind HTTP, for programs, viewers and people."""

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segline.cli.predict import BACKEND_HELP
from segline.cli.registry import chosen_reference, package_at, registry_that_exists
from segline.common.errors import imports_of

if TYPE_CHECKING:
    from segline.model.package import Model
    from segline.serving.http.service import Service
    from segline.serving.models.live import LiveModel, Source
    from segline.serving.models.served import Served

KEY_VARIABLE = "SEGLINE_API_KEY"
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_MEMORY_SHARE = 0.7
"""Of what is free when the server starts, for volumes at work."""
_LOG_LINE = "%(asctime)s %(levelname)s %(message)s"


def add_serve(commands: Any) -> argparse.ArgumentParser:
    """The parser of ``serve``, with all but what it shares with the other readers of the registry."""
    serve: argparse.ArgumentParser = commands.add_parser("serve", help="answer over HTTP, with a viewer at /")
    serve.add_argument("model", help="model package, folder of a run, or reference; an alias is followed")
    serve.add_argument("--host", default="127.0.0.1", help="where to listen (127.0.0.1: this machine only)")
    serve.add_argument("--port", type=int, default=8000, help="0 takes a free one (8000)")
    serve.add_argument("--backend", default="auto", help=BACKEND_HELP)
    serve.add_argument("--device", default="auto", help="cpu, cuda or auto (default)")
    serve.add_argument("--workers", type=int, default=2, help="volumes at work at once (2)")
    serve.add_argument("--queue", type=int, default=32, help="volumes that may wait; more are told to (32)")
    serve.add_argument("--memory-gb", type=float, help="for volumes at work (7 tenths of what is free)")
    serve.add_argument("--upload-mb", type=int, default=512, help="largest request (512)")
    serve.add_argument("--silent-seconds", type=float, default=15, help="a client may pause for (15)")
    serve.add_argument("--spool", type=Path, help="folder for what is sent (the system's temporary one)")
    serve.add_argument("--spool-gb", type=float, default=16, help="as much may lie there (16)")
    serve.add_argument("--keep-minutes", type=float, default=15, help="answers of jobs are kept (15)")
    serve.add_argument("--proof", type=Path, nargs="+", help="image by which a version is proven (made up)")
    serve.add_argument("--dicom-web", help="URL with the series that viewers name, as Orthanc's /dicom-web")
    serve.add_argument("--allow-origin", nargs="+", default=(), help="web pages elsewhere that may ask")
    serve.add_argument("--drift", type=Path, help="record how far volumes lie in STORE/drift/NAME.jsonl")
    serve.add_argument("--follow-seconds", type=float, default=15, help="how often to ask the alias (15)")
    serve.add_argument("--drain-seconds", type=float, default=90, help="to finish in after SIGTERM (90)")
    serve.add_argument("--quiet", action="store_true", help="no line a request")
    serve.set_defaults(run_command=_serve)
    return serve


def _serve(options: argparse.Namespace) -> None:
    level = logging.WARNING if options.quiet else logging.INFO
    logging.basicConfig(level=logging.WARNING, format=_LOG_LINE, stream=sys.stderr)
    logging.getLogger("segline.serving").setLevel(level)
    if not os.environ.get(KEY_VARIABLE) and options.host not in _LOOPBACK:
        logging.getLogger("segline.serving").warning(
            "%s is open to whoever reaches it; set %s to ask for a key", options.host, KEY_VARIABLE
        )
    with imports_of("serve", "serve"):
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
    live, source = _live(options)
    from segline.serving.http.server import serve

    service = _service(options, live)
    if source:
        live.watch(source, options.follow_seconds)
    try:
        serve(service, options.host, options.port, options.drain_seconds)
    finally:
        live.close()
        service.desk.close()
        service.spool.remove()


def _live(options: argparse.Namespace) -> "tuple[LiveModel, Source | None]":
    """The model that answers first, and where the next is from, if it can change."""
    from segline.serving.models.proof import opened_and_proven

    def opened(model: "Model", name: str = "") -> "Served":
        return opened_and_proven(model, name, options.backend, options.device, options.proof or ())

    if model := package_at(options.model):
        served, source = opened(model), None
    else:
        from segline.serving.models.registered import Named

        reference = chosen_reference(options.model)
        named = Named(registry_that_exists(options, reference), reference, options.store, opened)
        served, source = named().load(), named if reference.alias else None
    from segline.serving.models.live import LiveModel

    return LiveModel(served), source


def _service(options: argparse.Namespace, live: "LiveModel") -> "Service":
    from segline.common.arrays import CPU
    from segline.machine.memory import available_bytes
    from segline.serving.http.service import Service
    from segline.serving.http.settings import Settings
    from segline.serving.work.desk import Desk, Limits
    from segline.serving.work.dicom_web import DicomWeb
    from segline.serving.work.record import Record
    from segline.serving.work.spool import Spool

    free = available_bytes(CPU)
    memory = options.memory_gb * 1e9 if options.memory_gb else _MEMORY_SHARE * free - live.served.batch_bytes
    limits = Limits(workers=options.workers, waiting=options.queue, memory_bytes=memory)
    settings = Settings(
        upload_bytes=options.upload_mb << 20,
        silent_s=options.silent_seconds,
        keep_s=options.keep_minutes * 60,
        origins=tuple(options.allow_origin),
        key=os.environ.get(KEY_VARIABLE, ""),
    )
    record = Record(options.drift) if options.drift else None
    dicom_web = DicomWeb(options.dicom_web) if options.dicom_web else None
    spool = Spool(options.spool, options.spool_gb * 1e9)
    return Service(live, Desk(live, limits), spool, settings, record, dicom_web)
