"""A run on this machine: its folder, the runner of its stages, and what is told of it in the end."""

import argparse
import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from kfp import local

from pipelines.console import StageLines
from pipelines.cross_validation import ensemble_pipeline, folds_pipeline
from pipelines.dag import retraining_pipeline, segline_pipeline
from pipelines.interruption import Interruption
from pipelines.processes import Processes
from pipelines.run import fold_overrides
from segline import stages
from segline.common.documents.names import LOG, REPORT, STAGES, SUMMARY
from segline.common.errors import SeglineError, plain_error
from segline.plan import Task
from segline.runs.left_out import left_out, left_out_in_words
from segline.runs.run import Run
from segline.runs.summary import Summary
from segline.storage.access import is_uri
from segline.tasks import read_task
from segline.tracking.mlflow_connection import registry_at
from segline.tracking.mlflow_settings import keys_apart

Runner = contextlib.AbstractContextManager[local.SubprocessRunner | local.DockerRunner]
OpenRunner = Callable[[Path, Interruption], Runner]
"""Gives Kubeflow's runner for a run in this folder."""
EXIT_STATUS = {"succeeded": 0, "unchanged": 0, "failed": 1, "blocked": 3}


def run_here(options: argparse.Namespace, interruption: Interruption) -> int:
    """Run a task; the exit status of :func:`pipelines.run.main`."""
    try:
        overrides = [*options.set, *fold_overrides(options.folds, options.ensemble)]
        task, pipeline = read_task(options.task, overrides, options.data or ""), segline_pipeline
        task = task.model_copy(update={"source": local_source(task.source)})
        if options.retrain:
            pipeline = retraining_pipeline
        if options.folds or options.ensemble:
            pipeline = ensemble_pipeline if options.ensemble else folds_pipeline
        inputs = {
            "store": options.store if is_uri(options.store) else str(Path(options.store).resolve()),
            "device": options.device,
            "tracking": keys_apart(options.tracking, os.environ),
        }
        require_fold(task)
        require_registry(pipeline, inputs)
        open_runner = RUNNERS[options.runner](inputs, task.source)
        folder = new_run_folder(options.runs, task.name)
        stages.start_run(folder, task)
        point_latest(folder)
    except (SeglineError, OSError) as error:
        sys.stderr.write(f"segline: {plain_error(error)}\n")
        return 2
    try:
        run_pipeline(pipeline, Run(folder), open_runner, inputs, interruption)
    except KeyboardInterrupt:
        pass  # the second; the first ends no more than stages
    except OSError as error:  # not even that a stage failed could be written
        if not isinstance(readable := plain_error(error), SeglineError):
            raise
        sys.stderr.write(f"segline: {readable}\n")
        return EXIT_STATUS["failed"]
    if interruption.status:
        announce_interrupted(folder)
        return interruption.status
    return announce(folder)


def require_fold(task: Task) -> None:
    """Find out before the download that a task asks for a fold which does not exist.

    Raises:
        SeglineError: it does.
    """
    split = task.plan.get("split")
    folds, fold = (split.get("folds"), split.get("fold")) if isinstance(split, dict) else (None, None)
    if isinstance(folds, int) and isinstance(fold, int) and folds > 1 and not 0 <= fold < folds:
        raise SeglineError(
            f"split.fold: fold {fold} of {folds} does not exist; folds count from 0, the last is {folds - 1}"
        )


def new_run_folder(runs: Path, task: str) -> Path:
    """A folder that did not exist: task, date and time, and a number if two runs start in one second."""
    stem = f"{task}-{datetime.now():%Y%m%d-%H%M%S}"
    names = [stem, *(f"{stem}-{number}" for number in range(2, 100))]
    folder = next(runs.resolve() / name for name in names if not (runs / name).exists())
    folder.mkdir(parents=True)
    return folder


def point_latest(folder: Path) -> None:
    """Let ``latest`` beside ``folder`` point at it."""
    scratch = folder.parent / f".latest-{os.getpid()}"
    scratch.symlink_to(folder.name)
    scratch.replace(folder.parent / "latest")


