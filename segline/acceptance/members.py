"""An ensemble beside its members, on the same cases: what averaging gains, and what it costs."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from segline.acceptance.benchmark import benchmark
from segline.acceptance.comparison import Comparison, Standing
from segline.acceptance.times import Benchmark
from segline.backends import REFERENCE, open_backend
from segline.common.progress import Progress, silent
from segline.data.manifest import Manifest
from segline.evaluation.estimates import paired_difference
from segline.evaluation.masks.yardstick import MASKS
from segline.evaluation.records import Evaluation
from segline.evaluation.scoring import evaluate
from segline.evaluation.yardstick import Yardstick
from segline.model.package import Model


def compare_members(
    ensemble: Model,
    evaluation: Evaluation,
    timed: Benchmark,
    members: Sequence[Model],
    manifest: Manifest,
    device: str = "auto",
    progress: Progress = silent,
    by: Yardstick = MASKS,
) -> Comparison:
    """Evaluate each member on the cases of the ensemble's ``evaluation``, and time the first as it was timed.

    Args:
        ensemble: whose weights are weighed.
        evaluation: its own, by the reference backend.
        timed: its own.
        members: exported packages.
        manifest: the data set.
        device: where they predict.
        progress: told of each case.
        by: what they are measured by.

    Raises:
        SeglineError: a package or a case cannot be read.
    """
    names = tuple(case.case for case in evaluation.cases)
    evaluations = []
    for member in members:
        with TemporaryDirectory() as answers:
            backend = open_backend(REFERENCE, member, device)
            evaluations.append(evaluate(member, backend, manifest, Path(answers), progress, names, by))
    backends = [times.backend for times in timed.backends]
    first = benchmark(
        members[0], backends, manifest, timed.cases, device, progress=progress, answers=by.answers
    )
    return Comparison(
        cases=len(names),
        ensemble=_standing(ensemble, evaluation),
        members=tuple(map(_standing, members, evaluations)),
        gains=tuple(paired_difference(_scores(evaluation), _scores(each)) for each in evaluations),
        member_times=first.backends,
    )


def _standing(model: Model, evaluation: Evaluation) -> Standing:
    return Standing(overall=evaluation.overall, weights_bytes=model.weights.stat().st_size)


def _scores(evaluation: Evaluation) -> list[float | None]:
    return [case.score for case in evaluation.cases]
