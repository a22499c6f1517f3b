"""Ensembles: the networks of a cross-validation's folds as one model, held against each of them."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TypeVar

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from segline.common.digests import sha256_of_file
from segline.common.documents import Document
from segline.common.errors import SeglineError
from segline.model.history import History
from segline.model.package import Model
from segline.networks.ensemble import Ensemble, separate
from segline.networks.weights import load_network
from segline.plan import CentreLine, Plan, Plane
from segline.planning.folds import in_order_of_folds, tested_by
from segline.training.shipping.domain import joined_domain

Found = TypeVar("Found")

MEMBERS = "members.json"
"""Its file in the model package."""
_SHARED = ("channels", "labels", "preprocessing", "network")
"""The parts of a plan that decide what a network is given and gives; windows are the ensemble's."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)


class Member(_Record):
    """Where one network of an ensemble comes from."""

    plan_digest: str
    weights_sha256: str
    training_minutes: float
    best_score: float | None = Field(validation_alias=AliasChoices("best_score", "best_val_dice"))


class Membership(Document):
    """The networks of an ensemble, in the order of their folds."""

    kind = "a list of members"
    stage = "assemble"

    members: tuple[Member, ...]


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
    state, domain = Ensemble(networks).state_dict(), joined_domain(ordered)
    ensemble = Model.write(folder, _voted(plan, ordered), state, None, domain)
    Membership(members=tuple(map(_member, ordered))).write(folder / MEMBERS)
    return ensemble


def members_in_order(members: Sequence[Model], folds: Sequence[Plan], stage: str) -> list[Model]:
    """The model of each fold; ``stage`` is who asks.

    Raises:
        SeglineError: a fold has none, or there is one of no fold.
    """
    return in_order_of_folds({tested_by(member.plan): member for member in members}, folds, stage)


def _require_shared(member: Model, plan: Plan) -> None:
    wanted = plan.of_one_member()
    for part in _SHARED:
        if getattr(member.plan, part) != getattr(wanted, part):
            raise SeglineError(
                f"{member.folder}: its plan has another {part} part than the ensemble's; "
                "run the cross-validation again"
            )


def _voted(plan: Plan, members: Sequence[Model]) -> Plan:
    inference, found = plan.inference, [member.plan.inference for member in members]
    if inference.planes is None and (planes := _planes_of_most([each.planes or () for each in found])):
        plan = plan.parting(planes)
    if inference.keep_largest is None and (labels := _of_most([each.keep_largest for each in found])):
        plan = plan.keeping_largest(sorted(labels))
    return plan


def _planes_of_most(found: Sequence[Sequence[Plane]]) -> list[Plane]:
    """What more than half of the members have, each told by the mean of their centre lines."""
    bare = [tuple(plane.told_by(None) for plane in planes) for planes in found]
    lines: dict[Plane, list[CentreLine | None]] = defaultdict(list)
    for plane in chain(*found):
        lines[plane.told_by(None)].append(plane.centre_line)
    return [plane.told_by(CentreLine.mean_of(lines[plane])) for plane in _of_most(bare)]


def _of_most(found: Sequence[tuple[Found, ...] | None]) -> list[Found]:
    """What more than half of the members have."""
    votes = Counter(one for each in found for one in each or ())
    return [one for one, count in votes.items() if 2 * count > len(found)]


def _member(model: Model) -> Member:
    history = History.read(model.history)
    return Member(
        plan_digest=model.plan.digest,
        weights_sha256=sha256_of_file(model.weights),
        training_minutes=history.minutes,
        best_score=history.best_score,
    )
