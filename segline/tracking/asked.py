"""Which trackers a run is shown in, as its environment asks; for entry points."""

import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from segline.tracking import Tracker, open_tracker

TENSORBOARD = "TENSORBOARD"
"""``1`` for the folder ``tensorboard`` beside the runs, or a folder."""
WANDB_KEY, WANDB_FOLDER = "WANDB_API_KEY", "WANDB_DIR"
_OFF = ("", "0")
_OFFLINE = ("offline", "dryrun")


@dataclass(frozen=True)
class Asked:
    """What a run is shown in."""

    trackers: Mapping[str, Tracker]
    """By their names for people."""
    refused: tuple[str, ...]
    """Why others that were asked for are not among them, a line each."""


def trackers_of(environment: Mapping[str, str], folder: Path, mlflow: str = "") -> Asked:
    """The trackers that are asked for and can be used; none is reached before it has something to keep.

    Args:
        environment: ``TENSORBOARD``, and W&B's own variables: a key, or ``WANDB_MODE=offline``.
        folder: beside the runs, where trackers keep what they write here.
        mlflow: the tracking URI, where one is named.
    """
    wanted = list(_wanted(environment, folder, mlflow))
    trackers = {each.title: open_tracker(each.name, each.location) for each in wanted if not each.lacks}
    refused = tuple(
        f"no curves in {each.title}, the training goes on: {each.lacks}" for each in wanted if each.lacks
    )
    return Asked(trackers, refused)


def tensorboard_folder(environment: Mapping[str, str], folder: Path) -> Path | None:
    """Where event files go, if they are asked for; ``folder`` is beside the runs."""
    told = environment.get(TENSORBOARD, "")
    if told in _OFF:
        return None
    return folder / "tensorboard" if told == "1" else Path(told).expanduser().absolute()


def tracker_folders(environment: Mapping[str, str], folder: Path) -> dict[str, Path]:
    """Of each tracker that is asked for and writes here, by the variable that can name another."""
    folders = {TENSORBOARD: tensorboard_folder(environment, folder)}
    if _wants_wandb(environment):
        folders[WANDB_FOLDER] = Path(environment.get(WANDB_FOLDER) or folder / "wandb").absolute()
    return {name: chosen for name, chosen in folders.items() if chosen}


def _wants_wandb(environment: Mapping[str, str]) -> bool:
    """Whether it is asked for, possible or not: by a key, a mode, or a project that is named."""
    mode = environment.get("WANDB_MODE", "")
    named = any(environment.get(name) for name in (WANDB_KEY, "WANDB_PROJECT", "WANDB_ENTITY"))
    return mode != "disabled" and (mode in ("online", *_OFFLINE) or named)


@dataclass(frozen=True)
class _Wanted:
    title: str
    name: str
    location: str
    lacks: str = ""
    """What it cannot be used for want of."""


def _wanted(environment: Mapping[str, str], folder: Path, mlflow: str) -> Iterator[_Wanted]:
    if mlflow:
        yield _Wanted("MLflow", "mlflow", mlflow)
    if board := tensorboard_folder(environment, folder):
        yield _Wanted("TensorBoard", "tensorboard", str(board), _not_installed("tensorboard"))
    if _wants_wandb(environment):
        lacks = _no_key(environment) or _not_installed("wandb")
        yield _Wanted("Weights & Biases", "wandb", str(folder), lacks)


def _no_key(environment: Mapping[str, str]) -> str:
    needed = environment.get("WANDB_MODE", "") not in _OFFLINE and not environment.get(WANDB_KEY)
    return f"{WANDB_KEY} is not set; set it, or WANDB_MODE=offline" if needed else ""


def _not_installed(package: str) -> str:
    found = importlib.util.find_spec(package)
    return "" if found else f"{package} is not installed; pip install 'segline[{package}]'"
