"""MLflow that cannot be reached is told in one line."""

import time
from pathlib import Path

from segline.tracking.mlflow_connection import Registry

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
