"""From a model that was judged to a version, and to the report."""

import shutil
from pathlib import Path

from segline.common.documents.names import BRIEF, REPORT
from segline.common.errors import UnavailableError
from segline.common.progress import ConsoleProgress
from segline.kinds import kind_of
from segline.runs.remote import open_whole_run
from segline.stages.frame import Location, inference_device, open_registry, stage
from segline.stages.tracked import end_tracked

_BLOCKED = "the gate blocked the model; it is not registered"


def register(run: Location, store: Location, tracking: str = "", device: str = "auto") -> str:
    """Track the run in MLflow and register its model, which becomes champion if it is better than that.

    Args:
        run: folder of the run.
        store: its SQLite file is the registry where ``tracking`` is empty; a folder, then.
        tracking: URI of an MLflow server.
        device: where the champion is evaluated on the run's test cases.

    Returns:
        The version, as in ``spleen/3``.

    Raises:
        SystemExit: the gate blocked the model, which is skipped; or it failed.
    """
    from segline.registry.succession import contend
    from segline.report.model_card import write_model_card
    from segline.stages.source_commit import source_commit

    blocked = False
    with stage(run, "register", open_whole_run) as (record, outcome):
        if blocked := bool(record.verdict and not record.verdict.passed):
            raise UnavailableError(_BLOCKED)
        by = kind_of(record.info.task.kind).yardstick
        write_model_card(record, by)
        registry = open_registry(store, tracking)
        commit = source_commit(Path(__file__).parent)
        used = inference_device(device)
        version = contend(record, registry, commit, used, ConsoleProgress("[register]"), by)
        outcome.text = f"{version.name} {version.decision}: {'; '.join(version.reasons)}"
        outcome.answer = version.name
    if blocked:  # of all that is skipped, what the run was for: who follows it must not read of a success
        raise SystemExit(f"segline register: {_BLOCKED}")
    return outcome.answer


def report(
    run: Location,
    page_out: Location | None = None,
    summary_out: Location | None = None,
    store: Location = "",
    tracking: str = "",
) -> None:
    """Write ``summary.json``, ``summary.md``, ``viewer.html`` and ``report.html`` from what the run came to.

    The second and the last also to ``summary_out`` and ``page_out``. Whatever tracks the run is told that it
    ended, and how: MLflow, which ``tracking`` and ``store`` name as for ``register``, where that did not.
    """
    from segline.report import write_report

    with stage(run, "report", open_whole_run) as (record, _):
        kind = kind_of(record.info.task.kind)
        write_report(record, kind.yardstick, kind.pictures, kind.viewer)
        for name, out in ((REPORT, page_out), (BRIEF, summary_out)):
            if out:
                shutil.copyfile(record.folder / name, out)
        end_tracked(record, run, store, tracking)
