"""The stages, as a container runs them: paths in, paths out, the outcome recorded in the run's folder.

An error a user can act on ends the process with one line on standard error and status 1.
"""

import importlib.metadata
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from segline import __version__
from segline.acceptance.benchmark import Benchmark
from segline.acceptance.benchmark import benchmark as run_benchmark
from segline.acceptance.gate import ABSENT, Absence, judge
from segline.backends import BACKENDS, REFERENCE, open_backend
from segline.backends.tensorrt import Target, build_engine
from segline.backends.tensorrt import merge_engines as merge_packages
from segline.common import atomic
from segline.common.digests import sha256_of_json
from segline.common.errors import SeglineError, UnavailableError
from segline.common.locks import exclusive
from segline.common.progress import ConsoleProgress
from segline.data import sources
from segline.data.cases.index import Case, CaseIndex
from segline.data.cases.index import preprocess as preprocess_cases
from segline.data.cases.upkeep import remember_use
from segline.data.fingerprint import take_fingerprint
from segline.data.intake import NOTHING_NEW, QUARANTINE, take_in
from segline.data.kept_files import bring_dataset, keep_dataset
from segline.data.manifest import Manifest, survey, verify
from segline.data.portraits import not_portrayed
from segline.evaluation.folds import CROSS_VALIDATION, FOLDS, POOLED
from segline.evaluation.folds import pool as pool_folds
from segline.evaluation.scoring import EVALUATION, Evaluation
from segline.evaluation.scoring import evaluate as evaluate_model
from segline.export.int8 import quantize as quantize_model
from segline.export.onnx import export_onnx as export_model
from segline.machine import devices
from segline.model.history import History
from segline.model.package import PLAN, Model
from segline.plan.plan import Plan
from segline.plan.task import Task
from segline.planning.plans import fold_tasks, make_plan, resplit, succeed_plan
from segline.runs.remote import open_run
from segline.runs.run import Notes, Run, RunInfo
from segline.runs.summary import SUMMARY, summarise_run
from segline.storage.depot import Access, Depot
from segline.training.assembly import COMPARISON, Comparison, members_in_order
from segline.training.assembly import assemble as assemble_model
from segline.training.assembly import compare_members as compare_with_members
from segline.training.checkpoints import CheckpointKeeper
from segline.training.outcome import ship
from segline.training.parallel.gpus import gpus_to_share, train_on
from segline.training.parallel.seeds import train_seeds
from segline.training.trainer import Trainer
from segline.training.tuning.probe import TUNING, Tuning, tune

if TYPE_CHECKING:
    from segline.tracking.mlflow_connection import Registry

Location = str | Path
"""A file or folder, as a container is told of it."""

LogMetric = Callable[[str, float], None]
"""Is told a figure's name and value."""


class LogClasses(Protocol):
    """Is told how voxels were classified."""

    def log_confusion_matrix(self, categories: list[str], matrix: list[list[int]]) -> None:
        """Voxels: a row a true label, a column a predicted one."""

    def log_roc_curve(self, fpr: list[float], tpr: list[float], threshold: list[float]) -> None:
        """Of foreground against background."""


_DECIDING_PACKAGES = ("torch", "monai", "numpy", "nibabel", "onnx", "onnxruntime")


def start_run(run: Location, task: Task) -> None:
    """Make a run's folder and write down what was asked for, with which versions, where."""
    info = RunInfo(
        id=str(run).rstrip("/").rpartition("/")[2],
        task=task,
        started=datetime.now(UTC),
        versions={"segline": __version__, "python": platform.python_version(), **_versions()},
        machine=devices.abilities()[0].detail,
    )
    with open_run(run, _access()) as record:
        Run.start(record.folder, info)


def download(run: Location, store: Location, source: str, manifest_out: Location) -> None:
    """Fetch and verify a data set; ``manifest_out`` says where it lies and what is in it.

    Credentials of an object store come from the environment.
    """
    with _stage(run, "download") as (record, notes):
        progress = ConsoleProgress("[download]")
        depot = _access().depot(store)
        folder = sources.fetch(source, depot.folder, _access().s3, progress)
        manifest = verify(folder, depot.path("verified"), _workers(), progress)
        _keep_manifest(keep_dataset(depot, manifest, progress), depot, Path(manifest_out), record)
        notes.text = f"{len(manifest.cases)} cases, digest {manifest.digest[:12]}"


