"""A server on loopback that speaks the part of Kubeflow Pipelines' v2beta1 REST API that segline uses.

The shapes are those of the published ``kfp-server-api`` models: what a request holds beyond them is refused,
as the real service does. Runs go from state to state each time they are asked for.
"""

import email
import json
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kfp_server_api
import yaml

from .loopback import LoopbackServer

ROOT = "/apis/v2beta1/"
MODELS = {
    "experiments": kfp_server_api.V2beta1Experiment,
    "pipelines": kfp_server_api.V2beta1Pipeline,
    "runs": kfp_server_api.V2beta1Run,
    "recurringruns": kfp_server_api.V2beta1RecurringRun,
}
KEYS = {
    "experiments": "experiment_id",
    "pipelines": "pipeline_id",
    "versions": "pipeline_version_id",
    "runs": "run_id",
    "recurringruns": "recurring_run_id",
}
LISTS = {"recurringruns": "recurringRuns", "versions": "pipeline_versions"}


@dataclass(frozen=True)
class Fault:
    """An answer instead of the right one."""

    status: int
    message: str
    path: str = ""
    """Only for paths that hold this."""
    method: str = ""
    times: int = 1_000_000


@dataclass
class Step:
    """What a run is like when it is asked for."""

    state: str
    tasks: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


SUCCESS = [
    Step("PENDING"),
    Step("RUNNING", {"root": "RUNNING", "train-driver": "SUCCEEDED", "train": "RUNNING"}),
    Step("RUNNING", {"root": "RUNNING", "train": "SUCCEEDED", "report": "RUNNING"}),
    Step("SUCCEEDED", {"root": "SUCCEEDED", "train": "SUCCEEDED", "report": "SUCCEEDED"}),
]


