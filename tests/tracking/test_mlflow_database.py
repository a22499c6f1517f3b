"""MLflow's database in a store: at every path, and whoever else has it open."""

import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event

from segline.tracking.mlflow_connection import Registry, registry_at
from segline.tracking.mlflow_database import Database
from segline.tracking.mlflow_settings import local_uri

from ..mlflow_runs import refusal

pytestmark = pytest.mark.heavy

ODD = (
    *("50%", "%41", "%2F", "a?b", "a#b", "a b", "a'b", 'a"b', "a;b", "a&b", "größe", "肝"),
    *("a\\b", "a\nb", "[a]"),
)


@contextmanager
def locked(path: Path, seconds: float) -> Iterator[None]:
    """Another connection holds the file alone, from now on."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN EXCLUSIVE")
    end = threading.Timer(seconds, connection.rollback)
    end.start()
    yield
    end.join()
    connection.close()


@pytest.mark.parametrize("name", ODD)
def test_the_file_is_in_the_folder_of_any_name(tmp_path: Path, name: str) -> None:
    database = Database.of(tmp_path / name)
    database.path.parent.mkdir(parents=True)
    assert database.path == tmp_path / name / "mlflow" / "mlflow.db"
    with create_engine(database.address).connect() as connection:
        connection.exec_driver_sql("CREATE TABLE t (x)")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [database.path]
    assert list(tmp_path.iterdir()) == [tmp_path / name]


def test_an_ordinary_path_is_the_address_as_it_stands(tmp_path: Path) -> None:
    assert Database.of(tmp_path).address == f"sqlite:///{tmp_path}/mlflow/mlflow.db"


def test_a_name_that_is_not_text_is_refused_where_the_registry_is_named(tmp_path: Path) -> None:
    store = Path(os.fsdecode(bytes(tmp_path) + b"/st\xffre"))
    line = refusal(lambda: registry_at(store, "", {}))
    assert line.endswith("not a name in UTF-8, as MLflow's addresses must be; choose another STORE")


def test_a_file_that_another_process_holds_is_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert Registry(local_uri(tmp_path / "made")).client.search_registered_models() == []
    shutil.copytree(tmp_path / "made", tmp_path / "new")  # which this process has not opened yet
    with locked(Database.of(tmp_path / "new").path, seconds=6):  # SQLite itself gives up after 5
        registry = Registry(local_uri(tmp_path / "new"), patience_s=60)
        assert registry.client.search_registered_models() == []
    assert "mlflow.db: SeglineError; trying again for" in caplog.text


@pytest.fixture
def hasty() -> Iterator[None]:
    """SQLite gives up at once, where MLflow lets it wait for 20 s."""

    def shorten(*given: Any) -> tuple[str, Any]:
        return given[2].replace("busy_timeout = 20000", "busy_timeout = 10"), given[3]

    event.listen(Engine, "before_cursor_execute", shorten, retval=True)
    yield
    event.remove(Engine, "before_cursor_execute", shorten)


@pytest.mark.usefixtures("hasty")
def test_a_lock_in_the_middle_of_the_work_is_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    registry, path = Registry(local_uri(tmp_path), patience_s=30), Database.of(tmp_path).path
    client = registry.client
    with locked(path, seconds=1):
        assert registry.patiently(lambda: client.create_experiment("late"))
    assert f"{path}: locked by another process; let it end, and try again; trying again for" in caplog.text


def test_a_lock_that_stays_is_told_in_one_line_when_the_patience_is_over(tmp_path: Path) -> None:
    path = Database.of(tmp_path).path
    path.parent.mkdir()
    with locked(path, seconds=2):
        started = time.monotonic()
        line = refusal(lambda: Registry(local_uri(tmp_path), patience_s=0.5).client)
        assert time.monotonic() - started < 2
    assert line == f"{path}: locked by another process; let it end, and try again"