def intake(
    run: Location, store: Location, source: str, tracking: str, manifest_out: Location, previous_out: Location
) -> str:
    """Look for new cases since the champion was trained; bad ones are set aside with their reasons.

    ``previous_out`` is the champion's plan. Without a champion every case is new, and it stays unwritten.

    Returns:
        ``new``, or ``nothing new`` where a model that learned from these cases was judged before.
    """
    from segline.registry.succession import champion_plan, judged_on

    with _stage(run, "intake") as (record, notes):
        progress = ConsoleProgress("[intake]")
        depot = _access().depot(store)
        folder = sources.fetch(source, depot.folder, _access().s3, progress)
        found = survey(folder, depot.path("verified"), _workers(), progress)
        task, registry = record.info.task.name, _registry(store, tracking)
        champion = champion_plan(registry, task)
        if champion is None:
            accepted, aside, new = found.manifest, len(found.faults), len(found.manifest.cases)
        else:
            known = Manifest.read(depot.bring_file(_known_manifest(champion.dataset_digest)))
            champion = champion.named(known.pseudonyms)
            champion.write(Path(previous_out))
            portraits = depot.bring_files("portraits")
            known = bring_dataset(known, _access(), not_portrayed(known, portraits), progress)
            taken = take_in(found, known, champion, portraits, workers=_workers())
            depot.keep_files("portraits")
            taken.quarantine.write(record.folder / QUARANTINE)
            accepted, aside = taken.accepted, len(taken.quarantine.cases)
            new = taken.quarantine.new - aside
        _keep_manifest(keep_dataset(depot, accepted, progress), depot, Path(manifest_out), record)
        judged = judged_on(registry, task, accepted.digest)
        notes.text = f"{NOTHING_NEW} since {judged}" if judged else f"{new} new cases"
        notes.text += f", {aside} set aside" if aside else ""
        return NOTHING_NEW if judged else "new"
    return NOTHING_NEW


def plan(
    run: Location, task: str, manifest_in: Location, plan_out: Location, previous_in: Location | None = None
) -> None:
    """Propose a plan, with the overrides of ``task``, a task's JSON; or carry the champion's on."""
    with _stage(run, "plan") as (record, notes):
        manifest = _manifest_here(manifest_in)
        asked = Task.parse(json.loads(task), "task")
        if previous_in and Path(previous_in).is_file():
            made = succeed_plan(Plan.read(Path(previous_in)), manifest, asked)
        else:
            made = make_plan(manifest, take_fingerprint(manifest, _workers()), asked)
        made.write(Path(plan_out))
        record.publish(plan_out, "plan.json")
        notes.text = _describe_plan(made)


def preprocess(
    run: Location, store: Location, manifest_in: Location, plan_in: Location, cases_out: Location
) -> None:
    """Bring every case into the cache, in several processes; cases already there are reused."""
    with _stage(run, "preprocess") as (_, notes):
        manifest, made = Manifest.read(Path(manifest_in)), Plan.read(Path(plan_in))
        _require_same_dataset(made, manifest)
        depot = _access().depot(store)
        index = _fill_cache(manifest, made, depot)
        index.write(Path(cases_out))
        remember_use(index, depot)
        notes.text = f"{index.computed} cases computed, {index.reused} reused from the cache"