def run_pipeline(
    pipeline: Any, run: Run, open_runner: OpenRunner, inputs: Mapping[str, str], interruption: Interruption
) -> None:
    """Run a DAG; what became of it stands in the run's folder, and all its output in ``run.log``.

    Raises:
        KeyboardInterrupt: a second signal came, which the report did not outlive.
    """
    interruption.begun = True
    artifacts = run.folder / "artifacts"
    artifacts.mkdir()
    lines = StageLines(run.folder / LOG, sys.stdout)
    with (
        contextlib.closing(lines),
        contextlib.redirect_stdout(lines),
        logged_to(lines),
        warnings.catch_warnings(),
    ):
        # the runner doubts every image whose name does not contain "python"
        warnings.filterwarnings("ignore", message="You may be attemping to run a task")
        with open_runner(run.folder, interruption) as runner:
            local.init(runner=runner, pipeline_root=str(artifacts), raise_on_error=False)
            asked = {name: value for name, value in inputs.items() if name in _inputs_of(pipeline)}
            pipeline(run=str(run.folder), **asked)


@contextlib.contextmanager
def logged_to(stream: StageLines) -> Iterator[None]:
    """Let no message reach the terminal for want of a handler.

    Stages that run beside each other take away one another's; Python then logs to the terminal.
    """
    root, handler = logging.getLogger(), logging.StreamHandler(stream)
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


def require_registry(pipeline: Any, inputs: Mapping[str, str]) -> None:
    """Find out before the training that its model could not be registered.

    Raises:
        SeglineError: the store is a bucket, which has no registry of its own, and no server is named.
    """
    if "tracking" in _inputs_of(pipeline):
        registry_at(inputs["store"], inputs["tracking"], os.environ)


def _inputs_of(pipeline: Any) -> Mapping[str, Any]:
    inputs: Mapping[str, Any] = pipeline.component_spec.inputs
    return inputs


def in_processes(_inputs: Mapping[str, str], _source: str) -> OpenRunner:
    """Every component in a process of its own."""
    return lambda _folder, interruption: Processes(interruption).runner()


def in_containers(inputs: Mapping[str, str], source: str) -> OpenRunner:
    """Every component in a container of its image; ``source`` is where the volumes come from.

    Raises:
        SeglineError: there is no Docker engine, or it lacks an image.
    """
    from pipelines.docker import Containers, Engine, Mounts

    engine = Engine.connect(inputs["device"])

    def open_runner(folder: Path, interruption: Interruption) -> Runner:
        view = Mounts.of(folder, inputs["store"], source, os.environ)
        return Containers(engine, view, interruption).runner()

    return open_runner


RUNNERS = {"subprocess": in_processes, "docker": in_containers}


def local_source(source: str) -> str:
    """Folders and archives by their absolute path: stages run elsewhere."""
    path = Path(source).expanduser()
    return str(path.resolve()) if path.exists() else source


def announce_interrupted(folder: Path) -> None:
    """Print where the report of an interrupted run is; nothing if it was left out."""
    if (folder / SUMMARY).is_file():
        sys.stdout.write(f"\ninterrupted: {folder / REPORT}\n")


def announce(folder: Path) -> int:
    """Print the outcome; the exit status that belongs to it."""
    path = folder / SUMMARY
    if not path.is_file():
        sys.stderr.write(f"segline: the run ended without a summary; see {folder / STAGES}\n")
        return EXIT_STATUS["failed"]
    summary = Summary.model_validate_json(path.read_text(encoding="utf-8"))
    unrun = left_out(summary.stages)
    for stage in summary.stages:
        if stage not in unrun:
            sys.stdout.write(f"{stage.name:22} {stage.status:10} {stage.seconds:8.1f} s  {stage.reason}\n")
    if any(", fold " in stage.name for stage in summary.stages):
        sys.stdout.write("Folds count from 0.\n")
    if unrun:
        sys.stdout.write(f"{left_out_in_words(unrun)}\n")
    sys.stdout.write(f"\n{summary.status} in {summary.seconds / 60:.1f} min: {folder / REPORT}\n")
    for reason in summary.reasons:
        sys.stderr.write(f"segline: {reason}\n")
    return EXIT_STATUS[summary.status]
