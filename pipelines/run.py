"""Run the pipeline on this machine: every component in a process of its own, or in a container."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines.interruption import Interruption
from segline.common.errors import SeglineError
from segline.common.processes import lean

RUNNERS = ("subprocess", "docker")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a task.

    Returns:
        0 succeeded or nothing new, 1 failed, 2 bad arguments, 3 blocked, 130 or 143 interrupted by Ctrl-C or
        SIGTERM.
    """
    options = _parser().parse_args(arguments)
    interruption = Interruption()
    with interruption.heeded():
        # torch and Kubeflow take seconds to load, in which Ctrl-C is heeded already
        from pipelines.local import run_here

        return run_here(options, interruption)


def fold_overrides(folds: int | None, ensemble: bool) -> list[str]:
    """Of a task's plan: those of its cross-validation, and of the ensemble of its models if asked.

    Raises:
        SeglineError: an ensemble is asked for, and no folds to take its networks from.
    """
    if ensemble and not folds:
        raise SeglineError("ensemble: its networks come from folds; give FOLDS=5 with ENSEMBLE=1")
    return [f"split.folds={folds}", f"ensemble.members={folds if ensemble else 1}"] if folds else []


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
    what.add_argument(
        "--folds",
        type=int,
        metavar="K",
        help="cross-validate: every case is tested once, in folds that count from 0",
    )
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
    sys.exit(lean.run(main))