def train(
    run: Location,
    store: Location,
    plan_in: Location,
    cases_in: Location,
    model_out: Location,
    device: str = "auto",
    page_out: Location | None = None,
    plan_out: Location | None = None,
) -> None:
    """Train, or continue an interrupted training of the same plan and cases; write the model package.

    Where the plan asks for it, it is tuned to this machine first. ``page_out`` are the learning curves for
    people, ``plan_out`` is the plan that was trained under, with the post-processing of what came of it.
    """
    with _stage(run, "train") as (record, notes):
        asked, index = Plan.read(Path(plan_in)), CaseIndex.read(Path(cases_in))
        depot, key = _access().depot(store), _training_key(asked, index)
        index = index.bring((*asked.split.train, *asked.split.val), _access(), ConsoleProgress("[train]"))
        with exclusive(depot.path(f"locks/{key}.lock"), wait=False):
            tuning = _tuning(asked, index, depot, key, device) if asked.training.tune else None
            made = tuning.plan(asked) if tuning else asked
            history, shipped = _trained(made, index, depot, Path(model_out), device, record)
            if shipped != asked:
                record.publish(Path(model_out) / PLAN, PLAN)
            if tuning:
                record.publish(depot.path(_tuning_name(key)), TUNING)
                depot.forget_file(_tuning_name(key))
        if plan_out:
            shipped.write(Path(plan_out))
        if page_out:
            from segline.report import training_page

            atomic.write_text(Path(page_out), training_page(history, shipped, tuning))
        told = [_describe_training(history), tuning.text if tuning else None, shipped.postprocessing]
        notes.text = "; ".join(filter(None, told))


def export_onnx(run: Location, model_in: Location, cases_in: Location, model_out: Location) -> None:
    """Add the checked ONNX graph to the model package."""
    with _stage(run, "export_onnx") as (record, notes):
        model = Model.open(Path(model_in)).copied_to(Path(model_out))
        cases = _cases_here(cases_in, model.plan.split.val)
        sidecar = export_model(model, cases)
        record.publish(model_out, "model")
        notes.text = (
            f"scores within {sidecar.max_abs_difference:.1e} of PyTorch's, {sidecar.label_agreement:.6f} of "
            f"labels equal, on {sidecar.checked_patches} patches"
        )


def quantize(run: Location, model_in: Location, cases_in: Location, model_out: Location) -> None:
    """Add an int8 graph to the model package, if the plan asks for one."""
    with _stage(run, "quantize") as (record, notes):
        model = Model.open(Path(model_in)).copied_to(Path(model_out))
        cases = _cases_here(cases_in, model.plan.split.train if model.plan.export.int8_patches else ())
        sidecar = quantize_model(model, cases)
        record.publish(model_out, "model")
        notes.text = (
            f"{sidecar.label_agreement:.6f} of labels as in float32 on {sidecar.checked_patches} patches, "
            f"calibrated on {sidecar.calibration_patches}"
        )


def build_tensorrt(
    run: Location, store: Location, model_in: Location, model_out: Location, gpu: str = ""
) -> None:
    """Add an engine for this machine's GPU to the model package; skipped where there is none.

    ``gpu`` tells builds for several GPUs apart.
    """
    with _stage(run, f"build_tensorrt_{gpu}" if gpu else "build_tensorrt") as (record, notes):
        model = Model.open(Path(model_in)).copied_to(Path(model_out))
        target = Target.here()
        depot, timings = _access().depot(store), f"timing-caches/{target.timing_cache}"
        engine = build_engine(model, target, depot.bring_file(timings))
        depot.keep_file(timings)
        # the rest of the package is there, and builds for other GPUs add to it at the same time
        record.publish(engine.parent, f"model/{engine.parent.relative_to(model.folder)}")
        notes.text = f"{engine.relative_to(model.folder)}"


def merge_engines(run: Location, model_in: Location, other_in: Location, model_out: Location) -> None:
    """Bring two packages' engines together in one."""
    with _stage(run, "merge_engines"):
        merge_packages(Model.open(Path(model_in)), Model.open(Path(other_in)), Path(model_out))


def evaluate(
    run: Location,
    backend: str,
    model_in: Location,
    manifest_in: Location,
    evaluation_out: Location,
    device: str = "auto",
    log_classes: LogClasses | None = None,
) -> None:
    """Predict and score the test cases with one backend; ``log_classes`` is told of their voxels."""
    with _stage(run, f"evaluate_{backend}") as (record, notes):
        model = Model.open(Path(model_in))
        manifest = _manifest_here(manifest_in, model.plan.split.test)
        _require_same_dataset(model.plan, manifest)
        folder = Path(evaluation_out)
        with _absence_noted(backend, folder):
            opened = open_backend(backend, model, _inference_device(device))
        evaluation = evaluate_model(model, opened, manifest, folder, ConsoleProgress("[evaluate]"))
        evaluation.write(folder / EVALUATION)
        record.publish(folder, f"predictions/{backend}")
        _log_classes(evaluation, log_classes)
        notes.text = _describe_evaluation(evaluation)


