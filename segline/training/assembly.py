"""Ensembles: the networks of a cross-validation's folds as one model, held against each of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import BaseModel, ConfigDict

from segline.acceptance.benchmark import BackendTimes, Benchmark, benchmark
from segline.backends import REFERENCE, open_backend
from segline.common.digests import sha256_of_file
from segline.common.documents import Document
from segline.common.errors import SeglineError
from segline.common.progress import Progress, silent
from segline.data.manifest import Manifest
from segline.evaluation.estimates import Estimate, paired_difference
from segline.evaluation.folds import in_order_of_folds, tested_by
from segline.evaluation.scoring import Evaluation, evaluate
from segline.model.history import History
from segline.model.package import Model
from segline.networks.catalogue import Ensemble, load_network, separate
from segline.plan.plan import Plan

MEMBERS = "members.json"
"""Its file in the model package."""
COMPARISON = "ensemble.json"
"""Its file in the run's folder."""
_SHARED = ("channels", "labels", "preprocessing", "network")
"""The parts of a plan that decide what a network is given and gives; windows are the ensemble's."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class Member(_Part):
    """Where one network of an ensemble comes from."""

    plan_digest: str
    weights_sha256: str
    training_minutes: float
    best_val_dice: float


class Membership(Document):
    """The networks of an ensemble, in the order of their folds."""

    kind = "a list of members"
    stage = "assemble"

    members: tuple[Member, ...]


class Standing(_Part):
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
    """Mean Dice of a case, the ensemble's less the member's; one a member."""
    member_times: tuple[BackendTimes, ...]
    """Of the first member, on the cases of the run's benchmark."""

    @property
    def scalars(self) -> Mapping[str, float]:
        """The mean Dice of each, and what the ensemble gains over the mean member."""
        means = {"ensemble": self.ensemble.overall["dice"].mean}
        means |= {f"member_{n}": member.overall["dice"].mean for n, member in enumerate(self.members)}
        found = {f"{name}_mean_dice": mean for name, mean in means.items() if mean is not None}
        gains = [gain.mean for gain in self.gains if gain.mean is not None]
        return {**found, "ensemble_gain_dice": sum(gains) / len(gains)} if gains else found

    def slowdowns(self, timed: Benchmark) -> Mapping[str, float]:
        """By backend, how many times longer than one member the ensemble takes for a case, end to end."""
        of_member = {times.backend: times.end_to_end.volume_ms.p50 for times in self.member_times}
        return {
            times.backend: times.end_to_end.volume_ms.p50 / of_member[times.backend]
            for times in timed.backends
            if times.backend in of_member
        }


def assemble(members: Sequence[Model], plan: Plan, folds: Sequence[Plan], folder: Path) -> Model:
    """Put the networks of ``members`` together as the one network of ``plan``, a new package.

    Args:
        members: a trained package a fold, in any order.
        plan: of the ensemble; post-processing of which it says nothing is what most members have.
        folds: the plan of each fold, whose test cases say which member is whose.
        folder: of the new package.

    Raises:
        SeglineError: a fold has no member, there is one of no fold, or one that is asked in another way.
    """
    ordered = members_in_order(members, folds, "assemble")
    for member in ordered:
        _require_shared(member, plan)
    networks = [one for each in ordered for one in separate(load_network(each.weights, each.plan))]
    made = Model.write(folder, _voted(plan, ordered), Ensemble(networks).state_dict(), None)
    Membership(members=tuple(map(_member, ordered))).write(folder / MEMBERS)
    return made


def members_in_order(members: Sequence[Model], folds: Sequence[Plan], stage: str) -> list[Model]:
    """The model of each fold; ``stage`` is who asks.

    Raises:
        SeglineError: a fold has none, or there is one of no fold.
    """
    return in_order_of_folds({tested_by(member.plan): member for member in members}, folds, stage)


def compare_members(
    ensemble: Model,
    evaluation: Evaluation,
    timed: Benchmark,
    members: Sequence[Model],
    manifest: Manifest,
    device: str = "auto",
    progress: Progress = silent,
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

    Raises:
        SeglineError: a package or a case cannot be read.
    """
    names = tuple(case.case for case in evaluation.cases)
    evaluations = []
    for member in members:
        with TemporaryDirectory() as masks:
            backend = open_backend(REFERENCE, member, device)
            evaluations.append(evaluate(member, backend, manifest, Path(masks), progress, names))
    backends = [times.backend for times in timed.backends]
    first = benchmark(members[0], backends, manifest, timed.cases, device, progress=progress)
    return Comparison(
        cases=len(names),
        ensemble=_standing(ensemble, evaluation),
        members=tuple(map(_standing, members, evaluations)),
        gains=tuple(paired_difference(_dice(evaluation), _dice(each)) for each in evaluations),
        member_times=first.backends,
    )


def _require_shared(member: Model, plan: Plan) -> None:
    wanted = plan.of_one_member()
    for part in _SHARED:
        if getattr(member.plan, part) != getattr(wanted, part):
            raise SeglineError(
                f"{member.folder}: its plan has another {part} part than the ensemble's; "
                "run the cross-validation again"
            )


def _voted(plan: Plan, members: Sequence[Model]) -> Plan:
    if plan.inference.keep_largest is not None:
        return plan
    votes = Counter(value for member in members for value in member.plan.inference.keep_largest or ())
    most = sorted(value for value, count in votes.items() if 2 * count > len(members))
    return plan.keeping_largest(most) if most else plan


def _member(model: Model) -> Member:
    history = History.read(model.history)
    return Member(
        plan_digest=model.plan.digest,
        weights_sha256=sha256_of_file(model.weights),
        training_minutes=history.minutes,
        best_val_dice=history.best_val_dice,
    )


def _standing(model: Model, evaluation: Evaluation) -> Standing:
    return Standing(overall=evaluation.overall, weights_bytes=model.weights.stat().st_size)


def _dice(evaluation: Evaluation) -> list[float | None]:
    return [case.mean_dice for case in evaluation.cases]
