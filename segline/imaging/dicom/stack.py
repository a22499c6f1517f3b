"""The stack: frames that lie side by side at one distance, or what they are instead."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segline.common.errors import SeglineError
from segline.common.wording import by
from segline.imaging.dicom.frames import Frame

_UNEVEN_MM = 0.1
_SAME_PLACE_MM = 1e-2
_PARALLEL = 1e-3
"""Largest difference of a direction's parts."""
_SPACING_ROUNDING = 1e-3
_TILTED_DEGREES = 0.1


@dataclass(frozen=True)
class Stack:
    """Frames in the order of their places, each one step from the one before."""

    frames: Sequence[Frame]
    step_mm: np.ndarray
    """``(3,)`` LPS, from a frame to the next."""

    @property
    def affine_lps(self) -> np.ndarray:
        """``(4, 4)``, column, row and frame to LPS mm; sheared where the gantry was tilted."""
        first = self.frames[0]
        affine = np.eye(4)
        affine[:3, :2] = (first.directions * np.array(first.spacing_mm)[:, None]).T
        affine[:3, 2] = self.step_mm
        affine[:3, 3] = first.position_mm
        return affine

    @property
    def tilt_degrees(self) -> float:
        """Between the step and the images' normal."""
        along = abs(self.step_mm @ _normal(self.frames[0])) / np.linalg.norm(self.step_mm)
        return float(np.degrees(np.arccos(min(1.0, along))))

    @property
    def remarks(self) -> list[str]:
        """What a reader of the volume has to know."""
        if self.tilt_degrees <= _TILTED_DEGREES:
            return []
        return [
            f"the gantry was tilted by {self.tilt_degrees:.1f} degrees; answers lie on its sheared grid, "
            "which ITK opens as .nrrd and refuses as NIfTI"
        ]


def stacked(frames: Sequence[Frame], where: Path) -> Stack:
    """Sort frames into a stack.

    Raises:
        SeglineError: they are not of one size, spacing, unit and direction, not at one distance, several at
            one place, or fewer than two; in words what they seem to be.
    """
    if len(frames) < 2:
        raise SeglineError(f"{where}: a single slice; export the whole series")
    _require_parallel(frames, where)
    _require_alike(frames, where)
    normal = _normal(frames[0])
    ordered = sorted(frames, key=lambda frame: float(frame.position_mm @ normal))
    _require_places(ordered, normal, where)
    positions = np.array([frame.position_mm for frame in ordered])
    steps = np.diff(positions, axis=0)
    _require_even(steps, where)
    step = (positions[-1] - positions[0]) / len(steps)
    off = np.linalg.norm(positions - positions[0] - np.arange(len(positions))[:, None] * step, axis=1)
    if off.max() > _UNEVEN_MM:
        raise SeglineError(
            f"{where}: {ordered[int(off.argmax())].name} lies {off.max():.2f} mm off the line of the others; "
            "export one straight series"
        )
    return Stack(ordered, step)


def _require_parallel(frames: Sequence[Frame], where: Path) -> None:
    directions = np.array([frame.directions for frame in frames])
    rounded = [tuple(one.ravel().round(2)) for one in directions]
    usual = directions[rounded.index(Counter(rounded).most_common(1)[0][0])]
    odd = [
        frame for frame, one in zip(frames, directions, strict=True) if np.abs(one - usual).max() > _PARALLEL
    ]
    if odd:
        what = "a localizer" if any(one.is_localizer for one in odd) else "a localizer or another series"
        raise SeglineError(
            f"{where}: {len(odd)} of {len(frames)} images lie in another plane, such as {odd[0].name}, "
            f"{what}; take them out"
        )


def _require_alike(frames: Sequence[Frame], where: Path) -> None:
    for what, of in (
        ("size", lambda frame: by(frame.shape)),
        ("unit", lambda frame: frame.unit or "none"),
        ("frame of reference", lambda frame: str(frame.file.dataset.get("FrameOfReferenceUID", ""))),
    ):
        values = Counter(map(of, frames)).most_common()
        if len(values) > 1:
            odd = next(frame for frame in frames if of(frame) == values[-1][0])
            kind = "a localizer" if odd.is_localizer else "it belongs to another series"
            raise SeglineError(
                f"{where}: images of more than one {what}, {odd.name} with {values[-1][0]}, most with "
                f"{values[0][0]}: {kind}; take it out"
            )
    spacing = np.array([frame.spacing_mm for frame in frames])
    off = np.abs(spacing / np.median(spacing, axis=0) - 1).max(axis=1)
    if off.max() > _SPACING_ROUNDING:
        odd = frames[int(off.argmax())]
        raise SeglineError(
            f"{where}: {odd.name} has pixels of {by(odd.spacing_mm)} mm, others of "
            f"{by(map(float, np.median(spacing, axis=0)))} mm; export one series"
        )


def _require_places(ordered: Sequence[Frame], normal: np.ndarray, where: Path) -> None:
    """No two frames at one place."""
    along = np.array([frame.position_mm @ normal for frame in ordered])
    new_place = np.diff(along) > _SAME_PLACE_MM
    counts = np.bincount(np.concatenate([[0], np.cumsum(new_place)]))
    if counts.max() == 1:
        return
    first = int(np.flatnonzero(~new_place)[0])
    a, b = sorted(frame.name for frame in ordered[first : first + 2])
    if len(counts) == 1:
        what = f"{len(ordered)} images at one position, a cine or a series in time"
    elif counts.min() == counts.max():
        what = f"{counts[0]} images at each of {len(counts)} positions, such as {a} and {b}: phases or echoes"
    else:
        twice = int((counts > 1).sum())
        what = f"{twice} of {len(counts)} positions have several images, such as {a} and {b}: duplicates"
    raise SeglineError(f"{where}: {what}; leave one image at each")


def _require_even(steps: np.ndarray, where: Path) -> None:
    usual = np.median(steps, axis=0)
    off = np.abs(steps - usual).max(axis=1)
    if off.max() > _UNEVEN_MM:
        worst = int(off.argmax())
        wide, normal = np.linalg.norm(steps[worst]), np.linalg.norm(usual)
        raise SeglineError(
            f"{where}: from slice {worst + 1} to the next are {wide:.1f} mm, elsewhere {normal:.1f} mm; "
            "slices are missing or uneven, export the whole series"
        )


def _normal(frame: Frame) -> np.ndarray:
    return np.cross(*frame.directions)
