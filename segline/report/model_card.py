"""The model card: what a model is for, what it was made of and what it is worth, written from its run.

Every figure is read from the run's artifacts; what they do not tell is said to be unknown. Cases go by their
pseudonyms, so that the card may leave the place where patients are known.
"""

from collections.abc import Iterable, Iterator, Sequence

from segline.common import atomic
from segline.common.documents.names import MODEL_CARD
from segline.common.errors import SeglineError
from segline.common.wording import counted
from segline.data.manifest import Manifest
from segline.data.pseudonyms import Pseudonyms
from segline.evaluation.estimates import Estimate
from segline.evaluation.figures import titled
from segline.evaluation.masks.yardstick import MASKS
from segline.evaluation.records import CaseEvaluation, Evaluation
from segline.evaluation.yardstick import Yardstick
from segline.inference.answers import Answers
from segline.plan import Plan
from segline.report.markdown import plain, table
from segline.runs.contents import Contents
from segline.runs.records import RunInfo
from segline.runs.run import Run

_UNKNOWN = "unknown"
_NOTHING = "–"
_MOST_CASES = 200
"""Of those that are listed one by one."""


def write_model_card(run: Run, by: Yardstick = MASKS) -> None:
    """Write the card of a run's model into the run's folder; ``by`` is what it was measured by.

    Raises:
        SeglineError: the run has no plan, no data set or no evaluation to write it from.
    """
    atomic.write_text(run.folder / MODEL_CARD, model_card(run, by))


def model_card(run: Run, by: Yardstick = MASKS) -> str:
    """The card of a run's model, Markdown; ``by`` is what it was measured by.

    Raises:
        SeglineError: the run has no plan, no data set or no evaluation to write it from.
    """
    contents = run.contents
    evaluation = contents.reference
    if contents.plan is None or contents.manifest is None or evaluation is None:
        raise SeglineError(
            f"{run.folder}: a model card needs the run's data set, plan and evaluation; finish the run first"
        )
    names = Pseudonyms.of(contents.manifest)
    sections = (
        _intended_use(run.info, contents.plan, by.answers),
        _data(contents.manifest, contents.plan),
        _method(run.info, contents, contents.plan),
        _results(contents.evaluations, evaluation, by),
        _cases(evaluation, names),
        _failures(evaluation, names),
        _gate(contents, names),
        _limits(contents, evaluation),
        _licences(contents.manifest),
    )
    return (
        f"# Model card: {plain(contents.plan.task)}\n\n"
        + "\n\n".join("\n".join(part) for part in sections)
        + "\n"
    )


def _intended_use(info: RunInfo, plan: Plan, answers: Answers) -> Iterator[str]:
    yield "## Intended use\n"
    yield f"{plain(info.task.description) or 'The task has no description.'}\n"
    yield f"- Input: {plain(', '.join(plan.channels))}; a volume with its affine."
    yield f"- Output: {plain(answers.words(plan))}."
    yield "- For research. It is not a medical device; no clinical validation is part of this run."
    yield "- Not for other modalities, body regions or labels than those above."


def _data(manifest: Manifest, plan: Plan) -> Iterator[str]:
    split = plan.split
    yield "## Data\n"
    name = plain(manifest.name)
    yield f"- Data set: {name}, {counted(len(manifest.cases), 'labelled case')}, digest `{manifest.digest}`."
    yield (
        f"- Split: {len(split.train)} to train, {len(split.val)} to choose the weights, {len(split.test)} to "
        "test, which were seen by neither."
    )
    for what, values in (
        ("Voxel spacing, mm", [case.spacing_mm for case in manifest.cases]),
        ("Size, voxels", [case.shape for case in manifest.cases]),
    ):
        yield f"- {what}, smallest to largest along each of the files' axes: {_ranges(values)}."
    yield "- Orientations: " + plain(", ".join(sorted({case.orientation for case in manifest.cases}))) + "."
    yield (
        f"- {_UNKNOWN.capitalize()}, since the data set does not tell: scanners, sites, protocols, age, sex "
        "and disease of the patients, and who drew the labels."
    )


def _method(info: RunInfo, contents: Contents, plan: Plan) -> Iterator[str]:
    settings, history = plan.preprocessing, contents.history
    rules = settings.rules_in_words(plan.channels)
    yield "## Method\n"
    yield f"- Plan `{plan.digest}`, seed {plan.seed}."
    grid = f"{_times(settings.spacing_mm)} mm, {settings.orientation}"
    yield f"- Preprocessing: {grid}; {plain('; '.join(rules))}."
    yield (f"- Network: {plain(plan.network.words)}; patches of {_times(plan.training.patch_size)} voxels.")
    seeds = plan.ensemble.seeds
    of_seeds = f"{seeds} networks from seeds of their own, averaged; " if seeds > 1 else ""
    if plan.ensemble.members > 1:
        yield (
            f"- Training: {plan.ensemble.members} networks, each on a fold of the training and validation "
            "cases; the answer is the mean of their class scores."
        )
    elif history is None:
        yield f"- Training: {_UNKNOWN}, its history is missing from the run."
    else:
        yield (
            f"- Training: {of_seeds}{counted(history.steps, 'step')} in {history.minutes:.1f} min on "
            f"{plain(history.device)}; the weights of {history.kept} were kept, of validation "
            f"{titled(history.figure)} {history.best_score:.4f}."
        )
    versions = ", ".join(f"{name} {version}" for name, version in info.versions.items())
    yield f"- Versions: {plain(versions)}."


