"""What a training learned from, to tell later how far another case lies from it."""

from collections.abc import Sequence

import numpy as np

from segline.data.cases.arriving import expect
from segline.data.cases.case import Case
from segline.inference.familiarity.domains import Domain, joined, thinned
from segline.inference.familiarity.profiles import Profile
from segline.model.package import Model
from segline.plan import Plan


def domain_of(plan: Plan, train: Sequence[Case], val: Sequence[Case]) -> Domain:
    """Of a training's cases, at most 96 of each; a few voxels of every image are read, and the label maps.

    Raises:
        SeglineError: a case cannot be fetched, or is damaged.
    """
    return Domain.learned(_profiles(plan, train), _profiles(plan, val))


def joined_domain(members: Sequence[Model]) -> Domain | None:
    """Of networks that answer together; ``None`` where one of them does not say what it learned from."""
    domains = [member.domain for member in members]
    known = [domain for domain in domains if domain]
    return joined(known) if len(known) == len(members) else None


def _profiles(plan: Plan, cases: Sequence[Case]) -> list[Profile]:
    chosen = thinned(range(len(cases)))
    expect(cases, chosen)
    return [_profile(plan, cases[number]) for number in chosen]


def _profile(plan: Plan, case: Case) -> Profile:
    has_mask = plan.network.answers == "voxels" and case.label.shape == case.shape
    return Profile.of_image(case.image, case.placement, _volumes_ml(plan, case) if has_mask else None)


def _volumes_ml(plan: Plan, case: Case) -> dict[str, float]:
    voxel_ml = case.placement.grid.voxel_ml
    return {
        name: float(np.count_nonzero(case.label == index) * voxel_ml)
        for index, name in plan.foreground.items()
    }
