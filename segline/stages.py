"""The stages, as a container runs them: paths in, paths out, the outcome recorded in the run's folder.

An error a user can act on ends the process with one line on standard error and status 1.
"""

import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from segline import __version__, machine, sources
from segline.backends import BACKENDS, open_backend
from segline.benchmark import benchmark as run_benchmark
from segline.cases import CaseIndex, case_key
from segline.cases import preprocess as preprocess_cases
from segline.dataset import Manifest, verify
from segline.digests import sha256_of_json
from segline.errors import SeglineError
from segline.evaluation import EVALUATION
from segline.evaluation import evaluate as evaluate_model
from segline.export import export_onnx as export_model
from segline.fingerprint import take_fingerprint
from segline.gate import judge
from segline.locks import exclusive
from segline.model import Model
from segline.plan import Plan
from segline.planning import make_plan
from segline.progress import ConsoleProgress
from segline.runs import Notes, Run, RunInfo
from segline.task import Task
from segline.tensorrt import build_tensorrt as build_engine
from segline.training import History, Trainer

Location = str | Path
"""A file or folder, as a container is told of it."""

_DECIDING_PACKAGES = ("torch", "monai", "numpy", "nibabel", "onnx", "onnxruntime")


def start_run(folder: Path, task: Task) -> Run:
    """Make a run's folder and write down what was asked for, with which versions, where."""
    info = RunInfo(
        id=folder.name,
        task=task,
        started=datetime.now(UTC),
        versions={"segline": __version__, "python": platform.python_version(), **_versions()},
        machine=machine.abilities()[0].detail,
    )
    return Run.start(folder, info)


def download(run: Location, store: Location, source: str, manifest_out: Location) -> None:
    """Fetch and verify a data set; ``manifest_out`` says where it lies and what is in it.

    Credentials of an object store come from the environment.
    """
    with _stage(run, "download") as (record, notes):
        progress = ConsoleProgress("[download]")
        s3 = sources.S3Settings.from_environment(os.environ)
        folder = sources.fetch(source, Path(store), s3, progress)
        manifest = verify(folder, Path(store) / "verified", _workers(), progress)
        manifest.write(Path(manifest_out))
        record.publish(manifest_out, "manifest.json")
        notes.text = f"{len(manifest.cases)} cases, digest {manifest.digest[:12]}"


def plan(run: Location, task: str, manifest_in: Location, plan_out: Location) -> None:
    """Propose a plan from the data, with the overrides of ``task``, a task's JSON."""
    with _stage(run, "plan") as (record, notes):
        manifest = Manifest.read(Path(manifest_in))
        asked = Task.parse(json.loads(task), "task")
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
        index = _fill_cache(manifest, made, (Path(store) / "cases").resolve())
        index.write(Path(cases_out))
        notes.text = f"{index.computed} cases computed, {index.reused} reused from the cache"


def train(
    run: Location,
    store: Location,
    plan_in: Location,
    cases_in: Location,
    model_out: Location,
    device: str = "auto",
) -> None:
    """Train, or continue an interrupted training of the same plan and cases; write the model package."""
    with _stage(run, "train") as (record, notes):
        made, index = Plan.read(Path(plan_in)), CaseIndex.read(Path(cases_in))
        key = sha256_of_json([made.digest, [index.keys[n] for n in (*made.split.train, *made.split.val)]])
        checkpoint = Path(store) / "checkpoints" / f"{key}.pt"
        train_cases, val_cases = index.open(made.split.train), index.open(made.split.val)
        with exclusive(Path(store) / "locks" / f"{key}.lock", wait=False):
            trainer = Trainer(made, train_cases, val_cases, checkpoint, key, device)
            history = trainer.run(ConsoleProgress("[train]"))
            Model.write(Path(model_out), made, trainer.best_weights, history)
            record.publish(model_out, "model")
            trainer.forget()
        notes.text = _describe_training(history)


def export_onnx(run: Location, model_in: Location, cases_in: Location, model_out: Location) -> None:
    """Add the checked ONNX graph to the model package."""
    with _stage(run, "export_onnx") as (record, notes):
        model = Model.open(Path(model_in)).copied_to(Path(model_out))
        cases = CaseIndex.read(Path(cases_in)).open(model.plan.split.val)
        sidecar = export_model(model, cases)
        record.publish(model_out, "model")
        notes.text = (
            f"scores within {sidecar.max_abs_difference:.1e} of PyTorch's, {sidecar.label_agreement:.6f} of "
            f"labels equal, on {sidecar.checked_patches} patches"
        )


