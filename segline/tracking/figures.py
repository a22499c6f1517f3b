"""The figures of a run by name: test, cases, folds, ensemble, speed, gate and training."""

from collections.abc import Iterator, Mapping

from segline.backends import REFERENCE
from segline.data.pseudonyms import Pseudonyms
from segline.evaluation.estimates import Estimate
from segline.evaluation.folds import CrossValidation
from segline.evaluation.records import Evaluation
from segline.runs.contents import Contents

Figure = tuple[str, float | None]
"""``None`` where it is undefined."""
_CASES = "case/"


def figures(contents: Contents, names: Pseudonyms) -> Iterator[Figure]:
    """All that a run has come to; cases go by their pseudonyms."""
    for evaluation in contents.evaluations:
        yield from _overall_figures(evaluation)
        if evaluation.backend == REFERENCE:  # the gate holds every other backend to the same figures
            yield from _case_figures(evaluation, names)
    if contents.cross_validation:
        yield from _fold_figures(contents.cross_validation)
    yield from _scalars(contents)
    if contents.history:
        yield "train/minutes", contents.history.minutes
        yield f"train/best_val_{contents.history.figure}", contents.history.best_score


def of_cases(name: str) -> bool:
    """Whether a figure is of a single case."""
    return name.startswith(_CASES)


def _scalars(contents: Contents) -> Iterator[Figure]:
    parts = {"ensemble": contents.comparison, "speed": contents.benchmark, "gate": contents.verdict}
    for group, part in parts.items():
        for name, value in part.scalars.items() if part else ():
            yield f"{group}/{name}", value


def _overall_figures(evaluation: Evaluation) -> Iterator[Figure]:
    groups = {"": evaluation.overall, **{f"/{label}": each for label, each in evaluation.by_label.items()}}
    for label, estimates in groups.items():
        yield from _estimates(f"test/{evaluation.backend}{label}", estimates)
    for name, value in evaluation.classes.scalars.items() if evaluation.classes else ():
        yield f"test/{evaluation.backend}/{name}", value
    for label, dice in evaluation.confusion.dice.items() if evaluation.confusion else ():
        yield f"test/{evaluation.backend}/{label}/accumulated_dice", dice


def _fold_figures(folds: CrossValidation) -> Iterator[Figure]:
    yield from _estimates("folds", folds.overall)
    for number, fold in enumerate(folds.folds):
        yield from _estimates(f"folds/{number}", fold.overall)


def _estimates(group: str, estimates: Mapping[str, Estimate]) -> Iterator[Figure]:
    for metric, estimate in estimates.items():
        name, (low, high) = f"{group}/{metric}", estimate.ci95 or (None, None)
        yield from ((name, estimate.mean), (f"{name}_ci95_low", low), (f"{name}_ci95_high", high))
        yield f"{name}_sd", estimate.sd


def _case_figures(evaluation: Evaluation, names: Pseudonyms) -> Iterator[Figure]:
    for case in evaluation.cases:
        for label, values in case.figures.items():
            for figure in evaluation.figures:
                yield f"{_CASES}{names[case.case]}/{label}/{figure.name}", values[figure.name]
