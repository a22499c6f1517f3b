"""What is measured of a case in one look at it: intensities, and how each label lies."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from segline.data.fingerprint import Sample, crop_above, sample
from segline.data.manifest import CaseEntry, Manifest
from segline.imaging.geometry import Box, Reorientation

PERCENTS = (0.5, 5.0, 50.0, 95.0, 99.5)
OUTSIDE = 0
"""Stands for voxels without a label where samples are told apart by label value."""
SIDES = (("left", "right"), ("back", "front"), ("lower", "upper"))
"""Where each axis of the patient begins and ends, in RAS."""
_VOXELS_COUNTED = 200_000
"""For percentiles; evenly spaced."""


@dataclass(frozen=True)
class ChannelMeasures:
    """One channel of a case, in the unit of its file."""

    lowest: float
    highest: float
    percentiles: tuple[float, ...]
    """At :data:`PERCENTS`."""
    mean: float
    sd: float
    same_share: float
    """Share of the voxels that have the median's value."""

    @property
    def low(self) -> float:
        """Robust lower end."""
        return self.percentiles[0]

    @property
    def median(self) -> float:
        """Of all voxels."""
        return self.percentiles[len(PERCENTS) // 2]

    @property
    def bright(self) -> float:
        """What few voxels are above: tissue in CT, be the image a crop or half of it air."""
        return self.percentiles[3]

    @property
    def high(self) -> float:
        """Robust upper end."""
        return self.percentiles[-1]


@dataclass(frozen=True)
class LabelMeasures:
    """How one label lies in its volume."""

    components: int
    """Connected by faces, edges or corners."""
    largest_share: float
    """Of its voxels, in the largest component."""
    centre: tuple[float, float, float]
    """Of mass, from 0 (left, back, lower end of the volume) to 1."""
    sides: tuple[str, ...]
    """Of the volume, which it touches."""


@dataclass(frozen=True)
class CaseMeasures:
    """All that a page needs of a case's voxels."""

    channels: tuple[ChannelMeasures, ...]
    labels: Mapping[int, LabelMeasures]
    """By value, of the labels that the case has."""
    neighbours: tuple[tuple[int, int], ...]
    """Values of labels that touch each other, the lower first."""
    samples: Mapping[int, np.ndarray]
    """By label value and :data:`OUTSIDE`: intensities ``(C, n)`` float32 of evenly spaced voxels."""
    fingerprint: Sample


def measure_case(manifest: Manifest, case: CaseEntry, samples: int) -> CaseMeasures:
    """Read the files of ``case`` once; at most about ``samples`` voxels of each label are kept.

    Raises:
        SeglineError: a file cannot be read, or was changed since it was verified.
    """
    image = manifest.image(case)
    channels = tuple(_channel(channel) for channel in image.array)
    if case.label is None:
        thin = _thinned(image.array, samples)
        whole = {OUTSIDE: thin.reshape(len(thin), -1).astype(np.float32)}
        return CaseMeasures(channels, {}, (), whole, sample(image, None, crop_above(manifest)))
    values = manifest.label(case).array[0]
    labelled = manifest.is_labelled(values)
    boxes = dict(_boxes(values, labelled, manifest))
    turn = Reorientation.between(case.orientation, "RAS")
    kept = {value: _of_label(image.array, values, value, box, samples) for value, box in boxes.items()}
    return CaseMeasures(
        channels,
        {value: _label(values, value, box, turn) for value, box in boxes.items()},
        _neighbours(np.where(labelled, values, 0)) if len(boxes) > 1 else (),
        {OUTSIDE: _outside(image.array, values, samples), **kept},
        sample(image, labelled, crop_above(manifest)),
    )


def _boxes(values: np.ndarray, labelled: np.ndarray, manifest: Manifest) -> Iterator[tuple[int, Box]]:
    """The box of each label that is there."""
    from scipy import ndimage

    if not labelled.any():
        return
    for value, box in enumerate(ndimage.find_objects(values), 1):
        if box is not None and value in manifest.labels:
            yield value, box


def _channel(channel: np.ndarray) -> ChannelMeasures:
    voxels = _thinned(channel[None], _VOXELS_COUNTED).ravel().astype(np.float64)
    percentiles = tuple(float(value) for value in np.percentile(voxels, PERCENTS, method="nearest"))
    median = percentiles[len(PERCENTS) // 2]
    return ChannelMeasures(
        lowest=float(channel.min()),
        highest=float(channel.max()),
        percentiles=percentiles,
        mean=float(voxels.mean()),
        sd=float(voxels.std()),
        same_share=int(np.count_nonzero(channel == channel.dtype.type(median))) / channel.size,
    )


def _thinned(array: np.ndarray, most: int) -> np.ndarray:
    """About ``most`` voxels of ``(C, X, Y, Z)`` or more, on a coarser grid; a view."""
    step = max(1, int(np.floor((array[0].size / most) ** (1 / 3))))
    # a step of its own along each axis: thin volumes keep their slices
    steps = [min(step, max(1, size // 2)) for size in array.shape[1:]]
    return array[:, :: steps[0], :: steps[1], :: steps[2]]


def _outside(image: np.ndarray, values: np.ndarray, samples: int) -> np.ndarray:
    background = _thinned(values[None], 4 * samples)[0] == 0
    voxels = _thinned(image, 4 * samples)[:, background]
    return voxels[:, :: max(1, -(-voxels.shape[1] // samples))].astype(np.float32)


def _of_label(image: np.ndarray, values: np.ndarray, value: int, box: Box, samples: int) -> np.ndarray:
    inside = np.nonzero(values[box] == value)
    step = max(1, -(-len(inside[0]) // samples))
    places = tuple(along[::step] for along in inside)
    return np.stack([channel[box][places] for channel in image]).astype(np.float32)


def _label(values: np.ndarray, value: int, box: Box, turn: Reorientation) -> LabelMeasures:
    from scipy import ndimage

    inside = values[box] == value
    parts, components = ndimage.label(inside, np.ones((3, 3, 3)))
    sizes = np.bincount(parts.ravel())[1:]
    middle = np.array([along.mean() for along in np.nonzero(inside)]) + [side.start + 0.5 for side in box]
    relative = (middle / values.shape)[list(turn.axes)]
    centre = [1 - share if flip else share for share, flip in zip(relative, turn.flips, strict=True)]
    return LabelMeasures(
        components=int(components),
        largest_share=float(sizes.max() / sizes.sum()),
        centre=(float(centre[0]), float(centre[1]), float(centre[2])),
        sides=tuple(_sides(box, values.shape, turn)),
    )


def _sides(box: Box, shape: tuple[int, ...], turn: Reorientation) -> Iterator[str]:
    for names, axis, flip in zip(SIDES, turn.axes, turn.flips, strict=True):
        first, last = names[::-1] if flip else names
        if box[axis].start == 0:
            yield first
        if box[axis].stop == shape[axis]:
            yield last


def _neighbours(values: np.ndarray) -> tuple[tuple[int, int], ...]:
    """Pairs of labels with voxels that share a face."""
    pairs: set[tuple[int, int]] = set()
    for axis in range(3):
        first, second = np.moveaxis(values, axis, 0)[:-1], np.moveaxis(values, axis, 0)[1:]
        touching = (first != second) & (first > 0) & (second > 0)
        met = np.unique(np.stack([first[touching], second[touching]]), axis=1).T.tolist()
        pairs |= {(min(a, b), max(a, b)) for a, b in met}
    return tuple(sorted(pairs))
