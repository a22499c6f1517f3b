"""Retrain on a schedule: make, list, pause, resume and delete recurring runs."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipelines import submit
from pipelines.cluster.footprint import Demand
from pipelines.dag import retraining_pipeline
from pipelines.service import SCHEDULED, RecurringRun, Service
from segline.common.errors import SeglineError, plain_error
from segline.tasks import read_task

_FIELDS = 6


def main(arguments: Sequence[str] | None = None) -> int:
    """Do one thing with schedules; 0, or 2 after a one-line error."""
    options = _parser().parse_args(arguments)
    try:
        if options.action == "list":
            _list(submit.connect(options))
        elif options.action == "create":
            _create(options)
        else:
            # by the file that it was made from, too
            task = read_task(options.task).name if Path(options.task).is_file() else options.task
            _change(submit.connect(options), options.action, task)
    except (SeglineError, OSError) as error:
        sys.stderr.write(f"segline: {plain_error(error)}\n")
        return 2
    return 0


def require_cron(expression: str) -> str:
    """``expression``, if it may be one.

    Raises:
        SeglineError: it has not the six fields that Kubeflow Pipelines reads.
    """
    if expression.startswith("@") or len(expression.split()) == _FIELDS:
        return expression
    raise SeglineError(
        f"CRON={expression!r}: six fields are needed, seconds first: "
        "0 0 2 * * 0 is two in the morning on Sundays"
    )


def replace(service: Service, name: str, cron: str, demand: Demand, parameters: Mapping[str, str]) -> str:
    """Make a recurring run; those of the same name before it are removed once it is there."""
    before = [schedule for schedule in service.schedules() if schedule.name == name]
    version = submit.upload(service, retraining_pipeline.name, demand)
    experiment_id = service.experiment(name.removeprefix(SCHEDULED))
    made = service.schedule(name, cron, experiment_id, version, parameters)
    for schedule in before:
        service.delete(schedule.id)
    return made


def _create(options: argparse.Namespace) -> None:
    cron = require_cron(options.cron)
    asked = submit.Asked.of(options)
    service = submit.connect(options)
    submit.examined(options)
    made = replace(service, _name(asked.name), cron, submit.demanded(options), asked.parameters)
    sys.stdout.write(f"{_name(asked.name)} {cron}: {made}\n")


def _list(service: Service) -> None:
    for schedule in service.schedules():
        state = "enabled" if schedule.enabled else "paused"
        sys.stdout.write(f"{schedule.name:24} {state:8} {schedule.cron:20} {schedule.id}\n")


def _change(service: Service, action: str, task: str) -> None:
    for schedule in _of(service, task):
        {"pause": service.pause, "resume": service.resume, "delete": service.delete}[action](schedule.id)
        sys.stdout.write(f"{schedule.name}: {action}d\n")


def _of(service: Service, task: str) -> list[RecurringRun]:
    known = service.schedules()
    found = [schedule for schedule in known if schedule.name == _name(task)]
    if not found:
        names = ", ".join(sorted(schedule.name.removeprefix(SCHEDULED) for schedule in known))
        raise SeglineError(f"task {task!r}: no schedule; there are: {names or 'none'}")
    return found


def _name(task: str) -> str:
    return f"{SCHEDULED}{task}"


def _parser() -> argparse.ArgumentParser:
    parser = submit.parser("pipelines.schedule", __doc__)
    parser.add_argument(
        "action",
        nargs="?",
        default="create",
        choices=("create", "list", "pause", "resume", "delete"),
    )
    parser.add_argument("--cron", default="0 0 2 * * 0", help="six fields, seconds first (0 0 2 * * 0)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
