"""The folds of a cross-validation: a task and a split for each, and what came of each in their order."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from segline.common.errors import SeglineError
from segline.plan import Plan, Task
from segline.planning.overrides import Overrides


def fold_tasks(task: Task) -> list[Task]:
    """The task of each of the folds that ``task`` asks for: every case is tested in exactly one of them.

    Raises:
        SeglineError: it asks for fewer than two folds, for an ensemble of another number of networks, or,
            without an ensemble, names the cases of its split itself.
    """
    over = Overrides(task)
    members = over.part("ensemble").get("members", 1)
    folds = (over.members_rule() if members != 1 else over.split_rule()).folds
    if folds < 2:
        raise SeglineError(f"{over.name}.split.folds: a cross-validation needs 2 or more; 5 are usual")
    if members not in (1, folds):
        raise SeglineError(f"{over.name}.ensemble.members: {members} of {folds} folds; each fold gives one")
    return [task.override("split.fold", fold) for fold in range(folds)]


def resplit(plan: Plan, task: Task) -> Plan:
    """``plan`` with the split that ``task`` asks for; all else stays, and so do the cached cases.

    Of an ensemble's plan it is the plan of one member, none of which may see what the ensemble is tested on.

    Raises:
        SeglineError: there is no such split of its cases.
    """
    over, cases = Overrides(task), plan.split
    if plan.ensemble.members > 1:
        split = over.member_split(cases)
    else:
        split = over.split([*cases.train, *cases.val, *cases.test], cases.twins, cases.strata)
    return Plan.parse({**plan.of_one_member().model_dump(), "split": split}, over.name)


Result = TypeVar("Result")
Tested = tuple[str, frozenset[str]]
"""The digest of a data set, and cases of it: a fold is known by them, whatever was made of its plan."""


def tested_by(plan: Plan) -> Tested:
    """What a fold of this plan is known by."""
    return plan.dataset_digest, frozenset(plan.split.test)


def in_order_of_folds(results: Mapping[Tested, Result], folds: Sequence[Plan], stage: str) -> list[Result]:
    """What each of the folds has come to; ``stage`` is who asks.

    Raises:
        SeglineError: nothing came of a fold, or something of none of them.
    """
    wanted = {tested_by(plan): number for number, plan in enumerate(folds)}
    missing = [number for tested, number in wanted.items() if tested not in results]
    if missing or results.keys() - wanted.keys():
        problem = f"fold {missing[0]} of {len(folds)} is missing" if missing else "one is of no fold"
        raise SeglineError(f"{stage}: {len(results)} folds, and {problem}; run the cross-validation again")
    return [results[tested] for tested in wanted]
