"""What a Kubernetes cluster must offer before the pipeline can run on it, and what of that is missing."""

import base64
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pipelines.cluster.api import ForbiddenError, Kubernetes
from pipelines.cluster.footprint import Demand, Resources, quantity
from pipelines.cluster.names import (
    GPU,
    GPU_LABEL,
    GPU_PRODUCT,
    LAUNCHER,
    S3_KEYS,
    S3_PLACE,
    S3_SECRET,
    SETTINGS,
    TRACKING,
)
from segline.common.errors import SeglineError
from segline.storage.objects import UnreachableError
from segline.storage.s3 import S3Objects
from segline.storage.s3_settings import S3Settings


@dataclass(frozen=True)
class Finding:
    """One thing that a cluster must offer."""

    name: str
    ok: bool | None
    """None: it could not be looked at from here."""
    detail: str
    """What is there; or what is missing and how to make it."""


def examine(kubernetes: Kubernetes, demand: Demand, s3_endpoint: str = "") -> list[Finding]:
    """Look at everything that the pipeline needs; the connection first, and alone if there is none.

    ``s3_endpoint`` is how the object store is reached from here, where that is not as from inside.
    """
    try:
        reached = Finding("cluster", True, f"{kubernetes.api.configuration.host}, {kubernetes.version}")
    except ForbiddenError as error:
        reached = Finding("cluster", None, str(error))
    except SeglineError as error:
        return [Finding("cluster", False, str(error))]
    space = _looked("namespace", lambda: _namespace(kubernetes))
    if space.ok is False:
        return [reached, space]
    looks: dict[str, Callable[[], Finding]] = {
        "nodes": lambda: _nodes(kubernetes),
        "gpu": lambda: _gpus(kubernetes, demand),
        "room": lambda: _room(kubernetes, demand),
        "quota": lambda: _quota(kubernetes, demand),
        "s3 secret": lambda: _secret(kubernetes),
        "settings": lambda: _settings(kubernetes),
        "launcher": lambda: _launcher(kubernetes),
        "bucket": lambda: _bucket(kubernetes, s3_endpoint),
        "mlflow": lambda: _mlflow(kubernetes),
    }
    return [reached, space, *(_looked(name, look) for name, look in looks.items())]


