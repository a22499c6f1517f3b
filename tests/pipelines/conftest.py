"""A Kubeflow Pipelines service and a cluster for the tests: the test's own, or real ones.

``KFP_HOST`` and ``KUBECONFIG`` name real ones; tests that must make a server fail are skipped then.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..s3_server import S3Server
from .k8s_server import KubernetesServer, complete
from .kfp_server import KfpServer


@pytest.fixture()
def kfp_server() -> Iterator[KfpServer]:
    """A service that can be told to fail."""
    if os.environ.get("KFP_HOST"):
        pytest.skip("KFP_HOST names a real service, which is not made to fail")
    with KfpServer().serving() as server:
        yield server


@pytest.fixture()
def kfp_host(request: pytest.FixtureRequest) -> str:
    """The address of a service."""
    return os.environ.get("KFP_HOST") or request.getfixturevalue("kfp_server").host


@pytest.fixture()
def cluster(s3_server: S3Server) -> Iterator[KubernetesServer]:
    """A cluster that has everything, and can be told to lack some."""
    if os.environ.get("KUBECONFIG"):
        pytest.skip("KUBECONFIG names a real cluster, from which nothing is taken away")
    if not (s3_server.folder / "segline").is_dir():
        s3_server.bucket("segline")
    with KubernetesServer().serving() as server:
        complete(server, s3_server.settings)
        yield server


@pytest.fixture()
def kubeconfig(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A kubeconfig that leads to a cluster."""
    real = os.environ.get("KUBECONFIG")
    if real:
        return Path(real)
    server: KubernetesServer = request.getfixturevalue("cluster")
    return server.write_kubeconfig(tmp_path / "kubeconfig")
