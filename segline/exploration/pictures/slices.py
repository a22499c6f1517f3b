"""Slices of a case with its labels' outlines, as the report shows them."""

from collections.abc import Callable, Sequence

import numpy as np

from segline.data.manifest import CaseEntry, Manifest
from segline.imaging.geometry import Reorientation
from segline.report.html.markup import Html, element
from segline.report.pictures.overlays import (
    CaseVolumes,
    View,
    draw_frame,
    panel,
    rgb,
    with_labels,
)

Shown = Callable[[np.ndarray], tuple[float, float]]
"""Of an image, the values that are shown black and white."""
FILL = 0.12
"""Opacity of a label within its outline: the image shall be seen."""


def slices(manifest: Manifest, case: CaseEntry, shown: Shown) -> Html:
    """A case's first channel, axial and coronal, where most is labelled; whole, and near the labels.

    Raises:
        SeglineError: a file cannot be read, or was changed since it was verified.
    """
    volumes = _volumes(manifest, case)
    span = shown(volumes.image)
    views = [View.of(volumes, name, axis) for name, axis in (("axial", 2), ("coronal", 1))]
    return element("div", *(one for view in views for one in _panels(view, case.name, span)), class_="panels")


def channels(manifest: Manifest, case: CaseEntry, shown: Sequence[Shown]) -> Html:
    """All channels of a case on one axial slice.

    Raises:
        SeglineError: as :func:`slices`.
    """
    pictures = []
    for number, (name, span_of) in enumerate(zip(manifest.modalities, shown, strict=True)):
        volumes = _volumes(manifest, case, number)
        view = View.of(volumes, "axial", 2)
        whole = view.whole()
        grey = view.sample(grey_of(view.image, span_of(volumes.image)), whole, 1)
        pictures.append(panel(rgb(grey), name, f"{case.name}, {_place(view)}", whole))
    return element("div", *pictures, class_="panels")


def _volumes(manifest: Manifest, case: CaseEntry, channel: int = 0) -> CaseVolumes:
    image = manifest.image(case)
    turn = Reorientation.between(image.grid.orientation, "RAS")
    if case.label:
        labelled = turn.apply(_classes(manifest.label(case).array[0], manifest))
    else:
        labelled = np.zeros(turn.apply(image.array[0]).shape, np.uint8)
    spacing = turn.apply_to_grid(image.grid).spacing_mm
    return CaseVolumes(turn.apply(image.array[channel]), labelled, labelled, spacing)


def _classes(values: np.ndarray, manifest: Manifest) -> np.ndarray:
    """Number of each label in the order of its value, 0 for the background and what is ignored."""
    table = np.zeros(256, np.uint8)
    table[sorted(manifest.labels)] = range(len(manifest.labels))
    return np.asarray(table[values])


def _panels(view: View, case: str, span: tuple[float, float]) -> list[Html]:
    whole, close = view.whole(), view.around_masks()
    grey = grey_of(view.image, span)
    overview = with_labels(view.sample(grey, whole, 1), view.sample(view.truth, whole, 0), FILL)
    place = _place(view)
    if close.side_mm >= 0.9 * whole.side_mm:
        plain = rgb(view.sample(grey, whole, 1))
        pictures = ((plain, place, whole), (overview, "with labels", whole))
    else:
        draw_frame(overview, whole, close)
        near = with_labels(view.sample(grey, close, 1), view.sample(view.truth, close, 0), FILL)
        pictures = ((overview, place, whole), (near, "near the labels", close))
    return [panel(pixels, title, f"{case}, {place}", frame) for pixels, title, frame in pictures]


def _place(view: View) -> str:
    return f"{view.plane} slice {view.number} of {view.total}"


def grey_of(image: np.ndarray, span: tuple[float, float]) -> np.ndarray:
    """Values as grey in 0..1."""
    low, high = span
    return np.asarray(np.clip((image - low) / max(high - low, 1e-6), 0, 1), dtype=np.float32)
