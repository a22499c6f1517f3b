"""Run the pipeline on this machine: every component in a process of its own, or in a container."""

import argparse
import contextlib
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from kfp import local

from pipelines.console import StageLines
from pipelines.cross_validation import ensemble_pipeline, folds_pipeline
from pipelines.dag import retraining_pipeline, segline_pipeline
from segline import stages
from segline.common.errors import SeglineError, plain_error
from segline.runs.names import LOG, REPORT, STAGES, SUMMARY
from segline.runs.run import Run
from segline.runs.summary import Summary
from segline.storage.access import is_uri
from segline.tasks import read_task
from segline.tracking.mlflow_connection import keys_apart, registry_at

OpenRunner = Callable[[Path], contextlib.AbstractContextManager[local.SubprocessRunner | local.DockerRunner]]
"""Gives Kubeflow's runner for a run in this folder."""
INTERRUPTED = 130
EXIT_STATUS = {"succeeded": 0, "unchanged": 0, "failed": 1, "blocked": 3}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a task; 0 succeeded or nothing new, 1 failed, 2 bad arguments, 3 blocked, 130 interrupted."""
    options = _parser().parse_args(arguments)
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
        require_registry(pipeline, inputs)
        open_runner = RUNNERS[options.runner](inputs, task.source)
        folder = new_run_folder(options.runs, task.name)
        stages.start_run(folder, task)
        point_latest(folder)
    except (SeglineError, OSError) as error:
        sys.stderr.write(f"segline: {plain_error(error)}\n")
        return 2
    try:
        run_pipeline(pipeline, Run(folder), open_runner, inputs)
    except KeyboardInterrupt:
        sys.stderr.write("segline: interrupted; the same command goes on from what is in the store\n")
        return INTERRUPTED
    return announce(folder)


def fold_overrides(folds: int | None, ensemble: bool) -> list[str]:
    """Of a task's plan: those of its cross-validation, and of the ensemble of its models if asked.

    Raises:
        SeglineError: an ensemble is asked for, and no folds to take its networks from.
    """
    if ensemble and not folds:
        raise SeglineError("ensemble: its networks come from folds; give FOLDS=5 with ENSEMBLE=1")
    return [f"split.folds={folds}", f"ensemble.members={folds if ensemble else 1}"] if folds else []


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


def run_pipeline(pipeline: Any, run: Run, open_runner: OpenRunner, inputs: Mapping[str, str]) -> None:
    """Run a DAG; what became of it stands in the run's folder, and all its output in ``run.log``."""
    artifacts = run.folder / "artifacts"
    artifacts.mkdir()
    lines = StageLines(run.folder / LOG, sys.stdout)
    with contextlib.closing(lines), contextlib.redirect_stdout(lines), warnings.catch_warnings():
        # the runner doubts every image whose name does not contain "python"
        warnings.filterwarnings("ignore", message="You may be attemping to run a task")
        with open_runner(run.folder) as runner:
            local.init(runner=runner, pipeline_root=str(artifacts), raise_on_error=False)
            asked = {name: value for name, value in inputs.items() if name in _inputs_of(pipeline)}
            pipeline(run=str(run.folder), **asked)


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
    return lambda _folder: contextlib.nullcontext(local.SubprocessRunner(use_venv=False))


def in_containers(inputs: Mapping[str, str], source: str) -> OpenRunner:
    """Every component in a container of its image; ``source`` is where the volumes come from.

    Raises:
        SeglineError: there is no Docker engine, or it lacks an image.
    """
    from pipelines.docker import Containers, Engine, Mounts

    engine = Engine.connect(inputs["device"])

    def open_runner(folder: Path) -> contextlib.AbstractContextManager[local.DockerRunner]:
        view = Mounts.of(folder, inputs["store"], source, os.environ)
        return Containers(engine, view).runner()

    return open_runner


RUNNERS = {"subprocess": in_processes, "docker": in_containers}


def local_source(source: str) -> str:
    """Folders and archives by their absolute path: stages run elsewhere."""
    path = Path(source).expanduser()
    return str(path.resolve()) if path.exists() else source


def announce(folder: Path) -> int:
    """Print the outcome; the exit status that belongs to it."""
    path = folder / SUMMARY
    if not path.is_file():
        sys.stderr.write(f"segline: the run ended without a summary; see {folder / STAGES}\n")
        return EXIT_STATUS["failed"]
    summary = Summary.model_validate_json(path.read_text(encoding="utf-8"))
    for stage in summary.stages:
        sys.stdout.write(f"{stage.name:22} {stage.status:10} {stage.seconds:8.1f} s  {stage.reason}\n")
    sys.stdout.write(f"\n{summary.status} in {summary.seconds / 60:.1f} min: {folder / REPORT}\n")
    for reason in summary.reasons:
        sys.stderr.write(f"segline: {reason}\n")
    return EXIT_STATUS[summary.status]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipelines.run", description=__doc__)
    parser.add_argument("--task", default="phantom", help="name below segline/tasks, or a YAML's path")
    parser.add_argument("--data", help="where the volumes come from, instead of the task's source")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of runs (runs)")
    parser.add_argument(
        "--store",
        default="store",
        help="data sets, cases, checkpoints; a folder or s3://bucket/prefix (store)",
    )
    parser.add_argument(
        "--runner", choices=RUNNERS, default="subprocess", help="docker: stages in containers"
    )
    parser.add_argument("--device", default="auto", help="cpu, cuda or auto (default)")
    parser.add_argument("--tracking", default="", help="URI of an MLflow server (a SQLite file in the store)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--retrain", action="store_true", help="only if there are new cases since the champion")
    what.add_argument("--folds", type=int, metavar="K", help="cross-validate: every case is tested once")
    parser.add_argument(
        "--ensemble", action="store_true", help="with --folds: their models as one, judged on other cases"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override the plan: training.epochs=50",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
