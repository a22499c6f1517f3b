"""The yardstick of masks: scored on the untouched label files' own grids."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import EllipsisType
from typing import Any

import numpy as np

from segline.data.manifest import Manifest
from segline.evaluation.confusion import Confusion
from segline.evaluation.figures import SEGMENTATION
from segline.evaluation.masks.label_metrics import label_metrics
from segline.evaluation.masks.pairs import voxel_agreement
from segline.evaluation.records import CaseEvaluation
from segline.evaluation.roc import ScoreCounts, score_levels
from segline.evaluation.yardstick import Scored
from segline.imaging.files import read_volume
from segline.imaging.placement import Placement
from segline.imaging.preprocessing import IGNORED, Preprocessor
from segline.imaging.volume import Volume
from segline.inference.masks import MASKS as ANSWERS
from segline.inference.stitching import WindowScorer
from segline.plan import Plan


@dataclass(frozen=True)
class _Predicted:
    """What is kept of a prediction until it is scored."""

    mask: Volume
    levels: np.ndarray
    """``placement.shape`` uint8, of the scores."""
    placement: Placement


@dataclass(frozen=True)
class Masks:
    """The yardstick of segmentation; see :class:`~segline.evaluation.yardstick.Yardstick`."""

    figures = SEGMENTATION
    part = "voxel"
    how = "on the untouched label files' own grids"
    answers = ANSWERS

    def conditions(self, plan: Plan) -> dict[str, float]:
        """The tolerance of the NSD."""
        return {"nsd_tolerance_mm": plan.gate.nsd_tolerance_mm}

    def names(self, plan: Plan) -> Sequence[str]:
        """The foreground labels."""
        return list(plan.foreground.values())

    def predictor(self, plan: Plan, network: WindowScorer) -> Callable[[Volume], _Predicted]:
        """From a volume to its mask, and the scores by which it came about."""
        predictor = self.answers.predictor(plan, network)

        def predicted(volume: Volume) -> _Predicted:
            leads = predictor.leads(volume)
            levels = score_levels(leads.values)
            return _Predicted(predictor.mask(leads), levels, leads.placement)

        return predicted

    def score(self, plan: Plan, manifest: Manifest, case: str, predicted: _Predicted, folder: Path) -> Scored:
        """Figures of each label; counted are the voxels by label, and by score."""
        name = case + self.answers.suffixes[0]
        self.answers.write(folder / name, predicted.mask)
        truth = manifest.label(manifest.case(case))
        values = plan.label_values
        wanted, mask, known = _known(truth.array[0], predicted.mask.array[0], plan)
        tolerance, spacing = plan.gate.nsd_tolerance_mm, truth.grid.spacing_mm
        figures = {
            label: label_metrics(wanted == values[k], mask == values[k], spacing, tolerance).model_dump()
            for k, label in plan.foreground.items()
        }
        classes = Preprocessor(plan.preprocessing).label(truth, predicted.placement, values, plan.ignore)
        levels = predicted.levels
        if plan.ignore is not None:
            levels, classes = levels[classes != IGNORED], classes[classes != IGNORED]
        counted = (Confusion.of(wanted[known], mask[known], plan.labels), ScoreCounts.of(levels, classes))
        return Scored(CaseEvaluation(case=case, figures=figures, answer=name), counted)

    def total(self, counted: Sequence[tuple[Confusion, ScoreCounts]]) -> Mapping[str, Any]:
        """Confusion of labels and counts of scores over all voxels."""
        confusions, scores = zip(*counted, strict=True)
        return {"confusion": Confusion.total(confusions), "scores": ScoreCounts.total(scores)}

    def agreement(self, a: Path, b: Path) -> float:
        """Share of the voxels at which the masks of two files are equal, background included.

        Raises:
            SeglineError: a file cannot be read, or the two are not of one size.
        """
        return voxel_agreement(read_volume(a).array, read_volume(b).array)


def _known(
    truth: np.ndarray, mask: np.ndarray, plan: Plan
) -> tuple[np.ndarray, np.ndarray, np.ndarray | EllipsisType]:
    """Both with background where nothing is known, and where something is."""
    if plan.ignore is None:
        return truth, mask, ...
    known, background = truth != plan.ignore, plan.label_values[0]
    return np.where(known, truth, background), np.where(known, mask, background), known


MASKS = Masks()
