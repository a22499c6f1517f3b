"""The stages, as a container runs them: paths in, paths out, the outcome recorded in the run's folder.

An error a user can act on ends the process with one line on standard error and status 1.
"""

import importlib.metadata
import os
import platform
import shutil
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
from segline.evaluation import evaluate as evaluate_model
from segline.export import export_onnx as export_model
from segline.fingerprint import take_fingerprint
from segline.gate import judge
from segline.model import PLAN, WEIGHTS, Model
from segline.networks import save_weights
from segline.plan import Plan
from segline.planning import make_plan
from segline.progress import ConsoleProgress
from segline.runs import Notes, Run, RunInfo
from segline.task import Task
from segline.tensorrt import build_tensorrt as build_engine
from segline.training import Trainer

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


def download(
    run: Path, store: Path, source: str, manifest_out: Path, s3: sources.S3Settings | None = None
) -> None:
    """Fetch and verify a data set; ``manifest_out`` says where it lies and what is in it."""
    with _stage(run, "download") as (record, notes):
        folder = sources.fetch(source, store, s3)
        manifest = verify(folder, store / "verified", _workers())
        manifest.write(manifest_out)
        record.publish(manifest_out, "manifest.json")
        notes.text = f"{len(manifest.cases)} cases, digest {manifest.digest[:12]}"


def plan(run: Path, task: Task, manifest_in: Path, plan_out: Path) -> None:
    """Propose a plan from the data, with the task's overrides."""
    with _stage(run, "plan") as (record, notes):
        manifest = Manifest.read(manifest_in)
        made = make_plan(manifest, take_fingerprint(manifest, _workers()), task)
        made.write(plan_out)
        record.publish(plan_out, "plan.json")
        spacing, patch = made.preprocessing.spacing_mm, made.training.patch_size
        notes.text = f"spacing {spacing} mm, patch {patch}, digest {made.digest[:12]}"


def preprocess(run: Path, store: Path, manifest_in: Path, plan_in: Path, cases_out: Path) -> None:
    """Bring every case into the cache, in several processes; cases already there are reused."""
    with _stage(run, "preprocess") as (_, notes):
        manifest, made = Manifest.read(manifest_in), Plan.read(plan_in)
        progress, root = ConsoleProgress("preprocess"), store / "cases"
        computed = 0
        for number, (_, was_computed) in enumerate(preprocess_cases(manifest, made, root, _workers()), 1):
            computed += was_computed
            progress(number / len(manifest.cases), f"{number} of {len(manifest.cases)} cases")
        reused = len(manifest.cases) - computed
        index = CaseIndex(
            plan_digest=made.digest,
            root=str(root),
            keys={case.name: case_key(case, made) for case in manifest.cases},
            computed=computed,
            reused=reused,
        )
        index.write(cases_out)
        notes.text = f"{computed} cases computed, {reused} reused from the cache"


def train(
    run: Path, store: Path, plan_in: Path, cases_in: Path, model_out: Path, device: str = "auto"
) -> None:
    """Train, or continue an interrupted training of the same plan and cases; write the model package."""
    with _stage(run, "train") as (record, notes):
        made, index = Plan.read(plan_in), CaseIndex.read(cases_in)
        key = sha256_of_json([made.digest, [index.keys[n] for n in (*made.split.train, *made.split.val)]])
        checkpoint = store / "checkpoints" / f"{key}.pt"
        cases = index.open(made.split.train), index.open(made.split.val)
        trainer = Trainer(made, *cases, checkpoint, key, _device(device))
        history = trainer.run(ConsoleProgress("train"))
        model_out.mkdir(parents=True, exist_ok=True)
        made.write(model_out / PLAN)
        save_weights(model_out / WEIGHTS, trainer.best_weights, made)
        (model_out / "history.json").write_text(history.model_dump_json(indent=2), encoding="utf-8")
        record.publish(model_out, "model")
        trainer.forget()
        resumed = history.resumed_from_step
        notes.text = f"{history.steps} steps in {history.minutes:.1f} min, best validation Dice " + (
            f"{history.best_val_dice:.4f} at step {history.best_step}"
            + (f"; continued from step {resumed}" if resumed is not None else "")
        )