def split_folds(run: Location) -> list[str]:
    """A run within the run for each fold that its task asks for; gives where they are."""
    folds: list[str] = []
    with _stage(run, "split_folds") as (record, notes):
        for number, task in enumerate(fold_tasks(record.info.task)):
            folds.append(f"{str(run).rstrip('/')}/{FOLDS}/{number}")
            start_run(folds[-1], task)
        notes.text = f"{len(folds)} folds"
    return folds


def take_fold(run: Location, plan_in: Location, plan_out: Location) -> None:
    """The plan of one fold, whose run this is: that of the data set with the split of its task."""
    with _stage(run, "take_fold") as (record, notes):
        made = resplit(Plan.read(Path(plan_in)), record.info.task)
        made.write(Path(plan_out))
        record.publish(plan_out, "plan.json")
        notes.text = f"{len(made.split.test)} cases to test, {len(made.split.train)} to train"


def pool(
    run: Location,
    plan_in: Location,
    evaluations_in: Sequence[Location],
    evaluation_out: Location,
    log_metric: LogMetric | None = None,
    log_classes: LogClasses | None = None,
) -> None:
    """Every case of the folds, tested once: their evaluations in one."""
    with _stage(run, "pool") as (record, notes):
        made, folder = Plan.read(Path(plan_in)), Path(evaluation_out)
        pooled, folds = pool_folds(_paths(evaluations_in), made, _fold_plans(record, made), folder)
        folds.write(folder / CROSS_VALIDATION)
        record.publish(folder / CROSS_VALIDATION, CROSS_VALIDATION)
        # beside the predictions of an ensemble, of which its run is
        record.publish(folder, POOLED if made.network.members > 1 else f"predictions/{pooled.backend}")
        _log(folds.scalars, log_metric)
        _log_classes(pooled, log_classes)
        notes.text = f"{len(folds.folds)} folds, {_describe_evaluation(pooled)}"


def assemble(run: Location, plan_in: Location, members_in: Sequence[Location], model_out: Location) -> None:
    """The folds' networks as one model, whose class scores are the mean of theirs."""
    with _stage(run, "assemble") as (record, notes):
        made = Plan.read(Path(plan_in))
        members = [Model.open(folder) for folder in _paths(members_in)]
        model = assemble_model(members, made, _fold_plans(record, made), Path(model_out))
        if model.plan != made:
            record.publish(model.folder / PLAN, PLAN)
        record.publish(model_out, "model")
        notes.text = f"{len(members)} networks, {model.weights.stat().st_size / 2**20:.1f} MiB of weights"


def compare_members(
    run: Location,
    members_in: Sequence[Location],
    manifest_in: Location,
    comparison_out: Location,
    device: str = "auto",
    log_metric: LogMetric | None = None,
) -> None:
    """Hold a run's ensemble against each of its members, on its test cases, and time the first of them."""
    with _stage(run, "compare_members", whole=True) as (record, notes):
        found = record.contents
        evaluation = next((each for each in found.evaluations if each.backend == REFERENCE), None)
        if found.model is None or found.plan is None or evaluation is None or found.benchmark is None:
            raise SeglineError(f"{run}: the ensemble is not evaluated and timed yet; run benchmark first")
        members = [Model.open(folder) for folder in _paths(members_in)]
        ordered = members_in_order(members, _fold_plans(record, found.plan), "compare_members")
        manifest = _manifest_here(manifest_in, found.plan.split.test)
        used, progress = _inference_device(device), ConsoleProgress("[compare_members]")
        comparison = compare_with_members(
            found.model, evaluation, found.benchmark, ordered, manifest, used, progress
        )
        comparison.write(Path(comparison_out))
        record.publish(comparison_out, COMPARISON)
        _log(comparison.scalars, log_metric)
        notes.text = _describe_comparison(comparison, found.benchmark)


