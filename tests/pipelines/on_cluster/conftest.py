"""The cluster that ``KUBECONFIG`` names, with the overlay ``kind`` applied and the images loaded.

Its node is this machine. Run by hand: ``pytest -m cluster tests/pipelines/on_cluster``.
"""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
from kubernetes import client

from pipelines.cluster.api import Kubernetes
from pipelines.cluster.names import NAMESPACE

from ...s3_server import free_port
from ...waiting import wait_until
from .pods import ACCOUNT


@pytest.fixture(scope="session")
def kubernetes() -> Kubernetes:
    """A connection that may do everything."""
    if not os.environ.get("KUBECONFIG"):
        pytest.fail("KUBECONFIG names no cluster")
    return Kubernetes.connect()


@pytest.fixture(scope="session")
def core(kubernetes: Kubernetes) -> client.CoreV1Api:
    """Its API, with the account of runs there."""
    api = client.CoreV1Api(kubernetes.api)
    if ACCOUNT not in [one.metadata.name for one in api.list_namespaced_service_account("kubeflow").items]:
        api.create_namespaced_service_account("kubeflow", {"metadata": {"name": ACCOUNT}})
    return api


@contextmanager
def forwarded(service: str, port: int, namespace: str = "segline") -> Iterator[str]:
    """The address here, ``127.0.0.1:port``, of a service in the cluster."""
    local = free_port()
    command = ["kubectl", "-n", namespace, "port-forward", f"service/{service}", f"{local}:{port}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        lines: list[str] = []
        wait_until(lambda: lines or lines.append(process.stdout.readline()) or lines[0], 60)
        assert "Forwarding" in lines[0], lines
        yield f"127.0.0.1:{local}"
    finally:
        process.terminate()
        process.wait()


@contextmanager
def patched(core: client.CoreV1Api, name: str, data: Mapping[str, str]) -> Iterator[None]:
    """A ConfigMap with other values for a while."""
    kept = core.read_namespaced_config_map(name, NAMESPACE).data
    core.patch_namespaced_config_map(name, NAMESPACE, {"data": dict(data)})
    try:
        yield
    finally:
        core.patch_namespaced_config_map(name, NAMESPACE, {"data": kept})


def kubectl(*arguments: str) -> str:
    """What it prints.

    Raises:
        CalledProcessError: it fails.
    """
    done = subprocess.run(["kubectl", *arguments], check=True, capture_output=True, text=True)
    return done.stdout
