"""An ensemble beside its members, on the same cases: what averaging gains, and what it costs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from segline.acceptance.benchmark import benchmark
from segline.acceptance.times import BackendTimes, Benchmark
from segline.backends import REFERENCE, open_backend
from segline.common.documents import Document
from segline.common.progress import Progress, silent
from segline.data.manifest import Manifest
from segline.evaluation.estimates import Estimate, paired_difference
from segline.evaluation.masks.yardstick import MASKS
from segline.evaluation.records import Evaluation
from segline.evaluation.scoring import evaluate
from segline.evaluation.yardstick import Yardstick
from segline.model.package import Model
from segline.training.shipping.assembly import _Record


class Standing(_Record):
    """What a model is worth on the cases that no member has seen, and what it weighs."""

    overall: dict[str, Estimate]
    weights_bytes: int


class Comparison(Document):
    """An ensemble beside its members, on the same cases."""

    kind = "a comparison of an ensemble"
    stage = "compare_members"

    cases: int
    ensemble: Standing
    members: tuple[Standing, ...]
    gains: tuple[Estimate, ...]
    """Score of a case, the ensemble's less the member's; one a member."""
    member_times: tuple[BackendTimes, ...]
    """Of the first member, on the cases of the run's benchmark."""

    @property
    def scalars(self) -> Mapping[str, float]:
        """The mean of the deciding figure of each, and what the ensemble gains over the mean member."""
        deciding = next(iter(self.ensemble.overall))
        means = {"ensemble": self.ensemble.overall[deciding].mean}
        means |= {f"member_{n}": member.overall[deciding].mean for n, member in enumerate(self.members)}
        scalars = {f"{name}_mean_{deciding}": mean for name, mean in means.items() if mean is not None}
        gains = [gain.mean for gain in self.gains if gain.mean is not None]
        return {**scalars, f"ensemble_gain_{deciding}": sum(gains) / len(gains)} if gains else scalars

    def slowdowns(self, timed: Benchmark) -> Mapping[str, float]:
        """By backend, how many times longer than one member the ensemble takes for a case, end to end."""
        of_member = {times.backend: times.end_to_end.volume_ms.p50 for times in self.member_times}
        return {
            times.backend: times.end_to_end.volume_ms.p50 / of_member[times.backend]
            for times in timed.backends
            if times.backend in of_member
        }


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
