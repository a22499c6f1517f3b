"""Succession: a run's model is held against the champion on the same cases, and takes its place or not."""

from pathlib import Path
from tempfile import TemporaryDirectory

from segline.acceptance.benchmark import benchmark
from segline.acceptance.promotion import Contender, Decision, decide
from segline.acceptance.times import Benchmark
from segline.backends import REFERENCE, open_backend
from segline.common.documents.names import PROMOTION
from segline.common.errors import SeglineError
from segline.common.progress import Progress, silent
from segline.data.manifest import Manifest
from segline.evaluation.masks.yardstick import MASKS
from segline.evaluation.scoring import evaluate
from segline.evaluation.yardstick import Yardstick
from segline.inference.answers import Answers
from segline.model.package import Model
from segline.plan import Plan
from segline.registry.pulling import pull
from segline.registry.references import CHALLENGER
from segline.registry.registering import register
from segline.registry.reigns import champion_of, promote, reject, undisturbed
from segline.registry.versions import Version, versions
from segline.runs.run import Run
from segline.tracking.facts import facts_of
from segline.tracking.mlflow import MlflowTracker
from segline.tracking.mlflow_connection import Registry


def contend(
    run: Run,
    registry: Registry,
    commit: str = "",
    device: str = "auto",
    progress: Progress = silent,
    by: Yardstick = MASKS,
) -> Version:
    """Register a run's model and let it contend with its task's champion.

    The champion is evaluated anew, on the test cases of the run: both are judged on the same cases, with the
    same code. The decision is written into the run's folder and tracked, and its reasons are tags of the
    version.

    Of several that are registered at once each is compared with the champion whose place it takes. Where the
    registry is a file, one waits for the other. A server cannot be locked: the champion is looked up once
    more when all is compared and written, and if it is another by then, the comparison begins anew. What
    another process crowns between that look and the coronation, a few requests later, is not seen.

    Args:
        run: finished but for the report.
        registry: where the champion is.
        commit: of the code that made the model.
        device: where the champion is evaluated.
        progress: told of that.
        by: what both are measured by.

    Raises:
        SeglineError: the gate did not pass the model, or MLflow cannot be reached or refuses.
    """
    task = run.info.task.name
    with undisturbed(registry, task):
        version = register(run, registry, commit, by.answers)
        if _is_settled(version):
            return version
        while True:
            incumbent = champion_of(registry, task)
            decision = _decision(run, registry, incumbent, device, progress, by)
            decision.write(run.folder / PROMOTION)
            MlflowTracker(registry).record(facts_of(run, commit))  # for the decision; all else is there
            if _number_of(champion_of(registry, task)) == _number_of(incumbent):
                break
            progress(0.0, "another model became champion meanwhile; comparing with that")
        settle = promote if decision.promoted else reject
        return settle(registry, version.reference, decision.reasons)


def champion_plan(registry: Registry, task: str) -> Plan | None:
    """The plan of a task's champion, if it has one; without the names of its cases."""
    version = champion_of(registry, task)
    if version is None:
        return None
    with TemporaryDirectory() as folder:
        return pull(registry, version.reference, Path(folder, "model")).plan


def judged_on(registry: Registry, task: str, dataset_digest: str) -> str:
    """The version that learned from a data set and was promoted or rejected; empty if there is none."""
    judged = (version for version in versions(registry, task) if version.decision)
    return next((version.name for version in judged if version.dataset_digest == dataset_digest), "")


def _is_settled(version: Version) -> bool:
    """Whether its decision took effect: the alias goes last, and who was killed before is judged anew."""
    unfinished = version.decision == "promoted" and CHALLENGER in version.aliases
    return bool(version.decision) and not unfinished


def _number_of(version: Version | None) -> int | None:
    return version.number if version else None


def _decision(
    run: Run, registry: Registry, incumbent: Version | None, device: str, progress: Progress, by: Yardstick
) -> Decision:
    contents = run.contents
    plan, manifest, verdict = contents.plan, contents.manifest, contents.verdict
    evaluation = contents.reference
    if plan is None or manifest is None or verdict is None or evaluation is None:
        raise SeglineError(f"{run.folder}: the run lacks a part to be judged by; finish it first")
    challenger = Contender.of(evaluation, plan, manifest, contents.benchmark)
    rule = run.info.task.promotion
    if incumbent is None:
        return decide(None, challenger, verdict, rule)
    with TemporaryDirectory() as folder:
        package = pull(registry, incumbent.reference, Path(folder, "model"))
        reference, answers = open_backend(REFERENCE, package, device), Path(folder, "answers")
        again = evaluate(package, reference, manifest, answers, progress, plan.split.test, by)
        timed = None
        if rule.rule == "not_worse_and_faster" and contents.benchmark:
            timed = _timed(package, contents.benchmark, manifest, device, progress, by.answers)
        return decide(Contender.of(again, package.plan, manifest, timed), challenger, verdict, rule)


def _timed(
    package: Model, ours: Benchmark, manifest: Manifest, device: str, progress: Progress, answers: Answers
) -> Benchmark:
    """The champion, timed on the cases and backends that the run's model was timed on."""
    backends = [times.backend for times in ours.backends]
    return benchmark(package, backends, manifest, ours.cases, device, progress=progress, answers=answers)
