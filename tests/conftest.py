"""Fixtures shared by all tests."""

import gc
import importlib
import logging
import multiprocessing
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
import yaml
from filelock import FileLock

from segline.common.processes.lean import LEAN
from segline.data.cases.building import preprocess
from segline.data.cases.index import CaseIndex
from segline.data.fingerprint import take_fingerprint
from segline.data.manifest import Manifest
from segline.data.phantom.scanner import write_phantom
from segline.data.verification import verify
from segline.export.int8 import quantize
from segline.export.onnx import export_onnx
from segline.model.history import History
from segline.model.package import Model
from segline.plan import Plan, Task, merged
from segline.planning.plans import make_plan
from segline.storage.depot import Depot
from segline.training.shipping.domain import domain_of
from segline.training.state import Checkpoint
from segline.training.trainer import Trainer

from .browser import chromium
from .command import begin_to_import
from .mlflow_server import mlflow_server as serve_mlflow
from .s3_server import S3Server
from .tiny_task import TINY, run_task

ROOT = Path(__file__).resolve().parent.parent

HEAVY = {"tiny_index", "tiny_training", "int8_model", "finished", "mlflow_server", "s3_server", "browser"}
"""Fixtures that take long to make, with all that is made of them."""
HEAVY_ROOMS = [ROOT / "tests" / room for room in ("docs", "kinds", "pipelines", "serving", "training")]

_ASKED_FOR_AT_EACH_REQUEST = ("IPython", "dbruntime", "pyspark")
"""By MLflow's client, which looks along the whole path for packages that are not there."""

TINY_PLAN = {
    "preprocessing": {"spacing_mm": [8, 8, 8], "intensity": [{"rule": "window", "window": [-57, 164]}]},
    "network": {"channels": [4, 8], "strides": [[2, 2, 2]]},
    "training": {"patch_size": [16, 16, 16], "batch_size": 2, "epochs": 100, "validations": 4},
    "export": {"int8_patches": 8, "bfloat16": True},
    "gate": {"nsd_tolerance_mm": 3.0},
    "split": {
        "train": ["phantom_000", "phantom_001", "phantom_002"],
        "val": ["phantom_003"],
        "test": ["phantom_004", "phantom_005"],
    },
}
"""The part of a task's YAML that makes six phantom cases train in seconds."""


def small_plan(channels: int = 1, labels: int = 2, **parts: Any) -> Plan:
    """A valid plan of no data set, on a grid of 1 mm; ``parts`` are merged into it."""
    window = {"rule": "window", "window": [0, 1]}
    values = {
        "task": "small",
        "dataset_digest": "0" * 64,
        "channels": [f"channel{number}" for number in range(channels)],
        "labels": {number: f"label{number}" for number in range(labels)},
        "preprocessing": {
            "spacing_mm": [1, 1, 1],
            "intensity": [window] * channels,
            "foreground_above": None,
        },
        "network": {"channels": [4, 8], "strides": [[2, 2, 2]]},
        "training": {"patch_size": [16, 16, 16], "batch_size": 2, "epochs": 10},
        "inference": {"smallest_window": [16, 16, 16], "largest_window": [16, 16, 16], "overlap": [4, 4, 4]},
        "gate": {"nsd_tolerance_mm": 1},
        "split": {"train": ["a"], "val": ["b"], "test": ["c"]},
    }
    return Plan.parse(merged(values, parts), "plan")


@dataclass(frozen=True)
class TinyTraining:
    """A finished training, and the model package that came of it, exported."""

    history: History
    model: Model


