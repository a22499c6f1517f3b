"""A store is where it is: at any path, moved, or copied."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from segline.cli.main import main
from segline.registry.pulling import pull
from segline.registry.references import CHAMPION, Reference
from segline.registry.registering import register
from segline.registry.reigns import promote, rollback
from segline.registry.versions import versions
from segline.tracking.mlflow_connection import Registry
from segline.tracking.mlflow_settings import local_uri

from ..mlflow_runs import Runs

TASK = "placed"


@pytest.fixture(scope="module")
def crowned(
    tiny_model: object, phantoms: object, predictions: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A store with two champions, one after the other."""
    folder = tmp_path_factory.mktemp("crowned")
    runs = Runs(tiny_model, phantoms, predictions, folder / "runs")  # type: ignore[arg-type]
    registry = Registry(local_uri(folder / "store"))
    for name in ("one", "two"):
        promote(registry, register(runs.make(name, TASK), registry).reference, ["better"])
    return folder / "store"


def files(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def named(store: Path) -> str:
    """All that MLflow's database says."""
    return "\n".join(sqlite3.connect(store / "mlflow" / "mlflow.db").iterdump())


def test_a_store_with_every_odd_character_in_its_path_has_all_of_the_registry(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    top = tmp_path / "top"
    store = top / "50%41" / "why?x=1" / "no#1" / "a 'b' \"c\";d&e" / "größe 肝"
    store.mkdir(parents=True)
    monkeypatch.chdir(top)
    before = set(top.rglob("*"))
    register(runs.make("odd", TASK), Registry(local_uri(store)))
    assert main(["models", "--store", str(store)]) == 0
    assert f"{TASK}/1  challenger" in capsys.readouterr().out
    assert main(["pull", f"{TASK}/1", "--store", str(store), "-o", str(tmp_path / "model")]) == 0
    made = set(top.rglob("*")) - before
    assert [path for path in made if not path.is_relative_to(store / "mlflow")] == []
    assert len(list((store / "mlflow" / "artifacts").rglob("package.json"))) == 1


def test_a_moved_store_works_where_it_is(
    runs: Runs, crowned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = tmp_path / "old", tmp_path / "new place"
    shutil.copytree(crowned, old)
    assert len(versions(Registry(local_uri(old)))) == 2
    old.rename(new)
    registry = Registry(local_uri(new))
    assert main(["models", "--store", str(new)]) == 0
    assert f"{TASK}/2  champion" in capsys.readouterr().out
    pull(registry, Reference(TASK, alias=CHAMPION), tmp_path / "model")
    assert rollback(registry, TASK).number == 1
    third = register(runs.make("three", TASK), registry)
    pull(registry, third.reference, tmp_path / "third")
    assert len(list((new / "mlflow" / "artifacts").rglob("package.json"))) == 3
    assert not old.exists()
    assert str(old) not in named(new)


def test_a_copied_store_leaves_the_original_alone(runs: Runs, crowned: Path, tmp_path: Path) -> None:
    copy, before = tmp_path / "copy", files(crowned)
    shutil.copytree(crowned, copy)
    registry = Registry(local_uri(copy))
    third = register(runs.make("three", TASK), registry)
    rollback(registry, TASK)
    pull(registry, third.reference, tmp_path / "model")
    assert files(crowned) == before
    assert str(crowned) not in named(copy)


def test_another_name_of_the_same_folder_changes_nothing(crowned: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(crowned)
    before = files(crowned)
    assert len(versions(Registry(local_uri(tmp_path / "link")))) == 2
    assert files(crowned) == before
