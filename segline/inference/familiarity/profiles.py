"""Profiles: the little that is seen of a case to tell how far it lies from others."""

import base64
import math
from collections.abc import Mapping

import numpy as np
from pydantic import BaseModel, ConfigDict, model_validator

from segline.common.errors import SeglineError
from segline.imaging.geometry import Grid, Reorientation, as_shape
from segline.imaging.placement import Placement
from segline.imaging.preprocessing import Preprocessor
from segline.imaging.resampling import block_means
from segline.imaging.volume import Volume
from segline.plan import Plan

PERCENTS = (1.0, 10.0, 25.0, 50.0, 75.0, 90.0, 99.0)
"""The percentiles that are kept."""
_EDGE = 32
"""Samples along an axis, about."""
_MOST_VOXELS = 32_000_000
"""Of an image that is preprocessed as a whole: of more, every few give its mean and deviation."""
_LAYOUT, _FLAT_LAYOUT = (6, 6, 8), (16, 16, 1)
"""Blocks along right, anterior and superior: of a volume, and of a single slice."""
_Vector = tuple[float, float, float]


class Profile(BaseModel):
    """A case as its network is given it: where it lies, how bright it is, and roughly what is where.

    No name, no date, and a few hundred block means in place of the image.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    spacing_mm: _Vector
    """Of the file, axes in RAS order."""
    extent_mm: _Vector
    """Of the file's field of view, the same way."""
    tilt_deg: float
    """Largest angle between an axis of the file and the body axis next to it."""
    percentiles: tuple[tuple[float, ...], ...] = ()
    """A channel's, after the plan's normalisation; none where the volume cannot be brought to its grid."""
    layout: str = ""
    """Block means of each channel, a float16 array in base64."""
    volumes_ml: dict[str, float] | None = None
    """Of each label, where there are masks."""

    @model_validator(mode="after")
    def _layout_fits(self) -> "Profile":
        channels, size = len(self.percentiles), len(base64.b64decode(self.layout))
        if any(len(channel) != len(PERCENTS) for channel in self.percentiles):
            raise ValueError(f"percentiles: {len(PERCENTS)} a channel are needed")
        if size not in {2 * channels * math.prod(shape) for shape in (_LAYOUT, _FLAT_LAYOUT)}:
            raise ValueError(f"layout: {size} bytes for {channels} channels")
        return self

    @classmethod
    def of_image(
        cls, image: np.ndarray, placement: Placement, volumes_ml: Mapping[str, float] | None = None
    ) -> "Profile":
        """Of a preprocessed image ``(C, X, Y, Z)``, of which every few voxels are read."""
        x, y, z = _strides(placement)
        samples = np.array(image[:, ::x, ::y, ::z], np.float32)
        return cls._of_samples(samples, placement.native_grid, volumes_ml)

    @classmethod
    def of_volume(
        cls, plan: Plan, volume: Volume, volumes_ml: Mapping[str, float] | None = None
    ) -> "Profile":
        """Of a volume, with the voxels that :meth:`of_image` would read of it, preprocessed."""
        try:
            samples = _sampled(plan, volume)
        except SeglineError:  # not for the network; how it lies can be told all the same
            return cls._of_samples(None, volume.grid, volumes_ml)
        return cls._of_samples(samples, volume.grid, volumes_ml)

    @classmethod
    def _of_samples(
        cls, samples: np.ndarray | None, grid: Grid, volumes_ml: Mapping[str, float] | None
    ) -> "Profile":
        turned = Reorientation.between(grid.orientation, "RAS").apply_to_grid(grid)
        x, y, z = turned.spacing_mm
        ex, ey, ez = (round(size * mm, 3) for size, mm in zip(turned.shape, turned.spacing_mm, strict=True))
        seen = {} if samples is None else _seen(np.nan_to_num(samples))
        volumes = None if volumes_ml is None else {name: round(ml, 4) for name, ml in volumes_ml.items()}
        return cls(
            spacing_mm=(x, y, z),
            extent_mm=(ex, ey, ez),
            tilt_deg=_tilt_deg(turned),
            volumes_ml=volumes,
            **seen,
        )

    def blocks(self) -> np.ndarray:
        """The block means ``(C, blocks)`` float32, in an order that :func:`turned` knows."""
        flat = np.frombuffer(base64.b64decode(self.layout), np.float16).astype(np.float32)
        return flat.reshape(len(self.percentiles), -1)

    def turned(self, axis: int) -> "Profile":
        """Of the same image turned around along an axis."""
        return self.model_copy(update={"layout": _as_text(turned(self.blocks(), axis))})


def turned(blocks: np.ndarray, axis: int) -> np.ndarray:
    """The block means ``(..., blocks)`` of the same images turned around along an axis; 2 is upside down."""
    shape = _FLAT_LAYOUT if blocks.shape[-1] == np.prod(_FLAT_LAYOUT) else _LAYOUT
    lead = blocks.shape[:-1]
    return np.flip(blocks.reshape(*lead, *shape), len(lead) + axis).reshape(blocks.shape)


def _strides(placement: Placement) -> tuple[int, int, int]:
    x, y, z = (max(1, size // _EDGE) for size in placement.shape)
    return x, y, z


def _sampled(plan: Plan, volume: Volume) -> np.ndarray:
    """The same voxels of the preprocessed image as every few of the whole one.

    Where a rule of intensity looks at all voxels, all are computed, unless they are very many.
    """
    preprocessor = Preprocessor(plan.preprocessing)
    placement = preprocessor.place(volume)
    x, y, z = _strides(placement)
    by_voxel = all(rule.keeps_unit for rule in plan.preprocessing.intensity)
    if not by_voxel and math.prod(placement.shape) <= _MOST_VOXELS:
        whole: np.ndarray = preprocessor.image(volume, placement)
        return whole[:, ::x, ::y, ::z]
    shape = as_shape(-(-size // every) for size, every in zip(placement.shape, (x, y, z), strict=True))
    a, b, c = placement.steps
    coarse = placement.model_copy(update={"shape": shape, "steps": (a * x, b * y, c * z)})
    few: np.ndarray = preprocessor.image(volume, coarse)
    return few


def _seen(samples: np.ndarray) -> dict[str, object]:
    """Percentiles and layout of ``(C, x, y, z)``."""
    shape = _FLAT_LAYOUT if samples.shape[-1] == 1 else _LAYOUT
    blocks = block_means(samples, shape)
    found = np.percentile(samples.reshape(len(samples), -1), PERCENTS, axis=1).T
    return {
        "percentiles": tuple(tuple(round(float(value), 4) for value in channel) for channel in found),
        "layout": _as_text(blocks),
    }


def _as_text(blocks: np.ndarray) -> str:
    return base64.b64encode(blocks.astype(np.float16).tobytes()).decode("ascii")


def _tilt_deg(grid: Grid) -> float:
    axes = grid.affine[:3, :3] / np.linalg.norm(grid.affine[:3, :3], axis=0)
    return round(float(np.degrees(np.arccos(np.clip(np.abs(np.diag(axes)), 0, 1))).max()), 2)
