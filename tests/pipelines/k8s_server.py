"""A server on loopback that speaks the part of Kubernetes' API that segline uses.

Objects are Kubernetes' own JSON, kept by path; what is not there is answered with a Status.
"""

import base64
import json
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

from segline.storage.s3_settings import S3Settings

from .loopback import LoopbackServer

SPACE = "/api/v1/namespaces/kubeflow"
TOKEN = "a-token-of-the-test"


class KubernetesServer(LoopbackServer):
    """The server and the objects that it answers with."""

    def __init__(self) -> None:
        self.objects: dict[str, Any] = {"/version/": {**_VERSION}}
        self.refused: dict[str, int] = {}
        """Path to the status that it is answered with."""
        super().__init__()

    def write_kubeconfig(self, path: Path, token: str = TOKEN) -> Path:
        """A kubeconfig that leads here."""
        path.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "test",
                    "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
                    "clusters": [{"name": "test", "cluster": {"server": self.host}}],
                    "users": [{"name": "test", "user": {"token": token}}],
                }
            )
        )
        return path

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        held = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:  # the name that http.server calls
                url = urlsplit(self.path)
                path = unquote(url.path)
                if self.headers.get("authorization") != f"Bearer {TOKEN}":
                    self._refuse(401, "Unauthorized")
                elif path in held.refused:
                    self._refuse(held.refused[path], "Forbidden")
                elif path in held.objects:
                    self._send(200, _selected(held.objects[path], parse_qs(url.query)))
                else:
                    self._refuse(404, "NotFound")

            def _refuse(self, status: int, reason: str) -> None:
                told = {"kind": "Status", "apiVersion": "v1", "status": "Failure"}
                self._send(status, {**told, "message": reason.lower(), "reason": reason, "code": status})

            def _send(self, status: int, answer: Any) -> None:
                data = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler


def node(
    name: str,
    gpus: int = 0,
    labelled: bool = True,
    ready: bool = True,
    cpu: str = "16",
    memory: str = "64Gi",
    product: str = "",
) -> dict[str, Any]:
    """A node as ``GET /api/v1/nodes`` lists it."""
    allocatable = {"cpu": cpu, "memory": memory, **({"nvidia.com/gpu": str(gpus)} if gpus else {})}
    labels = {"kubernetes.io/hostname": name}
    if gpus and labelled:
        labels["nvidia.com/gpu.present"] = "true"
    if product:
        labels["nvidia.com/gpu.product"] = product
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"providerID": f"kind://{name}"},
        "status": {
            "allocatable": allocatable,
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }


def waiting_pod(run_id: str, reason: str, message: str) -> dict[str, Any]:
    """A pod of a run whose container does not start."""
    return {
        "metadata": {"name": "segline-x-train-1", "labels": {"pipeline/runid": run_id}},
        "spec": {"containers": [{"name": "main"}]},
        "status": {
            "phase": "Pending",
            "containerStatuses": [
                {
                    "name": "main",
                    "image": "registry.test/segline-gpu:0.1.0",
                    "imageID": "",
                    "ready": False,
                    "restartCount": 0,
                    "state": {"waiting": {"reason": reason, "message": message}},
                }
            ],
        },
    }


def stage_pod(run_id: str, stage: str, phase: str, **status: Any) -> dict[str, Any]:
    """A pod of a run that runs a stage, as Argo makes it."""
    labels = {
        "pipeline/runid": run_id,
        "app.kubernetes.io/component": stage,
        "workflows.argoproj.io/workflow": "segline-x",
    }
    box = {"name": "main", "resources": {"limits": {"memory": "8Gi"}}}
    return {
        "metadata": {"name": f"segline-x-{stage}", "labels": labels},
        "spec": {"containers": [box]},
        "status": {"phase": phase, **status},
    }


def ended_container(reason: str) -> dict[str, Any]:
    """The status of a container that was ended."""
    ended = {"terminated": {"exitCode": 137, "reason": reason}}
    return {
        "name": "main",
        "image": "segline-base:0.1.0",
        "imageID": "",
        "ready": False,
        "restartCount": 0,
        "state": ended,
    }


def many(kind: str, *items: dict[str, Any]) -> dict[str, Any]:
    """A list of objects."""
    return {"kind": f"{kind}List", "apiVersion": "v1", "metadata": {}, "items": list(items)}


def complete(server: KubernetesServer, s3: S3Settings) -> None:
    """Let the cluster have everything that the pipeline needs, with the object store of ``s3``."""
    keys = {"AWS_ACCESS_KEY_ID": s3.access_key, "AWS_SECRET_ACCESS_KEY": s3.secret_key}
    places = {
        "S3_ENDPOINT": f"http://{s3.endpoint}",
        "AWS_REGION": "us-east-1",
        "SEGLINE_BUCKET": "s3://segline",
        "MLFLOW_TRACKING_URI": "http://mlflow:5000",
    }
    server.objects |= {
        "/api/v1/nodes": many("Node", node("cpu-1"), node("gpu-1", gpus=2)),
        SPACE: {"kind": "Namespace", "metadata": {"name": "kubeflow"}},
        f"{SPACE}/resourcequotas": many("ResourceQuota"),
        f"{SPACE}/pods": many("Pod"),
        "/api/v1/pods": many("Pod"),
        f"{SPACE}/secrets/segline-s3": _named("segline-s3", {k: _encoded(v) for k, v in keys.items()}),
        f"{SPACE}/configmaps/segline-settings": _named("segline-settings", places),
        f"{SPACE}/configmaps/kfp-launcher": _named(
            "kfp-launcher", {"defaultPipelineRoot": "s3://segline/artifacts"}
        ),
        f"{SPACE}/services/mlflow:5000/proxy/health": "OK",
    }


def _selected(answer: Any, query: dict[str, list[str]]) -> Any:
    if "labelSelector" not in query:
        return answer
    name, _, value = query["labelSelector"][0].partition("=")
    labels = [one["metadata"].get("labels", {}) for one in answer["items"]]
    fits = [name[1:] not in of if name.startswith("!") else of.get(name) == value for of in labels]
    items = [one for one, wanted in zip(answer["items"], fits, strict=True) if wanted]
    return {**answer, "items": items}


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _named(name: str, data: dict[str, str]) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "kubeflow"}, "data": data}


_VERSION = {
    "major": "1",
    "minor": "34",
    "gitVersion": "v1.34.0",
    "gitCommit": "f28b4c9efbca5c5c0af716d9f2d5702667ee8a45",
    "gitTreeState": "clean",
    "buildDate": "2025-08-27T10:15:59Z",
    "goVersion": "go1.24.6",
    "compiler": "gc",
    "platform": "linux/amd64",
}
