"""What every object of this repository must keep to. Each rule yields its violations, one line each."""

import re
from collections.abc import Callable, Iterator

from .conftest import Document

SERVERS = ("Deployment", "StatefulSet", "DaemonSet")
OWN_IMAGES = ("segline-minio", "segline-mlflow", "segline-base", "segline-serve")
"""Built here and loaded or pushed by digest; an exact version stands in the manifests."""

_SECRET_NAME = re.compile(r"PASSWORD|SECRET|TOKEN|ACCESS_KEY|_KEY$|CREDENTIAL", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"://[^/\s:$]+:[^@\s$]+@")
_REFERENCE = re.compile(r"^[^$]*\$\(\w+\)")


def name_of(document: Document) -> str:
    """Kind and name, for people."""
    return f"{document['kind']} {document['metadata']['name']}"


def pods(documents: list[Document]) -> Iterator[tuple[str, Document]]:
    """Every pod template's owner and spec."""
    for document in documents:
        of_job = document.get("spec", {}).get("jobTemplate", document)
        template = of_job.get("spec", {}).get("template")
        if template:
            yield name_of(document), template["spec"]


def containers(documents: list[Document]) -> Iterator[tuple[str, Document]]:
    """Every container and whose it is."""
    for owner, pod in pods(documents):
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            yield f"{owner} container {container['name']}", container


def images_are_pinned(documents: list[Document]) -> Iterator[str]:
    """By digest, or our own by exact version."""
    for owner, container in containers(documents):
        name, _, digest = container["image"].partition("@sha256:")
        own, _, tag = name.partition(":")
        exact = own in OWN_IMAGES and re.search(r"\d+[.-]\d+|^\d{8}$", tag)
        if not (re.fullmatch(r"[0-9a-f]{64}", digest) or exact) or tag == "latest":
            yield f"{owner}: image {container['image']} is not pinned"


def resources_are_bounded(documents: list[Document]) -> Iterator[str]:
    """Requests and limits of CPU, memory and scratch space."""
    for owner, container in containers(documents):
        for side in ("requests", "limits"):
            missing = {"cpu", "memory", "ephemeral-storage"} - container.get("resources", {}).get(
                side, {}
            ).keys()
            yield from (f"{owner}: no {side} of {what}" for what in sorted(missing))
    for owner, pod in pods(documents):
        for volume in pod.get("volumes", []):
            if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
                yield f"{owner}: volume {volume['name']} may fill the node's disk"


def pods_have_no_privilege(documents: list[Document]) -> Iterator[str]:
    """Not root, no part of the host, no key to the API server."""
    for owner, pod in pods(documents):
        context = pod.get("securityContext", {})
        if not (context.get("runAsNonRoot") and context.get("runAsUser", 0) and context.get("runAsGroup", 0)):
            yield f"{owner}: may run as root"
        if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{owner}: no seccomp profile"
        if pod.get("automountServiceAccountToken") is not False:
            yield f"{owner}: holds a token of the API server"
        if any(pod.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")):
            yield f"{owner}: shares a namespace of the host"
        if any("hostPath" in volume for volume in pod.get("volumes", [])):
            yield f"{owner}: mounts a path of the host"


def containers_have_no_privilege(documents: list[Document]) -> Iterator[str]:
    """No escalation, no capability, no writing into the image."""
    wanted = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    for owner, container in containers(documents):
        context = container.get("securityContext", {})
        yield from (
            f"{owner}: {key} is not {value}" for key, value in wanted.items() if context.get(key) != value
        )
        if context.get("privileged") or context.get("runAsUser") == 0:
            yield f"{owner}: is privileged"


def servers_are_probed(documents: list[Document]) -> Iterator[str]:
    """Start, readiness and life of every server."""
    for document in documents:
        if document["kind"] in SERVERS:
            for owner, container in containers([document]):
                missing = {"startupProbe", "readinessProbe", "livenessProbe"} - container.keys()
                yield from (f"{owner}: no {probe}" for probe in sorted(missing))


def servers_have_disruption_budgets(documents: list[Document]) -> Iterator[str]:
    """A drain of a node asks first."""
    budgets = [
        one["spec"]["selector"]["matchLabels"] for one in documents if one["kind"] == "PodDisruptionBudget"
    ]
    for document in documents:
        if document["kind"] in SERVERS:
            labels = document["spec"]["template"]["metadata"]["labels"]
            if not any(budget.items() <= labels.items() for budget in budgets):
                yield f"{name_of(document)}: no disruption budget"


def jobs_end(documents: list[Document]) -> Iterator[str]:
    """In time, and are tidied away."""
    for document in documents:
        if document["kind"] == "Job":
            missing = {"backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished"} - document[
                "spec"
            ].keys()
            yield from (f"{name_of(document)}: no {what}" for what in sorted(missing))


def services_stay_inside(documents: list[Document]) -> Iterator[str]:
    """Nothing is reachable from outside the cluster."""
    for document in documents:
        if document["kind"] == "Ingress":
            yield f"{name_of(document)}: opens the cluster"
        if document["kind"] == "Service" and document["spec"].get("type", "ClusterIP") != "ClusterIP":
            yield f"{name_of(document)}: is of type {document['spec']['type']}"


def no_secret_is_in_clear(documents: list[Document]) -> Iterator[str]:
    """Values come from Secrets; ``$(NAME)`` refers to one that does."""
    for owner, container in containers(documents):
        for variable in container.get("env", []):
            value = variable.get("value", "")
            if _SECRET_NAME.search(variable["name"]) and value and not _REFERENCE.match(value):
                yield f"{owner}: {variable['name']} is in clear"
        for text in [*container.get("args", []), *(one.get("value", "") for one in container.get("env", []))]:
            if _URL_PASSWORD.search(text):
                yield f"{owner}: a password is in {text}"
    for document in documents:
        if document["kind"] == "ConfigMap":
            for key, value in document.get("data", {}).items():
                if _SECRET_NAME.search(key) or _URL_PASSWORD.search(value):
                    yield f"{name_of(document)}: {key} belongs in a Secret"


RULES: tuple[Callable[[list[Document]], Iterator[str]], ...] = (
    images_are_pinned,
    resources_are_bounded,
    pods_have_no_privilege,
    containers_have_no_privilege,
    servers_are_probed,
    servers_have_disruption_budgets,
    jobs_end,
    services_stay_inside,
    no_secret_is_in_clear,
)