def _looked(name: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except ForbiddenError as error:
        return Finding(name, None, str(error))
    except SeglineError as error:
        return Finding(name, False, str(error))


def _namespace(kubernetes: Kubernetes) -> Finding:
    name = kubernetes.namespace
    if kubernetes.has_namespace:
        return Finding("namespace", True, name)
    return Finding(
        "namespace", False, f"{name} is missing: kubectl create namespace {name}, or set NAMESPACE"
    )


def _nodes(kubernetes: Kubernetes) -> Finding:
    nodes = kubernetes.nodes
    ready = [node for node in nodes if _is_ready(node)]
    told = f"{len(ready)} of {len(nodes)} ready"
    return Finding("nodes", bool(ready), told if ready else f"{told}: kubectl describe nodes says why")


def _gpus(kubernetes: Kubernetes, demand: Demand) -> Finding:
    if demand.accelerator == "none":
        return Finding("gpu", True, "not asked for: ACCELERATOR=none")
    with_gpu = [node for node in kubernetes.nodes if _is_ready(node) and _gpu_count(node)]
    labelled = [node for node in with_gpu if _label(node, GPU_LABEL) == "true"]
    if not with_gpu:
        told = f"no GPU node: no ready node offers {GPU}; add one with NVIDIA's device plugin"
        return Finding("gpu", False, f"{told}, or ACCELERATOR=none")
    if not labelled:
        name = with_gpu[0].metadata.name
        return Finding("gpu", False, f"no node is labelled: kubectl label node {name} {GPU_LABEL}=true")
    products = {_label(node, GPU_PRODUCT) for node in labelled}
    missing = [wanted for wanted in demand.gpu_types if wanted not in products]
    if missing:
        known = ", ".join(sorted(products - {""})) or "none"
        told = f"no ready node has {GPU_PRODUCT}={missing[0]}; there are: {known}; correct GPU_TYPES"
        return Finding("gpu", False, told)
    each = ", ".join(f"{node.metadata.name} {_gpu_count(node)}" for node in labelled)
    return Finding("gpu", True, f"{GPU}: {each}")


def _room(kubernetes: Kubernetes, demand: Demand) -> Finding:
    """Whether each stage fits a node beside everything that runs there anyway."""
    taken = _taken(kubernetes)
    rooms = [Room.on(node, taken) for node in kubernetes.nodes if _is_ready(node)]
    stages = sorted(demand.stages.items(), key=lambda of: quantity(of[1].memory[0]), reverse=True)
    for name, given in stages:
        candidates = [room for room in rooms if room.gpu or not given.gpu]
        if candidates and not any(room.fits(given) for room in candidates):
            largest = max(candidates, key=lambda room: room.memory)
            return Finding(
                "room",
                False,
                f"{name} asks for {given.cpu[0]} CPUs and {given.memory[0]}; the largest node "
                f"{'with a GPU ' if given.gpu else ''}has {largest.words}; add a larger one, or give "
                "PROFILE=small",
            )
    name, given = stages[0]
    return Finding("room", True, f"for the largest, {name}: {given.cpu[0]} CPUs and {given.memory[0]}")


@dataclass(frozen=True)
class Room:
    """What is left on a node for the stages of runs."""

    cpu: float
    memory: float
    """Bytes."""
    gpu: bool
    words: str

    @classmethod
    def on(cls, node: Any, taken: Mapping[str, tuple[float, float]]) -> "Room":
        """Of what the node has, less what others have ``taken``, by node."""
        has, (cpu, memory) = node.status.allocatable, taken.get(node.metadata.name, (0.0, 0.0))
        left = _amount(has["cpu"]) - cpu, _memory(node) - memory
        words = f"{has['cpu']} and {_memory(node) / 2**30:.1f}Gi"
        if cpu or memory:
            words += f", of which others leave {left[0]:.2g} and {left[1] / 2**30:.1f}Gi"
        return cls(*left, bool(_gpu_count(node)), words)

    def fits(self, given: Resources) -> bool:
        """Whether a stage can be placed there."""
        return quantity(given.cpu[0]) <= self.cpu and quantity(given.memory[0]) <= self.memory


def _taken(kubernetes: Kubernetes) -> Mapping[str, tuple[float, float]]:
    """CPUs and bytes that pods ask for, by node; nothing where this account may not look."""
    taken: dict[str, tuple[float, float]] = {}
    with suppress(ForbiddenError):
        for pod in kubernetes.pods:
            cpu, memory = taken.get(pod.spec.node_name, (0.0, 0.0))
            for container in pod.spec.containers:
                asked = (container.resources and container.resources.requests) or {}
                cpu, memory = cpu + _amount(asked.get("cpu", "0")), memory + _amount(asked.get("memory", "0"))
            taken[pod.spec.node_name] = cpu, memory
    return taken


def _quota(kubernetes: Kubernetes, demand: Demand) -> Finding:
    quotas = kubernetes.listed("resource_quota")
    largest = _largest_asks(demand)
    lacking = [line for quota in quotas for line in _lacking(quota, largest)]
    if lacking:
        told = f"too small: {'; '.join(lacking)}; end other runs, ask for more, or give PROFILE=small"
        return Finding("quota", False, told)
    return Finding("quota", True, f"{len(quotas)} set, all with room" if quotas else "none set")


def _secret(kubernetes: Kubernetes) -> Finding:
    found = kubernetes.read("secret", S3_SECRET)
    missing = [key for key in S3_KEYS if not (found and (found.data or {}).get(key))]
    if not missing:
        return Finding("s3 secret", True, S3_SECRET)
    make = " ".join(f"--from-literal={key}=…" for key in S3_KEYS)
    what = f"{S3_SECRET} lacks {', '.join(missing)}" if found else f"{S3_SECRET} is missing"
    return Finding(
        "s3 secret",
        False,
        f"{what}: kubectl -n {kubernetes.namespace} create secret generic {S3_SECRET} {make}",
    )


def _settings(kubernetes: Kubernetes) -> Finding:
    values = kubernetes.config(SETTINGS)
    missing = [key for key in (*S3_PLACE, TRACKING) if not values.get(key)]
    if not missing:
        return Finding("settings", True, f"{SETTINGS}: {values[S3_PLACE[0]]}, {values[TRACKING]}")
    make = " ".join(f"--from-literal={key}=…" for key in (*S3_PLACE, TRACKING))
    return Finding(
        "settings",
        False,
        f"{SETTINGS} lacks {', '.join(missing)}: "
        f"kubectl -n {kubernetes.namespace} create configmap {SETTINGS} {make}",
    )


def _launcher(kubernetes: Kubernetes) -> Finding:
    root = kubernetes.config(LAUNCHER).get("defaultPipelineRoot", "")
    if root:
        return Finding("launcher", True, f"{LAUNCHER}: artifacts go to {root}")
    return Finding(
        "launcher",
        False,
        f"{LAUNCHER} is missing or has no defaultPipelineRoot: kubectl -n {kubernetes.namespace} "
        f"create configmap {LAUNCHER} --from-literal=defaultPipelineRoot=s3://bucket/prefix",
    )


def _bucket(kubernetes: Kubernetes, s3_endpoint: str) -> Finding:
    bucket = urlsplit(kubernetes.config(SETTINGS).get("SEGLINE_BUCKET", "")).netloc
    place, secret = kubernetes.config(SETTINGS), kubernetes.read("secret", S3_SECRET)
    keys = {key: base64.b64decode(value).decode() for key, value in ((secret and secret.data) or {}).items()}
    known = {**place, **keys, **({"S3_ENDPOINT": s3_endpoint} if s3_endpoint else {}), "S3_PATIENCE_S": "3"}
    settings = S3Settings.from_environment(known)
    if not bucket or settings is None:
        return Finding("bucket", None, "not looked at: the settings' or the secret's part is missing")
    try:
        S3Objects(bucket, settings).listed("segline-check/")
    except UnreachableError:
        if s3_endpoint:
            raise
        return Finding(
            "bucket", None, f"{bucket}: not reached from here; forward a port, and set S3_ENDPOINT"
        )
    return Finding("bucket", True, f"{bucket} at {settings.endpoint}")


def _mlflow(kubernetes: Kubernetes) -> Finding:
    address = kubernetes.config(SETTINGS).get(TRACKING, "")
    parts = urlsplit(address)
    service, *inner = (parts.hostname or "").split(".")
    if not service or (inner[1:] and inner[1] != "svc"):
        return Finding("mlflow", None, f"{address or 'no address'}: outside the cluster, not looked at")
    namespace = inner[0] if inner else kubernetes.namespace
    try:
        answer = kubernetes.served(f"{service}:{parts.port or 80}", namespace, "health")
    except ForbiddenError:
        raise
    except SeglineError as error:
        why = f"kubectl -n {namespace} get pods says why"
        return Finding("mlflow", False, f"{address}: does not answer ({error}); {why}")
    if answer is None:
        told = f"{address}: no service {service} in {namespace}: kubectl apply -k manifests/overlays/…"
        return Finding("mlflow", False, told)
    return Finding("mlflow", True, address)


def _is_ready(node: Any) -> bool:
    conditions = node.status.conditions or []
    return not node.spec.unschedulable and any(c.type == "Ready" and c.status == "True" for c in conditions)


def _gpu_count(node: Any) -> int:
    return int((node.status.allocatable or {}).get(GPU, 0))


def _label(node: Any, name: str) -> str:
    return str((node.metadata.labels or {}).get(name, ""))


def _memory(node: Any) -> float:
    return _amount(node.status.allocatable["memory"])


def _amount(text: str) -> float:
    from kubernetes.utils.quantity import parse_quantity

    return float(parse_quantity(text))


def _largest_asks(demand: Demand) -> Mapping[str, tuple[str, str]]:
    """Name in a quota to the stage that asks for most, and how much."""
    asked: dict[str, Callable[[Resources], str]] = {
        "requests.cpu": lambda given: given.cpu[0],
        "requests.memory": lambda given: given.memory[0],
        "limits.cpu": lambda given: given.cpu[1],
        "limits.memory": lambda given: given.memory[1],
        f"requests.{GPU}": lambda given: "1" if given.gpu else "0",
        "pods": lambda _: "1",
    }
    asked |= {"cpu": asked["requests.cpu"], "memory": asked["requests.memory"]}
    return {name: _most(demand.stages, of) for name, of in asked.items()}


def _most(stages: Mapping[str, Resources], of: Callable[[Resources], str]) -> tuple[str, str]:
    stage = max(stages, key=lambda name: quantity(of(stages[name])))
    return stage, of(stages[stage])


def _lacking(quota: Any, largest: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    """A line for each thing of which a stage asks for more than is left."""
    used = quota.status.used or {}
    for name, hard in (quota.status.hard or {}).items():
        if name not in largest or name not in used:
            continue
        stage, ask = largest[name]
        if quantity(ask) > _amount(hard) - _amount(used[name]):
            yield f"{quota.metadata.name} {name}: {stage} asks for {ask}, {used[name]} of {hard} are used"
