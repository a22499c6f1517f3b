"""A real MLflow server on the loopback interface."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from .s3_server import free_port

SILENT = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
AS_DEPLOYED = {**SILENT, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
"""``manifests/base/mlflow`` says why."""


def wait_until_healthy(uri: str, server: "subprocess.Popen[bytes]") -> None:
    for _ in range(600):
        try:
            with urlopen(f"{uri}/health", timeout=1):
                return
        except (URLError, OSError):
            assert server.poll() is None, "mlflow server ended at once"
            time.sleep(0.1)
    pytest.fail("mlflow server did not answer within 60 s")


@contextmanager
def mlflow_server(folder: Path) -> Iterator[str]:
    """The URI of a server that keeps artifacts behind itself, as one with S3 does."""
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    places = [
        "--backend-store-uri",
        f"sqlite:///{folder}/db",
        "--artifacts-destination",
        f"{folder}/artifacts",
    ]
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1", *places]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=AS_DEPLOYED, cwd=folder)
    try:
        wait_until_healthy(uri, process)
        yield uri
    finally:
        process.terminate()
        process.wait()