def export_onnx(run: Path, model_in: Path, cases_in: Path, model_out: Path) -> None:
    """Add the checked ONNX graph to the model package."""
    with _stage(run, "export_onnx") as (record, notes):
        shutil.copytree(model_in, model_out, dirs_exist_ok=True)
        model = Model.open(model_out)
        sidecar = export_model(model, CaseIndex.read(cases_in).open(model.plan.split.val))
        record.publish(model_out, "model")
        notes.text = (
            f"scores within {sidecar.max_abs_difference:.1e} of PyTorch's, {sidecar.label_agreement:.6f} of "
            f"labels equal, on {sidecar.checked_patches} patches"
        )


def build_tensorrt(run: Path, model_in: Path, engines_out: Path) -> None:
    """Build an engine for this machine's GPU; skipped, with the reason, where there is none."""
    engines_out.mkdir(parents=True, exist_ok=True)
    with _stage(run, "build_tensorrt"):
        build_engine(Model.open(model_in), engines_out)


def evaluate(
    run: Path, backend: str, model_in: Path, manifest_in: Path, evaluation_out: Path, device: str = "auto"
) -> None:
    """Predict and score the test cases with one backend."""
    with _stage(run, f"evaluate_{backend}") as (record, notes):
        model, manifest = Model.open(model_in), Manifest.read(manifest_in)
        _require_same_dataset(model.plan, manifest)
        opened = open_backend(backend, model, _device(device))
        evaluation = evaluate_model(model, opened, manifest, evaluation_out, ConsoleProgress("evaluate"))
        evaluation.write(evaluation_out)
        record.publish(evaluation_out, f"predictions/{backend}")
        dice, nsd = evaluation.overall["dice"], evaluation.overall["nsd"]
        notes.text = f"{len(evaluation.cases)} cases, mean Dice {dice.mean:.4f}, NSD {nsd.mean:.4f}"


def compare(run: Path, plan_in: Path, evaluations_in: Sequence[Path], verdict_out: Path) -> bool:
    """The gate: whether the backends agree and the floor is met."""
    with _stage(run, "compare") as (record, notes):
        verdict = judge(evaluations_in, Plan.read(plan_in).gate)
        verdict.write(verdict_out)
        record.publish(verdict_out, "gate.json")
        notes.text = "passed" if verdict.passed else f"blocked: {'; '.join(verdict.reasons)}"
        return verdict.passed


def benchmark(
    run: Path, model_in: Path, manifest_in: Path, benchmark_out: Path, device: str = "auto"
) -> None:
    """Time every backend, stage by stage, on up to three test cases."""
    with _stage(run, "benchmark") as (record, notes):
        model, manifest = Model.open(model_in), Manifest.read(manifest_in)
        _require_same_dataset(model.plan, manifest)
        cases, names = model.plan.split.test[:3], list(BACKENDS)
        progress = ConsoleProgress("benchmark")
        result = run_benchmark(model, names, manifest, cases, _device(device), progress=progress)
        result.write(benchmark_out)
        record.publish(benchmark_out, "benchmark.json")
        notes.text = ", ".join(
            f"{times.backend} {times.total_ms:.0f} ms a volume" for times in result.backends
        )


def report(run: Path) -> None:
    """Write ``summary.json`` and ``report.html`` from whatever the run's folder holds."""
    from segline.report import write_report

    with _stage(run, "report") as (record, _):
        write_report(record)


@contextmanager
def _stage(run: Path, name: str) -> Iterator[tuple[Run, Notes]]:
    record = Run(run)
    try:
        with record.stage(name) as notes:
            yield record, notes
            if notes.text:
                sys.stdout.write(f"{name}: {notes.text}\n")
    except SeglineError as error:
        raise SystemExit(f"segline {name}: {error}") from None


def _require_same_dataset(plan: Plan, manifest: Manifest) -> None:
    if plan.dataset_digest != manifest.digest:
        raise SeglineError(
            f"the model's plan is of data set {plan.dataset_digest[:12]}, not {manifest.digest[:12]}: "
            "its test cases may have been trained on; evaluate on the data set it was planned for"
        )


def _device(name: str) -> str:
    return machine.default_device() if name == "auto" else name


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