class KfpServer(LoopbackServer):
    """The server and what it holds."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, dict[str, Any]]] = {kind: {} for kind in KEYS}
        self.packages: dict[str, list[dict[str, Any]]] = {}
        self.steps: list[Step] = SUCCESS
        self.faults: list[Fault] = []
        self.delay_s = 0.0
        self.token = ""
        self.page = ""
        """HTML to answer everything with, as a login page does."""
        self.hidden_once = ""
        """A collection that is empty the next time it is listed."""
        self.page_size = 100
        self.bucket: dict[str, Any] = {}
        """JSON by ``bucket/key``, which the pages read with the keys of a secret."""
        self._looks: dict[str, int] = {}
        super().__init__()

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes, kind: str) -> Any:
        """The JSON of an answer; raises RefusalError."""
        parts = path.removeprefix(ROOT).split("/")
        if parts[0] == "pipelines" and parts[1:] == ["upload_version"]:
            return self._upload(query, _uploaded(body, kind))
        collection = "versions" if parts[2:3] == ["versions"] else parts[0]
        if method == "POST" and len(parts) == 1:
            return self._create(parts[0], json.loads(body))
        if method == "GET" and (len(parts) == 1 or parts[2:] == ["versions"]):
            return self._list(collection, query, parts[1] if parts[2:] else "")
        return self._one(method, collection, parts[-1])

    def object(self, query: dict[str, str]) -> Any:
        """What lies in a bucket, for who names the secret with its keys."""
        provider = json.loads(query["providerInfo"])
        keys = provider["Params"]
        named = (keys["secretName"], keys["accessKeyKey"], keys["secretKeyKey"], query["namespace"])
        if named != ("segline-s3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "kubeflow"):
            raise RefusalError(500, "Failed to get object in bucket: no such secret")
        key = f"{query['bucket']}/{query['key']}"
        if key not in self.bucket:
            raise RefusalError(500, "Failed to get object in bucket: The specified key does not exist.")
        return self.bucket[key]

    def _create(self, kind: str, wanted: dict[str, Any]) -> dict[str, Any]:
        unknown = set(wanted) - set(MODELS[kind].attribute_map.values())
        if unknown:
            raise RefusalError(400, f"proto: unknown field {sorted(unknown)[0]!r}")
        made = {
            **wanted,
            KEYS[kind]: str(uuid.uuid4()),
            "created_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        if kind == "recurringruns":
            made["status"] = "ENABLED" if wanted.get("mode") == "ENABLE" else "DISABLED"
        if kind in ("runs", "recurringruns"):
            self._require_version(wanted)
        self.objects[kind][made[KEYS[kind]]] = made
        return made

    def _require_version(self, wanted: dict[str, Any]) -> None:
        version = wanted["pipeline_version_reference"]["pipeline_version_id"]
        if version not in self.objects["versions"]:
            raise RefusalError(404, f"ResourceNotFoundError: PipelineVersion {version} not found")
        (specification, *_) = self.packages[version]
        inputs = specification["root"]["inputDefinitions"]["parameters"]
        given = wanted["runtime_config"]["parameters"]
        missing = [name for name, of in inputs.items() if not of.get("isOptional") and name not in given]
        unknown = [name for name in given if name not in inputs]
        if missing or unknown:
            raise RefusalError(400, f"Invalid input error: parameters missing {missing}, unknown {unknown}")

    def _upload(self, query: dict[str, str], package: bytes) -> dict[str, Any]:
        parent = query["pipelineid"]
        if parent not in self.objects["pipelines"]:
            raise RefusalError(404, f"ResourceNotFoundError: Pipeline {parent} not found")
        if any(one["display_name"] == query["name"] for one in self.objects["versions"].values()):
            raise RefusalError(409, f"Already exist error: the name {query['name']} already exists")
        made = {
            "pipeline_id": parent,
            "pipeline_version_id": str(uuid.uuid4()),
            "display_name": query["name"],
            "name": query["name"],
            "created_at": "2026-01-02T03:04:05Z",
        }
        self.objects["versions"][made["pipeline_version_id"]] = made
        self.packages[made["pipeline_version_id"]] = list(yaml.safe_load_all(package))
        return made

    def _list(self, kind: str, query: dict[str, str], parent: str) -> dict[str, Any]:
        if kind == self.hidden_once:
            self.hidden_once = ""
            return {}
        found = [one for one in self.objects[kind].values() if not parent or one["pipeline_id"] == parent]
        if query.get("filter"):
            for wanted in json.loads(query["filter"])["predicates"]:
                found = [one for one in found if one[wanted["key"]] == wanted["stringValue"]]
        start = int(query.get("page_token") or 0)
        page = found[start : start + self.page_size]
        end = start + len(page)
        more = {"next_page_token": str(end)} if end < len(found) else {}
        return {LISTS.get(kind, kind): page, "total_size": len(found), **more} if page else {}

    def _one(self, method: str, kind: str, name: str) -> dict[str, Any]:
        key, _, action = name.partition(":")
        if key not in self.objects[kind]:
            raise RefusalError(404, f"ResourceNotFoundError: {kind} {key} not found")
        found = self.objects[kind][key]
        if method == "DELETE":
            del self.objects[kind][key]
            return {}
        if action in ("enable", "disable"):
            found["status"] = f"{action}d".upper()
            return {}
        return self._progressed(found) if kind == "runs" else found

    def _progressed(self, run: dict[str, Any]) -> dict[str, Any]:
        look = self._looks.get(run["run_id"], 0)
        self._looks[run["run_id"]] = look + 1
        step = self.steps[min(look, len(self.steps) - 1)]
        details = [
            {
                "run_id": run["run_id"],
                "task_id": f"{run['run_id']}-{name}",
                "display_name": name,
                "state": state,
                **({"error": {"code": 13, "message": step.errors[name]}} if name in step.errors else {}),
            }
            for name, state in step.tasks.items()
        ]
        return {**run, "state": step.state, "run_details": {"task_details": details}}

    def _fault(self, method: str, path: str) -> Fault | None:
        for number, fault in enumerate(self.faults):
            if fault.path in path and fault.method in method and fault.times > 0:
                self.faults[number] = Fault(**{**fault.__dict__, "times": fault.times - 1})
                return fault
        return None

    def _handler(self) -> type[BaseHTTPRequestHandler]:  # noqa: C901  # a class, not a function
        held = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:  # the name that http.server calls
                self._serve()

            do_POST = do_DELETE = do_GET  # noqa: N815

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                time.sleep(held.delay_s)
                url = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(url.query).items()}
                try:
                    self._authorise()
                    self._answer(url.path, query, body)
                except RefusalError as refusal:
                    self._send(
                        refusal.status, {"error": refusal.message, "code": 13, "message": refusal.message}
                    )

            def _answer(self, url: str, query: dict[str, str], body: bytes) -> None:
                if held.page:
                    self._send(200, held.page)
                    return
                if fault := held._fault(self.command, url):
                    raise RefusalError(fault.status, fault.message)
                if url == "/artifacts/get":
                    self._send(200, held.object(query))
                    return
                kind = self.headers.get("content-type", "")
                self._send(200, held.answer(self.command, url, query, body, kind))

            def _authorise(self) -> None:
                if held.token and self.headers.get("authorization") != f"Bearer {held.token}":
                    raise RefusalError(401, "Request header error: there is no user identity header.")

            def _send(self, status: int, answer: Any) -> None:
                data = (answer if held.page else json.dumps(answer)).encode()
                try:
                    self.send_response(status)
                    self.send_header("content-type", "text/html" if held.page else "application/json")
                    self.send_header("content-length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:  # the client has stopped waiting
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler


class RefusalError(Exception):
    """An error answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


def _uploaded(body: bytes, content_type: str) -> bytes:
    message = email.message_from_bytes(b"content-type: " + content_type.encode() + b"\r\n\r\n" + body)
    (part,) = message.get_payload()
    return bytes(part.get_payload(decode=True))
