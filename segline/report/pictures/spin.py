"""A turning view of a predicted mask, and beside it the same coloured by where it is wrong."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from segline.common.errors import SeglineError
from segline.imaging.geometry import Spacing, bounding_box
from segline.report.html.markup import Html, data_uri, element
from segline.report.pictures.overlays import AGREED, EXTRA, MISSED, CaseVolumes, color_of, label_color

FRAMES = 30
VIEW_PIXELS = 256
_FRAME_MS = 100
_FINE = 2
"""Pixels drawn for one that is shown, along each axis; their mean smooths the edges."""
_LONGEST_VOXELS = 96
_TILT = np.radians(18.0)
_TO_LIGHT = np.array([-0.45, 0.6, 0.66])
"""Right, up and towards the viewer."""


@dataclass(frozen=True)
class Surface:
    """Points on surfaces.

    Attributes:
        points_mm: ``(N, 3)``, RAS.
        normals: ``(N, 3)`` unit vectors outwards.
        colors: ``(N, 3)`` in 0..1.
    """

    points_mm: np.ndarray
    normals: np.ndarray
    colors: np.ndarray

    @classmethod
    def joined(cls, parts: Sequence["Surface"]) -> "Surface":
        """Several as one."""
        return cls(
            np.concatenate([part.points_mm for part in parts]),
            np.concatenate([part.normals for part in parts]),
            np.concatenate([part.colors for part in parts]),
        )


def spin(volumes: CaseVolumes, tolerance_mm: float, subject: str) -> Html:
    """An animation of the prediction and of its errors; a still where the reader wants no motion.

    Raises:
        SeglineError: nothing was predicted and nothing is labelled.
    """
    box = _cropped(volumes)
    middle_mm = np.multiply(box.truth.shape, box.spacing_mm) / 2
    voxel_mm = float(2 * middle_mm.max() / _LONGEST_VOXELS)
    views = [_predicted(box, voxel_mm), _compared(box, voxel_mm, tolerance_mm)]
    reach_mm = max(float(np.linalg.norm(v.points_mm - middle_mm, axis=1).max(initial=1e-3)) for v in views)
    angles = np.linspace(0, 2 * np.pi, FRAMES, endpoint=False)
    frames = [
        np.concatenate([_draw(view, middle_mm, reach_mm, voxel_mm, angle) for view in views], axis=1)
        for angle in angles
    ]
    still, moving = _webp(frames[:1]), _webp(frames)
    calm = element("source", srcset=still, media="(prefers-reduced-motion: reduce), print")
    caption = f"{subject} turning about the body's long axis: prediction on the left, its errors on the right"
    image = element("img", src=moving, alt=caption, width=2 * VIEW_PIXELS, height=VIEW_PIXELS)
    return element("picture", calm, image)


def _cropped(volumes: CaseVolumes) -> CaseVolumes:
    """Only the box of truth and prediction, with a rim of background."""
    either = (volumes.truth > 0) | (volumes.prediction > 0)
    if not either.any():
        raise SeglineError("nothing was predicted and nothing is labelled in this case")
    box = bounding_box(either)
    truth, prediction = (np.pad(mask[box], 3) for mask in (volumes.truth, volumes.prediction))
    return CaseVolumes(image=np.zeros(0), truth=truth, prediction=prediction, spacing_mm=volumes.spacing_mm)


def _predicted(box: CaseVolumes, voxel_mm: float) -> Surface:
    parts = []
    for index in _classes_in(box):
        field = _field(box.prediction == index, box.spacing_mm, voxel_mm)
        color = color_of(label_color(index))
        parts.append(_surface(field, voxel_mm, partial(_in_one_color, color)))
    return Surface.joined(parts)


def _compared(box: CaseVolumes, voxel_mm: float, tolerance_mm: float) -> Surface:
    """The hull of truth and prediction of each label; what lies beyond the tolerance is an error."""
    parts = []
    for index in _classes_in(box):
        truth, prediction = box.truth == index, box.prediction == index
        hull = _field(truth | prediction, box.spacing_mm, voxel_mm)
        to_truth, to_found = (
            _distance_mm(_field(mask, box.spacing_mm, voxel_mm) > 0.5, voxel_mm)
            for mask in (truth, prediction)
        )
        parts.append(_surface(hull, voxel_mm, partial(_by_error, to_truth, to_found, tolerance_mm)))
    return Surface.joined(parts)


def _in_one_color(color: np.ndarray, shell: Any) -> np.ndarray:
    return np.tile(color, (len(shell[0]), 1))


def _by_error(to_truth: np.ndarray, to_found: np.ndarray, tolerance_mm: float, shell: Any) -> np.ndarray:
    colors = _in_one_color(color_of(AGREED), shell)
    colors[to_found[shell] > tolerance_mm] = color_of(MISSED)
    colors[to_truth[shell] > tolerance_mm] = color_of(EXTRA)
    return colors


def _classes_in(box: CaseVolumes) -> list[int]:
    classes = np.union1d(np.unique(box.truth), np.unique(box.prediction))
    return [int(index) for index in classes if index > 0]


def _field(mask: np.ndarray, spacing_mm: Spacing, voxel_mm: float) -> np.ndarray:
    """A mask as a smooth field on cubic voxels; its surface is where the field is one half."""
    from scipy import ndimage

    blocks = [max(1, int(voxel_mm / spacing)) for spacing in spacing_mm]
    means = _block_means(mask, blocks)
    sizes_mm = np.multiply(blocks, spacing_mm)
    shape = [int(np.ceil(n * size / voxel_mm)) for n, size in zip(means.shape, sizes_mm, strict=True)]
    zoom = voxel_mm / sizes_mm
    field = ndimage.affine_transform(means, zoom, 0.5 * zoom - 0.5, tuple(shape), order=1)
    smooth = np.asarray(ndimage.gaussian_filter(field, np.maximum(0.8, 0.5 / zoom)))
    peak = float(smooth.max())
    return smooth / peak if 0 < peak < 1 else smooth  # a few voxels alone would smooth away


def _block_means(mask: np.ndarray, blocks: Sequence[int]) -> np.ndarray:
    missing = [(0, -size % block) for size, block in zip(mask.shape, blocks, strict=True)]
    padded = np.pad(mask, missing)
    split = [n for size, block in zip(padded.shape, blocks, strict=True) for n in (size // block, block)]
    return np.asarray(padded.reshape(split).mean(axis=(1, 3, 5), dtype=np.float32))


def _distance_mm(mask: np.ndarray, voxel_mm: float) -> np.ndarray:
    from scipy import ndimage

    if not mask.any():
        return np.full(mask.shape, np.inf)
    return np.asarray(ndimage.distance_transform_edt(~mask, sampling=voxel_mm))


def _surface(field: np.ndarray, voxel_mm: float, colors: Callable[[Any], np.ndarray]) -> Surface:
    """The voxels just inside, moved along the gradient to where the field is one half."""
    from scipy import ndimage

    inside = field > 0.5
    shell = np.nonzero(inside & ~ndimage.binary_erosion(inside))
    slopes = np.stack([slope[shell] for slope in np.gradient(field)], axis=1)
    steepness = np.maximum(np.linalg.norm(slopes, axis=1, keepdims=True), 1e-6)
    outwards = -slopes / steepness
    move = np.clip((field[shell][:, None] - 0.5) / steepness, 0, 1.5)
    return Surface((np.stack(shell, axis=1) + 0.5 + move * outwards) * voxel_mm, outwards, colors(shell))


def _draw(
    surface: Surface, middle_mm: np.ndarray, reach_mm: float, voxel_mm: float, angle: float
) -> np.ndarray:
    """One view ``(VIEW_PIXELS, VIEW_PIXELS, 4)``, uint8 with opacity: near points painted over far ones."""
    size = VIEW_PIXELS * _FINE
    scale = 0.48 * size / reach_mm
    facing = _to_camera(surface.normals, angle)
    seen = np.flatnonzero(facing[:, 2] > -0.15)
    places = _to_camera(surface.points_mm[seen] - middle_mm, angle) * scale
    seen, places = seen[order := places[:, 2].argsort()], places[order]
    brush = max(2, int(np.ceil(1.45 * voxel_mm * scale)))
    rows, columns = np.meshgrid(np.arange(brush) - brush // 2, np.arange(brush) - brush // 2)
    at_row = (size / 2 - places[:, 1])[:, None].astype(int) + rows.ravel()
    at_column = (size / 2 + places[:, 0])[:, None].astype(int) + columns.ravel()
    canvas = np.full((size, size), -1, np.int32)
    canvas[at_row.clip(0, size - 1), at_column.clip(0, size - 1)] = seen[:, None]
    shaded = np.vstack([_shade(surface.colors, facing), np.zeros((1, 4))]).astype(np.float32)
    corners = [canvas[row::_FINE, column::_FINE] for row in range(_FINE) for column in range(_FINE)]
    view = np.mean([shaded[corner] for corner in corners], axis=0)
    view[..., :3] /= np.maximum(view[..., 3:], 1e-6)
    return np.asarray((255 * view.clip(0, 1)).round().astype(np.uint8))


def _to_camera(vectors: np.ndarray, angle: float) -> np.ndarray:
    """RAS to right, up and towards a viewer in front of the patient, a little above, after a turn."""
    x, y, up = vectors.T
    right, near = -(np.cos(angle) * x - np.sin(angle) * y), np.sin(angle) * x + np.cos(angle) * y
    tilted = np.cos(_TILT) * up - np.sin(_TILT) * near, np.cos(_TILT) * near + np.sin(_TILT) * up
    return np.stack([right, *tilted], axis=1)


def _shade(colors: np.ndarray, facing: np.ndarray) -> np.ndarray:
    """Red, green, blue and opacity of each point; Blinn and Phong's light with darker rims."""
    light = _TO_LIGHT / np.linalg.norm(_TO_LIGHT)
    halfway = light + np.array([0, 0, 1])
    diffuse = np.clip(facing @ light, 0, 1)[:, None]
    gloss = np.clip(facing @ (halfway / np.linalg.norm(halfway)), 0, 1)[:, None] ** 30
    rim = 0.65 + 0.35 * np.clip(facing[:, 2:], 0, 1)
    shaded = colors * (0.38 + 0.68 * diffuse) * rim + 0.16 * gloss
    return np.hstack([shaded.clip(0, 1), np.ones((len(colors), 1))])


def _webp(frames: Sequence[np.ndarray]) -> str:
    from PIL import Image

    first, *rest = (Image.fromarray(frame, "RGBA") for frame in frames)
    stream = io.BytesIO()
    first.save(
        stream, "WEBP", save_all=True, append_images=rest, duration=_FRAME_MS, loop=0, quality=62, method=3
    )
    return data_uri(stream.getvalue(), "image/webp")
