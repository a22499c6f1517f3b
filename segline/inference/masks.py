"""Masks as answers: a label map on the volume's own grid."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segline.common.wording import by
from segline.imaging.dicom.algorithm import Algorithm
from segline.imaging.dicom.segmentation import segmentation, write_object
from segline.imaging.dicom.sources import Source
from segline.imaging.dicom.structured_report import structured_report
from segline.imaging.files import write_volume
from segline.imaging.volume import Volume
from segline.inference.predictor import Predictor
from segline.inference.stitching import WindowScorer
from segline.inference.stopwatch import Stopwatch
from segline.plan import Plan

_DIGITS = 4


@dataclass(frozen=True)
class Masks:
    """The answers of segmentation; see :class:`~segline.inference.answers.Answers`."""

    noun = "mask"
    suffixes = (".nii.gz", ".nii", ".nrrd")
    measure = "labelled_voxels"
    counts = True
    write_table = None

    def words(self, plan: Plan) -> str:
        """The labels and their values."""
        labels = ", ".join(f"{plan.labels[value]} ({value})" for value in plan.label_values)
        return f"a mask of {labels} on the volume's own grid"

    def labels(self, plan: Plan) -> Mapping[int, str]:
        """All but the background."""
        return plan.foreground

    def predictor(self, plan: Plan, network: WindowScorer, watch: Stopwatch | None = None) -> Predictor:
        """From a volume to its label map ``(1, X, Y, Z)`` uint8."""
        return Predictor(plan, network, watch)

    def write(self, path: Path, answer: Volume) -> None:
        """As NIfTI or NRRD."""
        write_volume(path, answer)

    def write_dicom(
        self,
        path: Path,
        answer: Volume,
        source: Source,
        plan: Plan,
        algorithm: Algorithm,
        report: Path | None = None,
    ) -> None:
        """As DICOM-SEG; the report, of a label map, is a DICOM-SR with volumes in ml.

        ``answer`` may also be how probable each label is, see
        :func:`~segline.imaging.dicom.segmentation.segmentation`.
        """
        labels = {value: plan.labels[value] for value in plan.label_values[1:]}
        segments = segmentation(answer, source, labels, algorithm)
        write_object(path, segments)
        if report:
            write_object(report, structured_report(answer, segments, source, labels, algorithm))

    def measured(self, answer: Volume) -> int:
        """Voxels that are not background."""
        return int((answer.array > 0).sum())

    def told(self, answer: Volume) -> str:
        """Size, and voxels that are not background."""
        return f"{by(answer.grid.shape)}, {self.measured(answer)} voxels labelled"

    def figures(self, plan: Plan, answer: Volume) -> dict[str, Any]:
        """Voxels that are not background, and of each label its volume in ml, 0 where it is not found."""
        voxels = np.bincount(answer.array.ravel(), minlength=256)
        ml = {
            name: round(float(voxels[value] * answer.grid.voxel_ml), _DIGITS)
            for value, name in self.labels(plan).items()
        }
        return {self.measure: self.measured(answer), "volumes_ml": ml}


MASKS = Masks()