def track_folds(run: Location, store: Location, tracking: str = "") -> None:
    """Track a cross-validation in MLflow: a run, and in it a run for each fold. No version is registered."""
    from segline.tracking.mlflow import source_commit
    from segline.tracking.mlflow import track_folds as track_in_mlflow

    with _stage(run, "track_folds", whole=True) as (record, notes):
        registry = _registry(store, tracking)
        summarise_run(record, ongoing="track_folds").write(record.folder / SUMMARY)
        tracked = track_in_mlflow(record, registry, source_commit(Path(__file__).parent))
        notes.text = f"run {tracked.run_id} of MLflow, with {len(record.folds)} folds"


def compare(
    run: Location,
    plan_in: Location,
    evaluations_in: Sequence[Location],
    verdict_out: Location,
    page_out: Location | None = None,
    log_metric: LogMetric | None = None,
) -> str:
    """The gate, ``passed`` or ``blocked``: whether the backends agree and the floor is met.

    ``page_out`` is the verdict for people, and ``log_metric`` is told its figures by name.
    """
    with _stage(run, "compare") as (record, notes):
        verdict = judge([Path(folder) for folder in evaluations_in], Plan.read(Path(plan_in)).gate)
        verdict.write(Path(verdict_out))
        record.publish(verdict_out, "gate.json")
        if page_out:
            from segline.report import gate_page

            atomic.write_text(Path(page_out), gate_page(verdict))
        _log(verdict.scalars, log_metric)
        notes.text = "; ".join(["blocked", *verdict.reasons]) if verdict.reasons else "passed"
    return "passed" if verdict.passed else "blocked"


def benchmark(
    run: Location,
    model_in: Location,
    manifest_in: Location,
    benchmark_out: Location,
    device: str = "auto",
    log_metric: LogMetric | None = None,
) -> None:
    """Time every backend, stage by stage, on up to three test cases; ``log_metric`` is told the figures."""
    with _stage(run, "benchmark") as (record, notes):
        model = Model.open(Path(model_in))
        manifest = _manifest_here(manifest_in, model.plan.split.test)
        _require_same_dataset(model.plan, manifest)
        cases, progress = model.plan.split.test[:3], ConsoleProgress("[benchmark]")
        used = _inference_device(device)
        result = run_benchmark(model, list(BACKENDS), manifest, cases, used, progress=progress)
        result.write(Path(benchmark_out))
        record.publish(benchmark_out, "benchmark.json")
        _log(result.scalars, log_metric)
        notes.text = _describe_benchmark(result)


def register(run: Location, store: Location, tracking: str = "", device: str = "auto") -> str:
    """Track the run in MLflow and register its model, which becomes champion if it is better than that.

    Args:
        run: folder of the run.
        store: its SQLite file is the registry where ``tracking`` is empty; a folder, then.
        tracking: URI of an MLflow server.
        device: where the champion is evaluated on the run's test cases.

    Returns:
        The version, as in ``spleen/3``; empty where the gate blocked the model, which is then skipped.
    """
    from segline.registry.succession import contend
    from segline.report.model_card import write_model_card
    from segline.tracking.mlflow import source_commit

    with _stage(run, "register", whole=True) as (record, notes):
        if record.verdict and not record.verdict.passed:
            raise UnavailableError("the gate blocked the model; it is not registered")
        write_model_card(record)
        registry = _registry(store, tracking)
        commit = source_commit(Path(__file__).parent)
        used = _inference_device(device)
        version = contend(record, registry, commit, used, ConsoleProgress("[register]"))
        notes.text = f"{version.name} {version.decision}: {'; '.join(version.reasons)}"
        return version.name
    return ""


