"""Succession: a run's model is held against the champion on the same cases, and takes its place or not."""

from pathlib import Path
from tempfile import TemporaryDirectory

from segline.backends import REFERENCE, open_backend
from segline.benchmark import Benchmark, benchmark
from segline.errors import SeglineError
from segline.evaluation import Evaluation, evaluate
from segline.model import Model
from segline.plan import Plan
from segline.progress import Progress, silent
from segline.promotion import Contender, Decision, decide
from segline.registry.connection import Registry
from segline.registry.versions import (
    Reference,
    Version,
    champion_of,
    promote,
    pull,
    register,
    reject,
    versions,
)
from segline.runs import Run

DECISION = "promotion.json"
"""Its file in the run's folder."""


def contend(
    run: Run, registry: Registry, commit: str = "", device: str = "auto", progress: Progress = silent
) -> Version:
    """Register a run's model and let it contend with its task's champion.

    The champion is evaluated anew, on the test cases of the run: both are judged on the same cases, with the
    same code. The decision is written into the run's folder, and its reasons are tags of the version.

    Args:
        run: finished but for the report.
        registry: where the champion is.
        commit: of the code that made the model.
        device: where the champion is evaluated.
        progress: told of that.

    Raises:
        SeglineError: the gate did not pass the model, or MLflow cannot be reached or refuses.
    """
    version = register(run, registry, commit)
    if version.decision:
        return version
    decision = _decision(run, registry, device, progress)
    decision.write(run.folder / DECISION)
    reference = Reference(version.task, number=version.number)
    return (promote if decision.promoted else reject)(registry, reference, decision.reasons)


def champion_plan(registry: Registry, task: str) -> Plan | None:
    """The plan of a task's champion, if it has one."""
    version = champion_of(registry, task)
    if version is None:
        return None
    with TemporaryDirectory() as folder:
        return pull(registry, Reference(task, number=version.number), Path(folder, "model")).plan


def judged_on(registry: Registry, task: str, dataset_digest: str) -> str:
    """The version that learned from a data set and was promoted or rejected; empty if there is none."""
    judged = (version for version in versions(registry, task) if version.decision)
    return next((version.name for version in judged if version.dataset_digest == dataset_digest), "")


def _decision(run: Run, registry: Registry, device: str, progress: Progress) -> Decision:
    found = run.contents
    plan, manifest, verdict = found.plan, found.manifest, found.verdict
    evaluation = next((each for each in found.evaluations if each.backend == REFERENCE), None)
    if plan is None or manifest is None or verdict is None or evaluation is None:
        raise SeglineError(f"{run.folder}: the run lacks a part to be judged by; finish it first")
    challenger = Contender.of(evaluation, plan, manifest, found.benchmark)
    incumbent = champion_of(registry, run.info.task.name)
    rule = run.info.task.promotion
    if incumbent is None:
        return decide(None, challenger, verdict, rule)
    with TemporaryDirectory() as folder:
        package = pull(registry, Reference(incumbent.task, number=incumbent.number), Path(folder, "model"))
        again = _evaluated(package, run, Path(folder, "masks"), device, progress)
        timed = _timed(package, run, device, progress) if rule.rule == "not_worse_and_faster" else None
        return decide(Contender.of(again, package.plan, manifest, timed), challenger, verdict, rule)


def _evaluated(package: Model, run: Run, folder: Path, device: str, progress: Progress) -> Evaluation:
    """The champion on the test cases of ``run``."""
    manifest, plan = run.manifest, run.plan
    assert manifest is not None and plan is not None
    return evaluate(
        package, open_backend(REFERENCE, package, device), manifest, folder, progress, plan.split.test
    )


def _timed(package: Model, run: Run, device: str, progress: Progress) -> Benchmark | None:
    """The champion, timed on the cases and backends that the run's model was timed on."""
    manifest, ours = run.manifest, run.benchmark
    if manifest is None or ours is None:
        return None
    backends = [times.backend for times in ours.backends]
    return benchmark(package, backends, manifest, ours.cases, device, progress=progress)
