"""What is made of a network's masks, where the cases of its training say that they are no worse for it."""

from collections.abc import Iterable, Sequence
from itertools import chain, islice

import numpy as np
import torch

from segline.common.arrays import inferring
from segline.data.cases.case import Case
from segline.evaluation.equivalence import shown_worse
from segline.inference.planes import part, place_of, planes_of
from segline.inference.postprocessing import keep_largest_components
from segline.inference.stitching import WindowScorer
from segline.plan import CentreLine, Plan, Plane
from segline.training.objectives.centre_lines import learn_line, place_in
from segline.training.objectives.dice import classes_of, dice_of, leaders, leads_of, truth_of
from segline.training.objectives.meeting import planes_between

_LABEL_MAPS = 100
"""So many say whether labels are parted by planes: ten may be odd ones, and a large one takes a second."""


def better_parted(
    network: WindowScorer, plan: Plan, train: Sequence[Case], val: Sequence[Case], device: torch.device
) -> tuple[Plane, ...]:
    """The planes by which raters part labels, unless the Dice of validation cases is shown to be worse so.

    Label maps of all cases say which they are, and what their centre lines tell. Arguments as of
    :func:`~segline.training.objectives.dice.validation_dice`.
    """
    cases = islice(chain(val, train), _LABEL_MAPS)
    planes = planes_between((np.asarray(case.label) for case in cases), plan)
    if not planes:
        return ()
    errors = zip(planes, _squared_errors(network, plan, planes, val, device), strict=True)
    planes = tuple(_with_line(plane, plan, error, chain(train, val)) for plane, error in errors)
    as_it_is = torch.zeros(len(val), dtype=torch.float64)
    parted = as_it_is.clone()
    for number, case in enumerate(val):
        leads, truth = leads_of(network, plan, case, device), truth_of(case, device)
        as_it_is[number] = dice_of(leaders(leads), truth, plan).mean()
        with inferring(leads):
            part(leads, planes_of(plan.parting(planes)))
        parted[number] = dice_of(leaders(leads), truth, plan).mean()
    return () if shown_worse(parted, as_it_is) else planes


def _with_line(plane: Plane, plan: Plan, squared_error: float, cases: Iterable[Case]) -> Plane:
    """With what its centre line tells; it and the network count by how exactly they tell what is new."""
    ((axis, lower, upper, _),) = planes_of(plan.parting([plane]))
    learned = learn_line((np.asarray(case.label) for case in cases), axis, lower + 1, upper + 1)
    if learned is None or not squared_error:
        return plane
    share = round(squared_error / (squared_error + learned.squared_error), 2)
    return plane.told_by(CentreLine(start=learned.start, weights=learned.weights, share=share))


def _squared_errors(
    network: WindowScorer, plan: Plan, planes: Sequence[Plane], cases: Sequence[Case], device: torch.device
) -> list[float]:
    """Of each plane, how far the network sees it from where it is: mean over cases, voxels squared.

    It is 0 of one that none of the cases shows.
    """
    errors: list[list[int]] = [[] for _ in planes]
    partings = planes_of(plan.parting(planes))
    for case in cases:
        leads = leads_of(network, plan, case, device)
        for (axis, lower, upper, _), known in zip(partings, errors, strict=True):
            if (place := place_in(np.asarray(case.label), axis, lower + 1, upper + 1)) is not None:
                either = torch.logaddexp(leads[lower], leads[upper])
                known.append(place_of(leads, either, axis, lower, upper) - place)
    return [float(np.mean(np.square(known))) if known else 0.0 for known in errors]


def better_in_one_piece(
    network: WindowScorer, plan: Plan, cases: Sequence[Case], device: torch.device
) -> tuple[int, ...]:
    """Values of the labels of which all but the largest component had better be dropped.

    Of each it must be shown that the Dice as it is is worse. Arguments as of
    :func:`~segline.training.objectives.dice.validation_dice`.
    """
    as_it_is = torch.zeros(len(cases), len(plan.foreground), dtype=torch.float64)
    in_one_piece = as_it_is.clone()
    for number, case in enumerate(cases):
        classes, truth = classes_of(network, plan, case, device), truth_of(case, device)
        as_it_is[number] = dice_of(classes, truth, plan)
        pieces = classes.to(torch.uint8).cpu().numpy()
        keep_largest_components(pieces, plan.foreground)
        in_one_piece[number] = dice_of(torch.from_numpy(pieces).to(device), truth, plan)
    pairs = zip(plan.label_values[1:], as_it_is.T, in_one_piece.T, strict=True)
    return tuple(value for value, before, after in pairs if shown_worse(before, after))
