"""A server that speaks as much of W&B's API as its client needs to keep a run, and keeps what it is sent."""

import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_OWNER, _PROJECT = "ward", "segline"


@dataclass
class KeptRun:
    """What the server has of a run."""

    asked: dict[str, Any] = field(default_factory=dict)
    """By the client, when it began."""
    lines: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Of each file that is sent line by line."""
    exit_code: int | None = None

    @property
    def history(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines["wandb-history.jsonl"]]

    @property
    def summary(self) -> dict[str, Any]:
        lines = self.lines["wandb-summary.json"]
        return dict(json.loads(lines[-1])) if lines else {}

    def curve(self, name: str, counted_by: str = "step") -> list[tuple[int, float]]:
        return [(row[counted_by], row[name]) for row in self.history if name in row]


class WandbServer:
    """On the loopback interface."""

    def __init__(self) -> None:
        self.runs: dict[str, KeptRun] = {}
        self.bodies: list[str] = []
        """All that was sent."""
        self.uploads: list[str] = []
        """Names of the files that were."""
        handler = type("Handler", (_Handler,), {"kept": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def running(self) -> Iterator["WandbServer"]:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()

    @property
    def environment(self) -> dict[str, str]:
        """The variables of who uses it."""
        return {"WANDB_API_KEY": "k" * 40, "WANDB_BASE_URL": self.url}

    def answer(self, operation: str, told: dict[str, Any]) -> dict[str, Any]:
        if operation == "ServerFeaturesQuery":
            return {"serverInfo": {"features": []}}
        if operation == "RunResumeStatus":
            return {"model": _project() | {"bucket": self._bucket(told["name"])}}
        if operation == "UpsertBucket":
            new = told["name"] not in self.runs
            run = self.runs.setdefault(told["name"], KeptRun())
            run.asked |= {name: value for name, value in told.items() if value is not None}
            return {"upsertBucket": {"bucket": self._bucket(told["name"]), "inserted": new}}
        if operation == "CreateRunFiles":
            files = [{"name": name, "uploadUrl": f"{self.url}/upload/{name}"} for name in told["files"]]
            return {"createRunFiles": {"runID": told["run"], "uploadHeaders": [], "files": files}}
        return {}

    def stream(self, run_id: str, told: dict[str, Any]) -> None:
        run = self.runs[run_id]
        for name, chunk in told.get("files", {}).items():
            kept = run.lines[name]
            del kept[chunk["offset"] :]
            kept += chunk["content"]
        if told.get("complete"):
            run.exit_code = told.get("exitcode")

    def _bucket(self, name: str) -> dict[str, Any] | None:
        if name not in self.runs:
            return None
        run = self.runs[name]
        history = run.lines["wandb-history.jsonl"]
        return {
            "id": "id",
            "name": name,
            "displayName": name,
            "summaryMetrics": json.dumps(run.summary),
            "logLineCount": 0,
            "historyLineCount": len(history),
            "eventsLineCount": 0,
            "historyTail": json.dumps(history[-1:]),
            "eventsTail": "[]",
            "config": run.asked.get("config", "{}"),
            "tags": [],
            "wandbConfig": '{"t": 1}',
            "project": _project(),
        }


class _Handler(BaseHTTPRequestHandler):
    kept: WandbServer

    def do_POST(self) -> None:  # the name that http.server calls
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode(errors="replace")
        self.kept.bodies.append(body)
        answer: dict[str, Any] = {}
        if self.path == "/graphql":
            told = json.loads(body)
            answer = {"data": self.kept.answer(told["operationName"], told.get("variables") or {})}
        elif self.path.endswith("/file_stream"):
            self.kept.stream(self.path.split("/")[-2], json.loads(body))
        elif self.path.startswith("/upload/"):
            self.kept.uploads.append(self.path.removeprefix("/upload/"))
        self._send(answer)

    do_PUT = do_POST  # noqa: N815

    def _send(self, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _project() -> dict[str, Any]:
    return {"id": "project", "name": _PROJECT, "entity": {"id": "entity", "name": _OWNER}}
