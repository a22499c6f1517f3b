"""Least privilege, bounds and pins: every object keeps every rule, and every rule finds what breaks it."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from . import policy
from .conftest import Document, written

Rule = Callable[[list[Document]], Iterator[str]]


@pytest.mark.parametrize("rule", policy.RULES, ids=lambda rule: rule.__name__)
def test_every_object_keeps_the_rule(documents: list[Document], rule: Rule) -> None:
    assert list(rule(documents)) == []


def test_no_secret_object_is_written() -> None:
    assert not [name for name, document in written().items() if document["kind"] == "Secret"]


def planted(kind: str, path: str, value: Any) -> list[Document]:
    """The objects as written, the first of a kind spoilt: its ``path`` is ``value``, or gone if None."""
    documents = copy.deepcopy(list(written().values()))
    place: Any = next(one for one in documents if one["kind"] == kind)
    *way, last = [int(step) if step.isdigit() else step for step in path.split("/")]
    for step in way:
        place = place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return documents


POD = "spec/template/spec"
BOX = f"{POD}/containers/0"


@pytest.mark.parametrize(
    ("rule", "kind", "path", "value", "said"),
    [
        (policy.images_are_pinned, "StatefulSet", f"{BOX}/image", "postgres:latest", "not pinned"),
        (policy.images_are_pinned, "StatefulSet", f"{BOX}/image", "postgres:17.6-bookworm", "not pinned"),
        (policy.images_are_pinned, "StatefulSet", f"{BOX}/image", "segline-minio", "not pinned"),
        (
            policy.resources_are_bounded,
            "Deployment",
            f"{BOX}/resources/limits/memory",
            None,
            "limits of memory",
        ),
        (policy.resources_are_bounded, "Deployment", f"{POD}/volumes/0/emptyDir", {}, "fill the node's disk"),
        (policy.pods_have_no_privilege, "Job", f"{POD}/securityContext/runAsNonRoot", False, "as root"),
        (policy.pods_have_no_privilege, "Job", f"{POD}/securityContext/runAsUser", 0, "as root"),
        (policy.pods_have_no_privilege, "Job", f"{POD}/securityContext/seccompProfile", None, "seccomp"),
        (policy.pods_have_no_privilege, "Job", f"{POD}/automountServiceAccountToken", True, "token"),
        (policy.pods_have_no_privilege, "Job", f"{POD}/hostNetwork", True, "namespace of the host"),
        (policy.pods_have_no_privilege, "Job", f"{POD}/volumes/0", {"hostPath": {}}, "path of the host"),
        (policy.containers_have_no_privilege, "Job", f"{BOX}/securityContext/privileged", True, "privileged"),
        (
            policy.containers_have_no_privilege,
            "Job",
            f"{BOX}/securityContext/readOnlyRootFilesystem",
            None,
            "readOnlyRootFilesystem",
        ),
        (
            policy.containers_have_no_privilege,
            "Job",
            f"{BOX}/securityContext/capabilities/add",
            ["NET_RAW"],
            "capabilities",
        ),
        (policy.servers_are_probed, "StatefulSet", f"{BOX}/readinessProbe", None, "no readinessProbe"),
        (
            policy.servers_have_disruption_budgets,
            "StatefulSet",
            "spec/template/metadata/labels",
            {},
            "no disruption budget",
        ),
        (policy.jobs_end, "Job", "spec/activeDeadlineSeconds", None, "no activeDeadlineSeconds"),
        (policy.services_stay_inside, "Service", "spec/type", "NodePort", "NodePort"),
        (
            policy.no_secret_is_in_clear,
            "StatefulSet",
            f"{BOX}/env/4",
            {"name": "POSTGRES_PASSWORD", "value": "hunter2"},
            "POSTGRES_PASSWORD is in clear",
        ),
        (
            policy.no_secret_is_in_clear,
            "Deployment",
            f"{BOX}/args/1",
            "--backend-store-uri=postgresql://mlflow:hunter2@postgres/mlflow",
            "a password",
        ),
        (policy.no_secret_is_in_clear, "ConfigMap", "data/AWS_SECRET_ACCESS_KEY", "hunter2", "in a Secret"),
    ],
)
def test_the_rule_finds(rule: Rule, kind: str, path: str, value: Any, said: str) -> None:
    found = list(rule(planted(kind, path, value)))
    assert len(found) == 1
    assert said in found[0]


def test_what_a_pod_refers_to_is_there(rendered: dict[str, list[Document]]) -> None:
    for documents in rendered.values():
        there = {
            (one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in documents
        }
        for document in documents:
            if "template" in document.get("spec", {}):
                assert set(references(document)) <= there


def test_every_namespace_of_ours_denies_by_default(rendered: dict[str, list[Document]]) -> None:
    for documents in rendered.values():
        denials = [
            one["metadata"]["namespace"]
            for one in documents
            if one["kind"] == "NetworkPolicy"
            and one["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
        ]
        assert denials == [one["metadata"]["name"] for one in documents if one["kind"] == "Namespace"]


def references(document: Document) -> Iterator[tuple[str, str, str]]:
    """Kind, namespace and name of all that a workload's pods need."""
    namespace, pod = document["metadata"]["namespace"], document["spec"]["template"]["spec"]
    yield "ServiceAccount", namespace, pod["serviceAccountName"]
    for volume in pod["volumes"]:
        if "configMap" in volume:
            yield "ConfigMap", namespace, volume["configMap"]["name"]
    for container in pod["containers"]:
        for source in container.get("envFrom", []):
            yield "Secret", namespace, source["secretRef"]["name"]
        for variable in container.get("env", []):
            if "valueFrom" in variable:
                yield "Secret", namespace, variable["valueFrom"]["secretKeyRef"]["name"]
