"""Which trackers a run is shown in, by its environment."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.cluster.names import TRACKER_SETTINGS, WANDB_KEY
from segline.tracking import asked
from segline.tracking.asked import tracker_folders, trackers_of
from segline.tracking.mlflow import MlflowTracker
from segline.tracking.mlflow_connection import Registry
from segline.tracking.tensorboard.tracker import TensorBoardTracker

KEY = {"WANDB_API_KEY": "k" * 40}
OFFLINE = {"WANDB_MODE": "offline"}


def test_nothing_is_asked_for_where_nothing_is_said(tmp_path: Path) -> None:
    assert trackers_of({}, tmp_path) == asked.Asked({}, ())
    assert trackers_of({"TENSORBOARD": "0", "WANDB_MODE": "disabled", **KEY}, tmp_path).trackers == {}


@pytest.mark.parametrize(
    ("told", "names"),
    [
        ({"TENSORBOARD": "1"}, {"TensorBoard"}),
        (KEY, {"Weights & Biases"}),
        (OFFLINE, {"Weights & Biases"}),
        ({"TENSORBOARD": "1", **KEY, "WANDB_PROJECT": "ward"}, {"TensorBoard", "Weights & Biases"}),
    ],
)
def test_each_is_asked_for_by_its_own_variables(
    told: dict[str, str], names: set[str], tmp_path: Path
) -> None:
    found = trackers_of(told, tmp_path, mlflow="http://127.0.0.1:5000")
    assert (set(found.trackers), found.refused) == ({"MLflow", *names}, ())
    assert found.trackers["MLflow"] == MlflowTracker(Registry("http://127.0.0.1:5000"))


def test_event_files_lie_beside_the_runs_or_where_the_variable_says(tmp_path: Path) -> None:
    for told, folder in (("1", tmp_path / "tensorboard"), (str(tmp_path / "mine"), tmp_path / "mine")):
        tracker = trackers_of({"TENSORBOARD": told}, tmp_path).trackers["TensorBoard"]
        assert tracker == TensorBoardTracker(folder)


def test_who_writes_where_is_known_before_anything_runs(tmp_path: Path) -> None:
    assert tracker_folders({}, tmp_path) == {}
    assert tracker_folders({"TENSORBOARD": "1", **OFFLINE}, tmp_path) == {
        "TENSORBOARD": tmp_path / "tensorboard",
        "WANDB_DIR": tmp_path / "wandb",
    }
    assert tracker_folders({**KEY, "WANDB_DIR": "/kept"}, tmp_path) == {"WANDB_DIR": Path("/kept")}


@pytest.mark.parametrize(
    "told", [{"WANDB_PROJECT": "ward"}, {"WANDB_ENTITY": "us"}, {"WANDB_MODE": "online"}]
)
def test_wandb_without_a_key_is_refused_in_one_line(told: dict[str, str], tmp_path: Path) -> None:
    found = trackers_of(told, tmp_path)
    line = "WANDB_API_KEY is not set; set it, or WANDB_MODE=offline"
    assert found.trackers == {}
    assert found.refused == (f"no curves in Weights & Biases, the training goes on: {line}",)


def test_a_package_that_is_missing_is_told_with_how_to_get_it() -> None:
    """In a process that cannot find them."""
    program = (
        "import importlib.util, sys; from pathlib import Path; found = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda n: None if n in ('wandb', 'tensorboard') else found(n)\n"
        "from segline.tracking.asked import trackers_of\n"
        "asked = trackers_of({'TENSORBOARD': '1', 'WANDB_MODE': 'offline'}, Path('.'))\n"
        "print(len(asked.trackers), *asked.refused, sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "0",
        "no curves in TensorBoard, the training goes on: tensorboard is not installed; "
        "pip install 'segline[tensorboard]'",
        "no curves in Weights & Biases, the training goes on: wandb is not installed; "
        "pip install 'segline[wandb]'",
    ]


def test_a_cluster_passes_on_the_variables_that_ask() -> None:
    assert asked.TENSORBOARD in TRACKER_SETTINGS
    assert asked.WANDB_KEY == WANDB_KEY