def report(run: Location, page_out: Location | None = None, summary_out: Location | None = None) -> None:
    """Write ``summary.json``, ``summary.md`` and ``report.html`` from whatever the run has come to.

    The latter two also to ``summary_out`` and ``page_out``.
    """
    from segline.report import write_report

    with _stage(run, "report", whole=True) as (record, _):
        write_report(record)
        for name, out in (("report.html", page_out), ("summary.md", summary_out)):
            if out:
                shutil.copyfile(record.folder / name, out)


def _training_key(plan: Plan, index: CaseIndex) -> str:
    return sha256_of_json([plan.digest, [index.keys[n] for n in (*plan.split.train, *plan.split.val)]])


def _tuning_name(key: str) -> str:
    return f"tunings/{key}.json"


def _tuning(asked: Plan, index: CaseIndex, depot: Depot, key: str, device: str) -> Tuning:
    """What an interrupted training was tuned to, or what is found now; kept until the training is done."""
    name = _tuning_name(key)
    path = depot.bring_file(name)
    if not path.is_file():
        cases = index.open(asked.split.train), index.open(asked.split.val)
        tune(asked, *cases, device, ConsoleProgress("[tune]")).write(path)
        depot.keep_file(name)
    return Tuning.read(path)


def _trained(
    made: Plan, index: CaseIndex, depot: Depot, model_out: Path, device: str, record: Run
) -> tuple[History, Plan]:
    """Train to the end, from wherever an earlier one came to; the model is published. Also gives its plan."""
    plans, progress = made.of_each_seed(), ConsoleProgress("[train]")
    keys = [_training_key(plan, index) for plan in plans]
    cases, val = index.open(made.split.train), index.open(made.split.val)
    with ExitStack() as stack:
        kept = [stack.enter_context(CheckpointKeeper(depot, key)) for key in keys]
        paths = [keeper.path for keeper in kept]
        if len(plans) > 1:
            train_seeds(plans, index, paths, keys, device, progress, lambda number: kept[number].saved())
        elif gpus := gpus_to_share(made, device):
            train_on(gpus, made, index, paths[0], keys[0], progress, kept[0].saved)
        trainers = [
            Trainer(plan, cases, val, keeper.path, key, device, keeper.saved)
            for plan, keeper, key in zip(plans, kept, keys, strict=True)
        ]
        histories = [trainer.run(progress) for trainer in trainers]
        weights = [trainer.best_weights for trainer in trainers]
        shipped = ship(made, weights, histories, val, trainers[0].device)
        Model.write(model_out, shipped.plan, shipped.weights, shipped.history)
        record.publish(model_out, "model")
        for keeper in kept:
            keeper.forget()
    return shipped.history, shipped.plan


def _access() -> Access:
    return Access.from_environment(os.environ)


def _manifest_here(path: Location, names: Sequence[str] | None = None) -> Manifest:
    """With the files of the named cases, or of all, on this machine."""
    return bring_dataset(Manifest.read(Path(path)), _access(), names, ConsoleProgress("[data]"))


def _cases_here(path: Location, names: Sequence[str]) -> Sequence[Case]:
    return CaseIndex.read(Path(path)).bring(names, _access(), ConsoleProgress("[cases]")).open(names)


def _paths(locations: Sequence[Location]) -> list[Path]:
    return [Path(location) for location in locations]


def _fold_plans(record: Run, whole: Plan) -> list[Plan]:
    return [resplit(whole, task) for task in fold_tasks(record.info.task)]


def _known_manifest(digest: str) -> str:
    return f"manifests/{digest}.json"


def _keep_manifest(manifest: Manifest, depot: Depot, path: Path, record: Run) -> None:
    """Also in the depot, where a later intake learns what the champion was trained on."""
    known = _known_manifest(manifest.digest)
    for place in (path, depot.path(known)):
        manifest.write(place)
    depot.keep_file(known)
    record.publish(path, "manifest.json")


def _registry(store: Location, tracking: str) -> "Registry":
    from segline.tracking.mlflow_connection import Registry, quiet_mlflow, tracking_uri

    quiet_mlflow(os.environ)
    return Registry(tracking_uri(store, tracking))


