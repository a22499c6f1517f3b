"""A cross-validation: its folds, their cases together, and their networks as one."""

from collections.abc import Sequence
from pathlib import Path

from segline.acceptance.comparison import Comparison
from segline.acceptance.members import compare_members as compare_with_members
from segline.acceptance.times import Benchmark
from segline.backends import REFERENCE
from segline.common.documents.names import (
    COMPARISON,
    CROSS_VALIDATION,
    FOLDS,
    MODEL,
    PLAN,
    POOLED,
    SUMMARY,
    predictions_of,
)
from segline.common.errors import SeglineError
from segline.common.progress import ConsoleProgress
from segline.common.wording import counted
from segline.evaluation.figures import figures_among
from segline.evaluation.folds import pool as pool_folds
from segline.kinds import kind_of
from segline.model.package import Model
from segline.plan import Plan
from segline.planning.folds import fold_tasks, resplit
from segline.runs.remote import open_whole_run
from segline.runs.summary import summarise_run
from segline.stages.data import start_run
from segline.stages.frame import (
    Location,
    LogClasses,
    LogMetric,
    as_paths,
    fold_plans,
    inference_device,
    manifest_here,
    stage,
    tell_classes,
    tell_figures,
    tracker_at,
)
from segline.stages.judging import describe_evaluation


def split_folds(run: Location) -> list[str]:
    """A run within the run for each fold that its task asks for; gives where they are."""
    folds: list[str] = []
    with stage(run, "split_folds") as (record, outcome):
        for number, task in enumerate(fold_tasks(record.info.task)):
            folds.append(f"{str(run).rstrip('/')}/{FOLDS}/{number}")
            start_run(folds[-1], task)
        outcome.text = counted(len(folds), "fold")
    return folds


def take_fold(run: Location, plan_in: Location, plan_out: Location) -> None:
    """The plan of one fold, whose run this is: that of the data set with the split of its task."""
    with stage(run, "take_fold") as (record, outcome):
        plan = resplit(Plan.read(Path(plan_in)), record.info.task)
        plan.write(Path(plan_out))
        record.publish(plan_out, PLAN)
        outcome.text = f"{counted(len(plan.split.test), 'case')} to test, {len(plan.split.train)} to train"


def pool(
    run: Location,
    plan_in: Location,
    evaluations_in: Sequence[Location],
    evaluation_out: Location,
    log_metric: LogMetric | None = None,
    log_classes: LogClasses | None = None,
) -> None:
    """Every case of the folds, tested once: their evaluations in one."""
    with stage(run, "pool") as (record, outcome):
        plan, folder = Plan.read(Path(plan_in)), Path(evaluation_out)
        pooled, folds = pool_folds(as_paths(evaluations_in), plan, fold_plans(record, plan), folder)
        folds.write(folder / CROSS_VALIDATION)
        record.publish(folder / CROSS_VALIDATION, CROSS_VALIDATION)
        # beside the predictions of an ensemble, of which its run is
        record.publish(folder, POOLED if plan.ensemble.members > 1 else predictions_of(pooled.backend))
        tell_figures(folds.scalars, log_metric)
        tell_classes(pooled, log_classes)
        outcome.text = f"{len(folds.folds)} folds, {describe_evaluation(pooled)}"


def assemble(run: Location, plan_in: Location, members_in: Sequence[Location], model_out: Location) -> None:
    """The folds' networks as one model, whose class scores are the mean of theirs."""
    with stage(run, "assemble") as (record, outcome):
        plan = Plan.read(Path(plan_in))
        members = [Model.open(folder) for folder in as_paths(members_in)]
        from segline.training.shipping.assembly import assemble as assemble_model

        model = assemble_model(members, plan, fold_plans(record, plan), Path(model_out))
        if model.plan != plan:
            record.publish(model.folder / PLAN, PLAN)
        record.publish(model_out, MODEL)
        outcome.text = f"{len(members)} networks, {model.weights.stat().st_size / 2**20:.1f} MiB of weights"


def compare_members(
    run: Location,
    members_in: Sequence[Location],
    manifest_in: Location,
    comparison_out: Location,
    device: str = "auto",
    log_metric: LogMetric | None = None,
) -> None:
    """Hold a run's ensemble against each of its members, on its test cases, and time the first of them."""
    with stage(run, "compare_members", open_whole_run) as (record, outcome):
        contents = record.contents
        evaluation = contents.reference
        if (
            contents.model is None
            or contents.plan is None
            or evaluation is None
            or contents.benchmark is None
        ):
            raise SeglineError(f"{run}: the ensemble is not evaluated and timed yet; run benchmark first")
        members = [Model.open(folder) for folder in as_paths(members_in)]
        from segline.training.shipping.assembly import members_in_order

        ordered = members_in_order(members, fold_plans(record, contents.plan), "compare_members")
        manifest = manifest_here(manifest_in, contents.plan.split.test)
        used, progress = inference_device(device), ConsoleProgress("[compare_members]")
        by = kind_of(contents.plan.kind).yardstick
        comparison = compare_with_members(
            contents.model, evaluation, contents.benchmark, ordered, manifest, used, progress, by
        )
        comparison.write(Path(comparison_out))
        record.publish(comparison_out, COMPARISON)
        tell_figures(comparison.scalars, log_metric)
        outcome.text = _describe_comparison(comparison, contents.benchmark)


def track_folds(run: Location, store: Location, tracking: str = "") -> None:
    """Track a cross-validation in MLflow: a run, and in it a run for each fold. No version is registered."""
    from segline.stages.source_commit import source_commit
    from segline.tracking.facts import facts_with_folds

    with stage(run, "track_folds", open_whole_run) as (record, outcome):
        tracker = tracker_at(store, tracking)
        summarise_run(record, ongoing="track_folds").write(record.folder / SUMMARY)
        tracked = tracker.record(facts_with_folds(record, source_commit(Path(__file__).parent)))
        outcome.text = f"run {tracked.run_id} of MLflow, with {len(record.folds)} folds"


def _describe_comparison(comparison: Comparison, timed: Benchmark) -> str:
    deciding = figures_among(comparison.ensemble.overall)[0]
    means = ", ".join(f"{member.overall[deciding.name].mean:.4f}" for member in comparison.members)
    slower, mean = comparison.slowdowns(timed).get(REFERENCE), comparison.ensemble.overall[deciding.name].mean
    return f"mean {deciding.title} {mean:.4f}, of its members {means}" + (
        f"; {slower:.1f} times the time of one" if slower else ""
    )
