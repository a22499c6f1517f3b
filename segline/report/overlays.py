"""Slices of a test case: image, truth, prediction, and where the two differ."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segline.dataset import CaseEntry, FileEntry, Manifest
from segline.digests import sha256_of_file
from segline.errors import SeglineError
from segline.evaluation import CaseEvaluation
from segline.geometry import Reorientation
from segline.metrics import Spacing
from segline.plan import Plan, Window
from segline.report.findings import Findings
from segline.report.markup import Html, data_uri, element
from segline.volumes import Volume, read_volume

PANEL_PIXELS = 360
LABEL_COLORS = ("#3fc6a0", "#f2c14e", "#c792ea", "#ff8f6b", "#7cc4ff", "#d7e36b")
"""One a foreground label, in turn; apart in lightness as well as in hue."""
AGREED, MISSED, EXTRA, SWAPPED = "#e8edf2", "#ff9e1b", "#3d8bff", "#d264b6"
"""Neutral, orange, blue and purple: kept apart by all common kinds of colour blindness."""

_MARGIN_MM = 12.0
_MARGIN_SHARE = 0.35
_SCALE_BARS_MM = (200, 100, 50, 20, 10, 5, 2, 1)


@dataclass(frozen=True)
class CaseVolumes:
    """A test case in RAS order.

    Attributes:
        image: first channel, ``(X, Y, Z)``.
        truth: class index, ``(X, Y, Z)`` uint8.
        prediction: the same of the prediction.
        spacing_mm: of the grid.
    """

    image: np.ndarray
    truth: np.ndarray
    prediction: np.ndarray
    spacing_mm: Spacing

    @classmethod
    def read(cls, manifest: Manifest, plan: Plan, case: str, mask: Path) -> "CaseVolumes":
        """Read image, label and mask.

        Raises:
            SeglineError: a file is gone, was changed since it was verified, or is on another grid.
        """
        entry = manifest.case(case)
        image, truth = _unchanged(manifest, entry.images[0]), _unchanged(manifest, entry.label)
        found = read_volume(mask, f"predictions/{mask.parent.name}/{mask.name}")
        if not found.grid.matches(truth.grid) or found.grid.shape != image.grid.shape:
            raise SeglineError(f"{mask.name}: on another grid than {entry.label.path}; evaluate again")
        turn = Reorientation.between(truth.grid.orientation, "RAS")
        return cls(
            image=turn.apply(image.array[0]),
            truth=turn.apply(_classes(truth, plan)),
            prediction=turn.apply(_classes(found, plan)),
            spacing_mm=turn.apply_to_grid(truth.grid).spacing_mm,
        )


def read_case(findings: Findings, case: CaseEvaluation) -> CaseVolumes:
    """The volumes of a test case of the reference.

    Raises:
        SeglineError: they cannot be read any more.
    """
    manifest, plan, reference = findings.contents.manifest, findings.contents.plan, findings.reference
    if manifest is None or plan is None or reference is None:
        raise SeglineError("the run's folder holds no data set or no plan")
    mask = findings.run.folder / "predictions" / reference.backend / case.mask
    return CaseVolumes.read(manifest, plan, case.case, mask)
