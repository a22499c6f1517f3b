"""Finished runs of the tiny model, and what keeps them: MLflow in a SQLite file, and behind a real server."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from segline.acceptance.gate import judge
from segline.backends import open_backend
from segline.common.documents.names import EVALUATION
from segline.common.errors import SeglineError
from segline.data.manifest import Manifest
from segline.evaluation.masks.yardstick import MASKS
from segline.evaluation.scoring import evaluate
from segline.model.package import Model
from segline.plan import Gate, Task
from segline.runs.records import RunInfo
from segline.runs.run import Run
from segline.tracking.facts import facts_of
from segline.tracking.mlflow import MlflowRun, MlflowTracker
from segline.tracking.mlflow_connection import Registry
from segline.tracking.mlflow_settings import local_uri, quiet_mlflow

BACKENDS = ("pytorch", "onnxruntime")


NAME = "Report of phantom_004"


@pytest.fixture(scope="module", autouse=True)
def quiet() -> None:
    pytest.importorskip("mlflow", reason="mlflow is not installed; pip install 'segline[registry]'")
    quiet_mlflow(os.environ)


@pytest.fixture(scope="module")
def server(mlflow_server: str) -> str:
    """The URI of an MLflow server."""
    return mlflow_server


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URI of the registry that a store has by default."""
    return local_uri(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def registry(file: str) -> Registry:
    return Registry(file)


@pytest.fixture(scope="module", params=["file", "server"])
def either(request: pytest.FixtureRequest) -> Registry:
    """What both must do alike."""
    return Registry(request.getfixturevalue(request.param))


@dataclass(frozen=True)
class Runs:
    """Makes runs of the tiny model, each of a task of its own unless named."""

    model: Model
    manifest: Manifest
    predictions: Path
    folder: Path

    def make(self, name: str, task: str = "tiny", **requirements: Any) -> Run:
        asked = Task(name=task, source="none")
        info = RunInfo(
            id=name, task=asked, started=datetime.now(UTC), versions={"torch": "2"}, machine="here"
        )
        run = Run.start(self.folder / name, info)
        self.manifest.write(run.folder / "manifest.json")
        self.model.plan.write(run.folder / "plan.json")
        run.publish(self.model.folder, "model")
        run.publish(self.predictions, "predictions")
        gate = Gate(nsd_tolerance_mm=3.0, required=BACKENDS, **requirements)
        verdict = judge([self.predictions / backend for backend in BACKENDS], gate, MASKS)
        verdict.write(run.folder / "gate.json")
        (run.folder / "report.html").write_text(NAME)
        return run


@pytest.fixture(scope="module")
def predictions(tiny_model: Model, phantoms: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("predictions")
    for backend in BACKENDS:
        opened = open_backend(backend, tiny_model, "cpu")
        evaluate(tiny_model, opened, phantoms, folder / backend).write(folder / backend / EVALUATION)
    return folder


@pytest.fixture
def runs(tiny_model: Model, phantoms: Manifest, predictions: Path, tmp_path: Path) -> Runs:
    return Runs(tiny_model, phantoms, predictions, tmp_path / "runs")


def refusal(action: Callable[[], object]) -> str:
    with pytest.raises(SeglineError) as caught:
        action()
    return str(caught.value)


def track(run: Run, registry: Registry, commit: str = "") -> MlflowRun:
    return MlflowTracker(registry).record(facts_of(run, commit))
