"""What the check says of a real cluster that has everything, and of the same with one thing taken away."""

import base64
from collections.abc import Iterator, Mapping

import pytest
from kubernetes import client

from pipelines.cluster.api import Kubernetes
from pipelines.cluster.footprint import Demand
from pipelines.cluster.names import NAMESPACE, S3_SECRET, SETTINGS
from pipelines.cluster.readiness import Finding, examine

from ...waiting import wait_until
from .conftest import forwarded, kubectl, patched

pytestmark = pytest.mark.cluster

SMALL = Demand("none", "small")


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    """Where the object store is from here."""
    with forwarded("minio", 9000) as address:
        yield f"http://{address}"


def found(kubernetes: Kubernetes, s3_endpoint: str, demand: Demand = SMALL) -> Mapping[str, Finding]:
    return {finding.name: finding for finding in examine(kubernetes, demand, s3_endpoint)}


def the_one_missing(findings: Mapping[str, Finding]) -> str:
    (missing,) = [name for name, finding in findings.items() if finding.ok is False]
    return f"{missing}: {findings[missing].detail}"


def test_a_cluster_that_has_everything_is_ready(kubernetes: Kubernetes, s3_endpoint: str) -> None:
    findings = found(kubernetes, s3_endpoint)
    assert [name for name, finding in findings.items() if finding.ok is not True] == []


def test_too_small_a_node(kubernetes: Kubernetes, s3_endpoint: str) -> None:
    line = the_one_missing(found(kubernetes, s3_endpoint, Demand("none", "full")))
    assert line.startswith("room: ")
    assert "the largest node has 2 and" in line
    assert "of which others leave" in line


def test_no_gpu(kubernetes: Kubernetes, s3_endpoint: str) -> None:
    line = the_one_missing(found(kubernetes, s3_endpoint, Demand("nvidia", "small")))
    assert line.startswith("gpu: no GPU node: no ready node offers nvidia.com/gpu")


def test_a_missing_secret(kubernetes: Kubernetes, core: client.CoreV1Api, s3_endpoint: str) -> None:
    kept = core.read_namespaced_secret(S3_SECRET, NAMESPACE).data
    core.delete_namespaced_secret(S3_SECRET, NAMESPACE)
    try:
        findings = found(kubernetes, s3_endpoint)
    finally:
        core.create_namespaced_secret(NAMESPACE, {"metadata": {"name": S3_SECRET}, "data": kept})
    assert the_one_missing(findings).startswith(f"s3 secret: {S3_SECRET} is missing: kubectl -n kubeflow")
    assert findings["bucket"].ok is None


def test_a_wrong_bucket(kubernetes: Kubernetes, core: client.CoreV1Api, s3_endpoint: str) -> None:
    with patched(core, SETTINGS, {"SEGLINE_BUCKET": "s3://nobodys"}):
        line = the_one_missing(found(kubernetes, s3_endpoint))
    assert line.startswith("bucket: s3://nobodys")


def test_a_wrong_key(kubernetes: Kubernetes, core: client.CoreV1Api, s3_endpoint: str) -> None:
    kept = core.read_namespaced_secret(S3_SECRET, NAMESPACE).data
    wrong = {"AWS_SECRET_ACCESS_KEY": base64.b64encode(b"a-key-that-is-another").decode()}
    core.patch_namespaced_secret(S3_SECRET, NAMESPACE, {"data": wrong})
    try:
        line = the_one_missing(found(kubernetes, s3_endpoint))
    finally:
        core.patch_namespaced_secret(S3_SECRET, NAMESPACE, {"data": kept})
    assert "the secret key is wrong; check AWS_SECRET_ACCESS_KEY" in line


def test_a_quota_that_is_used_up(kubernetes: Kubernetes, core: client.CoreV1Api, s3_endpoint: str) -> None:
    quota = {"metadata": {"name": "used-up"}, "spec": {"hard": {"pods": "0"}}}
    core.create_namespaced_resource_quota(NAMESPACE, quota)
    try:
        wait_until(lambda: core.read_namespaced_resource_quota("used-up", NAMESPACE).status.used)
        line = the_one_missing(found(kubernetes, s3_endpoint))
    finally:
        core.delete_namespaced_resource_quota("used-up", NAMESPACE)
    assert line.startswith("quota: too small: used-up pods: ")


def test_mlflow_away(kubernetes: Kubernetes, s3_endpoint: str) -> None:
    kubectl("-n", "segline", "scale", "deployment/mlflow", "--replicas=0")
    try:
        kubectl("-n", "segline", "wait", "--for=delete", "pod", "-l", "app.kubernetes.io/name=mlflow")
        line = the_one_missing(found(kubernetes, s3_endpoint))
    finally:
        kubectl("-n", "segline", "scale", "deployment/mlflow", "--replicas=1")
        kubectl("-n", "segline", "rollout", "status", "deployment/mlflow", "--timeout=180s")
    assert line.startswith("mlflow: http://mlflow.segline.svc.cluster.local:5000")
    assert "does not answer" in line
