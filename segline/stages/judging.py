"""What a model is worth, and whether that is enough."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from segline.acceptance.gate import judge
from segline.acceptance.verdict import Absence
from segline.backends import open_backend
from segline.common import atomic
from segline.common.documents.names import ABSENT, EVALUATION, GATE, predictions_of
from segline.common.errors import UnavailableError
from segline.common.progress import ConsoleProgress
from segline.common.wording import counted
from segline.evaluation.records import Evaluation
from segline.evaluation.scoring import evaluate as evaluate_model
from segline.kinds import kind_of
from segline.model.package import Model
from segline.plan import Plan
from segline.stages.frame import (
    Location,
    LogClasses,
    LogMetric,
    as_paths,
    inference_device,
    manifest_here,
    require_same_dataset,
    stage,
    tell_classes,
    tell_figures,
)


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
    with stage(run, f"evaluate_{backend}") as (record, outcome):
        model = Model.open(Path(model_in))
        manifest = manifest_here(manifest_in, model.plan.split.test)
        require_same_dataset(model.plan, manifest)
        folder = Path(evaluation_out)
        with _absence_noted(backend, folder):
            opened = open_backend(backend, model, inference_device(device))
        progress, by = ConsoleProgress("[evaluate]"), kind_of(model.plan.kind).yardstick
        evaluation = evaluate_model(model, opened, manifest, folder, progress, by=by)
        evaluation.write(folder / EVALUATION)
        record.publish(folder, predictions_of(backend))
        tell_classes(evaluation, log_classes)
        outcome.text = describe_evaluation(evaluation)


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
    with stage(run, "compare") as (record, outcome):
        plan = Plan.read(Path(plan_in))
        verdict = judge(as_paths(evaluations_in), plan.gate, kind_of(plan.kind).yardstick)
        verdict.write(Path(verdict_out))
        record.publish(verdict_out, GATE)
        if page_out:
            from segline.report import gate_page

            atomic.write_text(Path(page_out), gate_page(verdict))
        tell_figures(verdict.scalars, log_metric)
        unused = [failure for judged in verdict.unused for failure in judged.failures]
        outcome.text = "; ".join(["passed" if verdict.passed else "blocked", *verdict.reasons, *unused])
        outcome.answer = "passed" if verdict.passed else "blocked"
    return outcome.answer or "blocked"


@contextmanager
def _absence_noted(backend: str, folder: Path) -> Iterator[None]:
    """Leave the reason for the gate where a backend cannot be had; what an earlier run left is removed."""
    for earlier in (ABSENT, EVALUATION):
        (folder / earlier).unlink(missing_ok=True)
    try:
        yield
    except UnavailableError as error:
        Absence(backend=backend, reason=str(error).removeprefix(f"{backend}: ")).write(folder / ABSENT)
        raise


def describe_evaluation(evaluation: Evaluation) -> str:
    means = [(figure.title, evaluation.overall[figure.name].mean) for figure in evaluation.figures[:2]]
    scores = ", ".join(f"{title} {mean:.4f}" for title, mean in means if mean is not None)
    return f"{counted(len(evaluation.cases), 'case')}, mean {scores}"
