"""MLflow that cannot be reached is told in one line."""

import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from segline.common.errors import SeglineError
from segline.tracking.mlflow_connection import Registry, registry_at
from segline.tracking.mlflow_settings import keys_apart, local_uri

from ..mlflow_runs import refusal
from ..s3_server import free_port


def test_a_server_that_is_not_there_is_told_at_once() -> None:
    uri = f"http://127.0.0.1:{free_port()}"
    started = time.monotonic()
    assert refusal(lambda: Registry(uri).client).startswith(f"{uri}: no MLflow server answers")
    assert time.monotonic() - started < 10


def test_a_password_in_the_uri_is_not_shown() -> None:
    registry = Registry(f"http://user:secret@127.0.0.1:{free_port()}")
    assert "secret" not in refusal(lambda: registry.client)
    assert "secret" not in repr(registry)


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("no database" * 100)
    line = refusal(lambda: Registry(f"sqlite:///{tmp_path / 'mlflow.db'}").client)
    assert "mlflow.db: cannot be opened as MLflow's database" in line


def test_a_bucket_has_no_registry_but_that_of_the_environment() -> None:
    with pytest.raises(SeglineError, match="no registry in a bucket"):
        registry_at("s3://bucket/store", "", {})
    told = {"MLFLOW_TRACKING_URI": "http://mlflow:5000"}
    assert registry_at("s3://bucket/store", "", dict(told)).uri == "http://mlflow:5000"
    assert registry_at("s3://bucket/store", "http://other:5000", dict(told)).uri == "http://other:5000"


def test_a_folders_registry_is_its_own_whatever_a_shell_says(tmp_path: Path) -> None:
    told = {"MLFLOW_TRACKING_URI": "http://mlflow:5000"}
    assert registry_at(tmp_path, "", told).uri == local_uri(tmp_path)


def test_files_come_from_the_server_itself_unless_somebody_says_otherwise(tmp_path: Path) -> None:
    variable = "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD"
    for given, wanted in (({}, "false"), ({variable: "true"}, "true")):
        environment: dict[str, str] = dict(given)
        registry_at(tmp_path, "", environment)
        assert environment[variable] == wanted


@pytest.mark.heavy
def test_a_server_that_starts_again_is_waited_for() -> None:
    port, answered = free_port(), []

    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name that http.server calls
            answered.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    def start_late() -> None:
        time.sleep(1)
        with HTTPServer(("127.0.0.1", port), Health) as server:
            server.handle_request()

    threading.Thread(target=start_late, daemon=True).start()
    assert Registry(f"http://127.0.0.1:{port}", patience_s=30).client
    assert answered == ["/health"]


def test_user_and_password_leave_the_uri_for_mlflows_own_variables() -> None:
    environment: dict[str, str] = {}
    uri = "https://ada:p%40ss@mlflow.example.org:8443/hospital"
    assert keys_apart(uri, environment) == "https://mlflow.example.org:8443/hospital"
    assert environment == {"MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": "p@ss"}
    assert registry_at("store", uri, environment).uri == "https://mlflow.example.org:8443/hospital"
    assert keys_apart("sqlite:////tmp/mlflow.db", {}) == "sqlite:////tmp/mlflow.db"


@pytest.mark.heavy
def test_tables_that_were_half_made_are_made_again(tmp_path: Path) -> None:
    """A process that is killed while it makes them would leave a file that can never be opened."""
    program = (
        "import os, signal, sys; from segline.tracking.mlflow_connection import Registry; import sqlalchemy\n"
        "made = []\n"
        "def kill(*_):\n"
        "    made.append(1)\n"
        "    if len(made) == 30: os.kill(os.getpid(), signal.SIGKILL)\n"
        "sqlalchemy.event.listen(sqlalchemy.engine.Engine, 'before_cursor_execute', kill)\n"
        "Registry(sys.argv[1]).client"
    )
    uri = local_uri(tmp_path)
    ended = subprocess.run([sys.executable, "-c", program, uri], capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert Registry(uri).client.search_registered_models() == []