def pytest_configure() -> None:
    """Import MONAI as segline's own processes do, without what is never called but by its own components.

    Garbage is looked for once all is imported.
    """
    gc.disable()
    importlib.import_module("skimage.measure")
    with mock.patch.dict(os.environ, {LEAN: "1"}):
        importlib.import_module("segline.networks.lean_monai")
    sys.modules.update(dict.fromkeys(_ASKED_FOR_AT_EACH_REQUEST))  # type: ignore[arg-type]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A module of another room that takes long by itself says ``pytestmark = pytest.mark.heavy``.

    Modules that take long come first, so that all workers end at about the same time.
    """
    for item in items:
        in_heavy_room = any(item.path.is_relative_to(room) for room in HEAVY_ROOMS)
        if in_heavy_room or HEAVY & {*getattr(item, "fixturenames", ())}:
            item.add_marker("heavy")
    heavy = {item.path for item in items if item.get_closest_marker("heavy")}
    items.sort(key=lambda item: item.path not in heavy)


def pytest_collection_finish() -> None:
    """What was imported stays: nobody looks through it any more for what is not needed."""
    gc.freeze()
    gc.enable()


def pytest_sessionfinish() -> None:
    """End what a test that failed has left: Python would wait for it."""
    for process in multiprocessing.active_children():
        process.kill()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of small real volumes: ``$SEGLINE_DATA`` or ``../shared/data`` beside the checkout."""
    folder = Path(os.environ.get("SEGLINE_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real volumes are not at {folder}; set SEGLINE_DATA")
    return folder


@pytest.fixture(scope="session", autouse=True)
def processes(request: pytest.FixtureRequest) -> None:
    """Tiny networks are slower on many threads than on one, here and in every process that a test starts.

    Forks come from one process that imports what most need, before anyone asks it for less.
    """
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    if any(item.get_closest_marker("heavy") for item in request.session.items):
        begin_to_import()


@pytest.fixture(autouse=True)
def every_level_is_heard(caplog: pytest.LogCaptureFixture) -> None:
    """NNCF sets the level of every handler that it finds, pytest's among them, for the whole process."""
    caplog.handler.setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of an MLflow server for all tests."""
    with serve_mlflow(tmp_path_factory.mktemp("mlflow")) as uri:
        yield uri


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 server for all tests; who kills it takes one of his own."""
    with S3Server(tmp_path_factory.mktemp("buckets")) as server:
        yield server


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium for all tests; each opens a page of its own."""
    with chromium() as running:
        yield running


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Six phantom cases, verified; each is stored in another orientation."""
    folder = tmp_path_factory.mktemp("phantoms") / "Phantom"
    write_phantom(folder, cases=6)
    return verify(folder)


@pytest.fixture(scope="session")
def tiny_plan(phantoms: Manifest) -> Plan:
    """A plan for ``phantoms`` on a grid of 8 mm, with a network of two levels."""
    return make_plan(phantoms, take_fingerprint(phantoms), Task(name="tiny", source="none", plan=TINY_PLAN))


@pytest.fixture(scope="session")
def tiny_index(phantoms: Manifest, tiny_plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> CaseIndex:
    """The cases of ``phantoms``, preprocessed under ``tiny_plan``."""
    depot = Depot.here(tmp_path_factory.mktemp("depot"))
    done = dict(preprocess(phantoms, tiny_plan, depot, workers=1))
    return CaseIndex.of(phantoms, tiny_plan, depot, sum(done.values()))


@pytest.fixture(scope="session")
def tiny_training(
    tiny_plan: Plan, tiny_index: CaseIndex, tmp_path_factory: pytest.TempPathFactory
) -> TinyTraining:
    """A training under ``tiny_plan``; treat its package as read-only."""

    def train_in(folder: Path) -> None:
        train, val = tiny_index.open(tiny_plan.split.train), tiny_index.open(tiny_plan.split.val)
        trainer = Trainer(tiny_plan, train, val, Checkpoint(folder / "checkpoint.pt", "tiny"))
        history, domain = trainer.run(), domain_of(tiny_plan, train, val)
        model = Model.write(folder / "model", tiny_plan, trainer.best_weights, history, domain)
        export_onnx(model, val)

    model = Model.open(_made_once(tmp_path_factory, "tiny", train_in) / "model")
    return TinyTraining(History.read(model.history), model)


@pytest.fixture(scope="session")
def tiny_model(tiny_training: TinyTraining) -> Model:
    """The exported package of ``tiny_training``, read-only."""
    return tiny_training.model


@pytest.fixture(scope="session")
def int8_model(tiny_model: Model, tiny_index: CaseIndex, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """``tiny_model`` with an int8 graph, read-only."""

    def quantize_in(folder: Path) -> None:
        model = tiny_model.copied_to(folder / "model")
        quantize(model, tiny_index.open(model.plan.split.train))

    return Model.open(_made_once(tmp_path_factory, "int8", quantize_in) / "model")


@pytest.fixture(scope="session")
def tiny_task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The YAML of the tiny task."""
    path = tmp_path_factory.mktemp("task") / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY))
    return path


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_task: Path) -> Path:
    """A folder in which the tiny task has been run once: ``runs`` and ``store``."""

    def run_in(folder: Path) -> None:
        done = run_task(folder, tiny_task)
        assert done.returncode == 0, done.stdout + done.stderr

    return _made_once(tmp_path_factory, "finished", run_in)


def _made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A new folder that is filled by ``make``: one worker does, and each has a copy of its own."""
    own = factory.mktemp(name)
    if "PYTEST_XDIST_WORKER" not in os.environ:
        make(own)
        return own
    first = factory.getbasetemp().parent / name
    ended = first.with_suffix(".ended")
    with FileLock(first.with_suffix(".lock")):
        if not ended.exists():
            first.mkdir(exist_ok=True)
            make(first)
            ended.touch()
    return shutil.copytree(first, own, symlinks=True, dirs_exist_ok=True)