def build_tensorrt(run: Location, model_in: Location, engines_out: Location) -> None:
    """Build an engine for this machine's GPU; skipped, with the reason, where there is none."""
    with _stage(run, "build_tensorrt"):
        Path(engines_out).mkdir(parents=True, exist_ok=True)
        build_engine(Model.open(Path(model_in)), Path(engines_out))


def evaluate(
    run: Location,
    backend: str,
    model_in: Location,
    manifest_in: Location,
    evaluation_out: Location,
    device: str = "auto",
) -> None:
    """Predict and score the test cases with one backend."""
    with _stage(run, f"evaluate_{backend}") as (record, notes):
        model, manifest = Model.open(Path(model_in)), Manifest.read(Path(manifest_in))
        _require_same_dataset(model.plan, manifest)
        opened, folder = open_backend(backend, model, _inference_device(device)), Path(evaluation_out)
        evaluation = evaluate_model(model, opened, manifest, folder, ConsoleProgress("[evaluate]"))
        evaluation.write(folder / EVALUATION)
        record.publish(folder, f"predictions/{backend}")
        dice, nsd = evaluation.overall["dice"], evaluation.overall["nsd"]
        notes.text = f"{len(evaluation.cases)} cases, mean Dice {dice.mean:.4f}, NSD {nsd.mean:.4f}"


def compare(
    run: Location, plan_in: Location, evaluations_in: Sequence[Location], verdict_out: Location
) -> str:
    """The gate, ``passed`` or ``blocked``: whether the backends agree and the floor is met."""
    with _stage(run, "compare") as (record, notes):
        verdict = judge([Path(folder) for folder in evaluations_in], Plan.read(Path(plan_in)).gate)
        verdict.write(Path(verdict_out))
        record.publish(verdict_out, "gate.json")
        notes.text = "; ".join(["blocked", *verdict.reasons]) if verdict.reasons else "passed"
    return "passed" if verdict.passed else "blocked"


def benchmark(
    run: Location, model_in: Location, manifest_in: Location, benchmark_out: Location, device: str = "auto"
) -> None:
    """Time every backend, stage by stage, on up to three test cases."""
    with _stage(run, "benchmark") as (record, notes):
        model, manifest = Model.open(Path(model_in)), Manifest.read(Path(manifest_in))
        _require_same_dataset(model.plan, manifest)
        cases, progress = model.plan.split.test[:3], ConsoleProgress("[benchmark]")
        used = _inference_device(device)
        result = run_benchmark(model, list(BACKENDS), manifest, cases, used, progress=progress)
        result.write(Path(benchmark_out))
        record.publish(benchmark_out, "benchmark.json")
        notes.text = ", ".join(
            f"{times.backend} {times.total_ms:.0f} ms a volume" for times in result.backends
        )


def report(run: Location) -> Path:
    """Write ``summary.json`` and ``report.html`` from whatever the run's folder holds; gives the latter."""
    from segline.report import write_report

    with _stage(run, "report") as (record, _):
        write_report(record)
    return Path(run) / "report.html"


@contextmanager
def _stage(run: Location, name: str) -> Iterator[tuple[Run, Notes]]:
    record = Run(Path(run))
    try:
        with record.stage(name) as notes:
            yield record, notes
            if notes.text:
                sys.stdout.write(f"[{name}] {notes.text}\n")
    except SeglineError as error:
        raise SystemExit(f"segline {name}: {error}") from None


def _fill_cache(manifest: Manifest, made: Plan, root: Path) -> CaseIndex:
    progress, total = ConsoleProgress("[preprocess]"), len(manifest.cases)
    computed = 0
    for number, (_, was_computed) in enumerate(preprocess_cases(manifest, made, root, _workers()), 1):
        computed += was_computed
        progress(number / total, f"{number} of {total} cases")
    keys = {case.name: case_key(case, made) for case in manifest.cases}
    reused = total - computed
    return CaseIndex(plan_digest=made.digest, root=str(root), keys=keys, computed=computed, reused=reused)


def _describe_plan(made: Plan) -> str:
    spacing = "x".join(f"{mm:g}" for mm in made.preprocessing.spacing_mm)
    patch = "x".join(map(str, made.training.patch_size))
    return f"spacing {spacing} mm, patch {patch}, batch {made.training.batch_size}, digest {made.digest[:12]}"


def _describe_training(history: History) -> str:
    resumed = history.resumed_from_step
    return (
        f"{history.steps} steps in {history.minutes:.1f} min, "
        f"best validation Dice {history.best_val_dice:.4f} at step {history.best_step}"
        + (f"; continued from step {resumed}" if resumed is not None else "")
    )


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