def _results(evaluations: Sequence[Evaluation], reference: Evaluation, by: Yardstick) -> Iterator[str]:
    deciding = reference.figures[0]
    yield "## Results\n"
    yield (
        f"{len(reference.cases)} test cases, scored {by.how}{_tolerances(reference)}. "
        "Intervals are of the mean over cases, bootstrapped; SD is the standard deviation over cases.\n"
    )
    whole = "all cases" if reference.classes else "mean over labels"
    groups = [(whole, reference.overall), *reference.by_label.items()]
    yield from table(
        ("Label", "Figure", "Mean", "95 % interval", "Median", "SD", "Cases", "Undefined"),
        (
            (label, figure.heading, *_estimate(estimates[figure.name]))
            for label, estimates in (groups if len(reference.by_label) > 1 else groups[1:])
            for figure in reference.figures
        ),
    )
    yield ""
    yield from table(
        ("Backend", "Version", "Precision", f"Mean {deciding.title}", "95 % interval"),
        (
            (e.backend, e.backend_version, e.precision, *_estimate(e.overall[deciding.name])[:2])
            for e in evaluations
        ),
    )


def _cases(evaluation: Evaluation, names: Pseudonyms) -> Iterator[str]:
    yield "## Test cases\n"
    lowest = f"the lowest mean {evaluation.figures[0].title} first"
    yield f"By {evaluation.backend}, {lowest}. Cases go by a digest of their content.\n"
    yield from table(
        ("Case", "Label", *(figure.heading for figure in evaluation.figures)),
        (
            (
                names[case.case],
                label,
                *(_figure(measured[figure.name]) for figure in evaluation.figures),
            )
            for case in _ranked(evaluation)[:_MOST_CASES]
            for label, measured in case.figures.items()
        ),
    )
    if (more := len(evaluation.cases) - _MOST_CASES) > 0:
        yield f"\nAnd {more} more, which are better."


def _failures(evaluation: Evaluation, names: Pseudonyms) -> Iterator[str]:
    deciding = evaluation.figures[0]
    yield "## Failure cases\n"
    missed = [
        f"{names[case.case]} ({plain(label)})"
        for case in _ranked(evaluation)
        for label, measured in case.figures.items()
        if measured[deciding.name] == 0
    ]
    worst = _ranked(evaluation)[0]
    yield f"- Worst case: {names[worst.case]}, mean {deciding.title} {worst.score:.4f}."
    yield f"- Labels missed altogether ({deciding.title} 0): {', '.join(missed) or 'none'}."
    yield f"- Why they fail is {_UNKNOWN}: nobody has looked at them for this card."


def _gate(contents: Contents, names: Pseudonyms) -> Iterator[str]:
    yield "## Release gate\n"
    if contents.verdict is None:
        yield f"{_UNKNOWN.capitalize()}: the run has no verdict."
    elif contents.verdict.passed:
        yield "Passed: every required backend gives PyTorch's answer within the plan's margins."
        for judged in contents.verdict.unused:
            why = plain(names.hide("; ".join(judged.failures)))
            yield f"\nNot used where the choice is left open: {judged.backend} ({why})."
    else:
        yield "Blocked:\n"
        yield from (f"- {plain(names.hide(reason))}" for reason in contents.verdict.reasons)


def _limits(contents: Contents, evaluation: Evaluation) -> Iterator[str]:
    yield "## Limits\n"
    count = len(evaluation.cases)
    yield f"- {counted(count, 'test case')} of the same source as the training data."
    if count < 10:
        yield "- With so few, the bootstrapped intervals are too narrow: read them as a lower bound."
    yield f"- Behaviour on other sources, scanners and diseases is {_UNKNOWN}: it was not measured."
    yield "- Volumes of other units than the training data's are not noticed by the model itself."
    if contents.benchmark is None:
        yield f"- Speed and memory are {_UNKNOWN}: the run has no benchmark."
    if contents.problems:
        damaged = counted(len(contents.problems), "damaged part")
        yield f"- The run has {damaged}; what would be told of it is {_UNKNOWN}."


def _licences(manifest: Manifest) -> Iterator[str]:
    yield "## Licences\n"
    yield f"- Data set: {plain(manifest.licence)}."
    yield f"- Weights: {_UNKNOWN}; what they may be used for follows from the licence of the data set."
    yield "- Software that made them: segline, Apache-2.0."


def _ranked(evaluation: Evaluation) -> list[CaseEvaluation]:
    return sorted(evaluation.cases, key=lambda case: case.order)


def _tolerances(evaluation: Evaluation) -> str:
    given = [(figure.title, evaluation.tolerance_mm(figure)) for figure in evaluation.figures]
    return "".join(f"; {title} at {of_mm:g} mm" for title, of_mm in given if of_mm)


def _times(values: Iterable[float]) -> str:
    return "x".join(f"{value:g}" for value in values)


def _ranges(values: Sequence[Sequence[float]]) -> str:
    return ", ".join(f"{min(along):.4g} to {max(along):.4g}" for along in zip(*values, strict=True))


def _estimate(estimate: Estimate) -> tuple[str, ...]:
    interval = _NOTHING if estimate.ci95 is None else f"{estimate.ci95[0]:.4f} to {estimate.ci95[1]:.4f}"
    return (
        _figure(estimate.mean),
        interval,
        _figure(estimate.median),
        _figure(estimate.sd),
        str(estimate.count),
        str(estimate.missing),
    )


def _figure(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:.4f}"
