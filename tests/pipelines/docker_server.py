"""A server on loopback that speaks the part of Docker's API that running a container takes.

Its containers print what they are told to and end with the status they are told to; as in Docker, one that
was to be removed as it ends is gone by the time its status is asked for.
"""

import json
import re
import struct
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import unquote, urlsplit

from .loopback import LoopbackServer

CONTAINER = "c0ffee"
IMAGE_ID = "sha256:1"


@dataclass
class Script:
    """What the next container does."""

    output: bytes = b""
    status: int = 0
    runs_until_removed: int = 0
    """How many containers do, the first ones."""
    broken: bool = False
    """The engine fails as it is asked for a container."""


class DockerServer(LoopbackServer):
    """An engine whose containers follow a script."""

    def __init__(self, *images: str) -> None:
        super().__init__()
        self.images = images
        self.script = Script()
        self.created: list[dict[str, Any]] = []
        self.started = threading.Event()
        self.removed = threading.Event()

    @property
    def address(self) -> str:
        """As ``DOCKER_HOST`` has it."""
        return self.host.replace("http", "tcp")

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(_Handler):
            engine = server

        return Handler


@dataclass(frozen=True)
class Answer:
    """An answer of the engine."""

    status: int
    body: Any = field(default_factory=dict)


class _Handler(BaseHTTPRequestHandler):
    engine: DockerServer

    def log_message(self, *_: Any) -> None:
        """Silent."""

    def do_GET(self) -> None:
        path = self._path
        if path == "/version":
            self._send(Answer(200, {"ApiVersion": "1.41", "MinAPIVersion": "1.12"}))
        elif path == "/info":
            self._send(Answer(200, {"SecurityOptions": []}))
        elif path == "/images/json":
            self._send(Answer(200, [{"Id": IMAGE_ID, "RepoTags": list(self.engine.images)}]))
        elif found := re.fullmatch(r"/images/(.+)/json", path):
            there = unquote(found[1]) in (*self.engine.images, IMAGE_ID)
            tags = list(self.engine.images)
            body = {"Id": IMAGE_ID, "RepoTags": tags, "RepoDigests": [], "Config": {"Labels": {}}}
            self._send(Answer(200, body) if there else Answer(404, {"message": "no such image"}))
        elif path.endswith("/logs"):
            self._log()
        else:
            self._send(self._container())

    def do_POST(self) -> None:
        path, engine = self._path, self.engine
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        if engine.script.broken:
            self._send(Answer(500, {"message": "no space left on device"}))
        elif path == "/containers/create":
            engine.created.append(json.loads(body))
            engine.removed.clear()
            self._send(Answer(201, {"Id": CONTAINER, "Warnings": []}))
        elif path.endswith("/start"):
            engine.started.set()
            self._send(Answer(204))
        else:
            there = not engine.removed.is_set()
            self._send(Answer(200, {"StatusCode": engine.script.status}) if there else self._container())

    def do_DELETE(self) -> None:
        self.engine.removed.set()
        self._send(Answer(204))

    def _log(self) -> None:
        engine = self.engine
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.docker.multiplexed-stream")
        self.end_headers()
        for start in range(0, len(engine.script.output), 1000):
            part = engine.script.output[start : start + 1000]
            self.wfile.write(struct.pack(">BxxxL", 1, len(part)) + part)
        if len(engine.created) <= engine.script.runs_until_removed:
            engine.removed.wait(20)
        if engine.created[-1]["HostConfig"].get("AutoRemove"):
            engine.removed.set()

    def _container(self) -> Answer:
        if self.engine.removed.is_set():
            return Answer(404, {"message": f"No such container: {CONTAINER}"})
        return Answer(200, {"Id": CONTAINER, "Name": "/stage", "Config": {"Tty": False}, "State": {}})

    @property
    def _path(self) -> str:
        return re.sub(r"^/v[\d.]+", "", urlsplit(self.path).path)

    def _send(self, answer: Answer) -> None:
        body = b"" if answer.status == 204 else json.dumps(answer.body).encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