@contextmanager
def _absence_noted(backend: str, folder: Path) -> Iterator[None]:
    """Leave the reason for the gate where a backend cannot be had; what an earlier run left is removed."""
    for earlier in (ABSENT, EVALUATION):
        (folder / earlier).unlink(missing_ok=True)
    try:
        yield
    except UnavailableError as error:
        Absence(backend=backend, reason=str(error)).write(folder / ABSENT)
        raise


@contextmanager
def _stage(run: Location, name: str, whole: bool = False) -> Iterator[tuple[Run, Notes]]:
    try:
        with open_run(run, _access(), whole) as record, record.stage(name) as notes:
            yield record, notes
            if notes.text:
                sys.stdout.write(f"[{name}] {notes.text}\n")
    except SeglineError as error:
        raise SystemExit(f"segline {name}: {error}") from None


def _fill_cache(manifest: Manifest, made: Plan, depot: Depot) -> CaseIndex:
    progress, total = ConsoleProgress("[preprocess]"), len(manifest.cases)
    computed = 0
    for number, (_, new) in enumerate(preprocess_cases(manifest, made, depot, _workers(), _access()), 1):
        computed += new
        progress(number / total, f"{number} of {total} cases")
    return CaseIndex.of(manifest, made, depot, computed)


def _describe_plan(made: Plan) -> str:
    spacing = "x".join(f"{mm:g}" for mm in made.preprocessing.spacing_mm)
    patch = "x".join(map(str, made.training.patch_size))
    return f"spacing {spacing} mm, patch {patch}, batch {made.training.batch_size}, digest {made.digest[:12]}"


def _describe_training(history: History) -> str:
    resumed = history.resumed_from_step
    return (
        f"{history.steps} steps in {history.minutes:.1f} min, "
        f"validation Dice {history.best_val_dice:.4f} with the weights of {history.kept}"
        + (f"; continued from step {resumed}" if resumed is not None else "")
    )


def _log(scalars: Mapping[str, float], log_metric: LogMetric | None) -> None:
    for name, value in scalars.items():
        if log_metric:
            log_metric(name, value)


def _log_classes(evaluation: Evaluation, log: LogClasses | None) -> None:
    if log and (confusion := evaluation.confusion):
        log.log_confusion_matrix(list(confusion.labels), [list(row) for row in confusion.voxels])
    if log and evaluation.scores and (roc := evaluation.scores.roc()):
        rates = list(roc.false_positive_rate), list(roc.true_positive_rate)
        log.log_roc_curve(*rates, list(roc.threshold))


def _describe_evaluation(evaluation: Evaluation) -> str:
    dice, nsd = evaluation.overall["dice"], evaluation.overall["nsd"]
    return f"{len(evaluation.cases)} cases, mean Dice {dice.mean:.4f}, NSD {nsd.mean:.4f}"


def _describe_comparison(found: Comparison, timed: Benchmark) -> str:
    means = ", ".join(f"{member.overall['dice'].mean:.4f}" for member in found.members)
    slower = found.slowdowns(timed).get(REFERENCE)
    return f"mean Dice {found.ensemble.overall['dice'].mean:.4f}, of its members {means}" + (
        f"; {slower:.1f} times the time of one" if slower else ""
    )


def _describe_benchmark(result: Benchmark) -> str:
    timed = [f"{times.backend} {times.end_to_end.volume_ms.p50:.0f} ms a volume" for times in result.backends]
    absent = [f"{other.backend} unavailable: {other.reason}" for other in result.unavailable]
    return "; ".join([", ".join(timed), *absent])


def _require_same_dataset(plan: Plan, manifest: Manifest) -> None:
    if plan.dataset_digest != manifest.digest:
        raise SeglineError(
            f"the model's plan is of data set {plan.dataset_digest[:12]}, not {manifest.digest[:12]}: "
            "its test cases may have been trained on; evaluate on the data set it was planned for"
        )


def _inference_device(device: str) -> str:
    """Where backends run in a run on ``device``: a GPU to train on is one that not every backend can use."""
    return "cpu" if device == "cpu" else "auto"


def _workers() -> int:
    return len(os.sched_getaffinity(0))


def _versions() -> dict[str, str]:
    found = {}
    for name in _DECIDING_PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
