"""Slices of a test case: image, truth, prediction, and where the two differ."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segline.common.documents.names import predictions_of
from segline.common.errors import SeglineError
from segline.data.manifest import Manifest
from segline.evaluation.records import CaseEvaluation
from segline.imaging.files import read_volume
from segline.imaging.geometry import Affine, Reorientation, Spacing
from segline.imaging.volume import Volume
from segline.plan import Plan
from segline.report.findings import Findings
from segline.report.html.markup import Html, data_uri, element

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
        affine: of the grid, where it is known.
    """

    image: np.ndarray
    truth: np.ndarray
    prediction: np.ndarray
    spacing_mm: Spacing
    affine: Affine | None = None

    @classmethod
    def read(cls, manifest: Manifest, plan: Plan, case: str, mask: Path) -> "CaseVolumes":
        """Read image, label and mask.

        Raises:
            SeglineError: a file is gone, was changed since it was verified, or is on another grid.
        """
        entry = manifest.case(case)
        image, truth = manifest.image(entry), manifest.label(entry)
        predicted = read_volume(mask, f"{predictions_of(mask.parent.name)}/{mask.name}")
        if not predicted.grid.matches(truth.grid) or predicted.grid.shape != image.grid.shape:
            raise SeglineError(f"{mask.name}: on another grid than {entry.label_map.path}; evaluate again")
        turn = Reorientation.between(truth.grid.orientation, "RAS")
        grid = turn.apply_to_grid(truth.grid)
        return cls(
            image=turn.apply(image.array[0]),
            truth=turn.apply(_classes(truth, plan)),
            prediction=turn.apply(_classes(predicted, plan)),
            spacing_mm=grid.spacing_mm,
            affine=grid.affine,
        )


def read_case(findings: Findings, case: CaseEvaluation) -> CaseVolumes:
    """The volumes of a test case of the reference.

    Raises:
        SeglineError: they cannot be read any more.
    """
    manifest, plan, reference = findings.contents.manifest, findings.contents.plan, findings.reference
    if manifest is None or plan is None or reference is None:
        raise SeglineError("the run's folder holds no readable data set, plan or evaluation")
    mask = findings.run.folder / predictions_of(reference.backend) / case.answer
    return CaseVolumes.read(manifest, plan, case.case, mask)


def legend(plan: Plan) -> Html:
    """What the colours mean."""
    labels = _label_colors(list(plan.foreground.values()))
    errors = [("agreement", AGREED), ("missed", MISSED), ("predicted, but not there", EXTRA)]
    swapped = [("another label than the true one", SWAPPED)] if len(labels) > 1 else []
    return _legend([*labels, *errors, *swapped])


def label_legend(names: Sequence[str]) -> Html:
    """What the colours of the foreground classes mean."""
    return _legend(_label_colors(names))


def _label_colors(names: Sequence[str]) -> list[tuple[str, str]]:
    return [(name, label_color(index)) for index, name in enumerate(names, 1)]


def _legend(colors: Sequence[tuple[str, str]]) -> Html:
    entries = [element("li", element("i", style=f"background:{color}"), name) for name, color in colors]
    return element("ul", *entries, class_="legend")


def label_color(index: int) -> str:
    """The colour of a foreground class."""
    return LABEL_COLORS[(index - 1) % len(LABEL_COLORS)]


def overlay(volumes: CaseVolumes, plan: Plan, case: str) -> Html:
    """Axial and coronal panels of one case."""
    views = [View.of(volumes, name, axis) for name, axis in (("axial", 2), ("coronal", 1))]
    return element("div", *(panel for view in views for panel in _panels(view, plan, case)), class_="panels")


@dataclass(frozen=True)
class View:
    """One slice as it is shown: rows from anterior or superior down, columns from the patient's right."""

    plane: str
    number: int
    total: int
    image: np.ndarray
    truth: np.ndarray
    prediction: np.ndarray
    spacing_mm: tuple[float, float]
    """Of rows and columns."""

    @classmethod
    def of(cls, volumes: CaseVolumes, plane: str, axis: int) -> "View":
        """The slice across ``axis`` on which truth and error together are largest."""
        truth, prediction = volumes.truth, volumes.prediction
        weight = (truth > 0).astype(np.uint8) + (truth != prediction)
        across = tuple(i for i in range(3) if i != axis)
        areas = weight.sum(axis=across, dtype=np.int64)
        number = int(areas.argmax()) if areas.any() else len(areas) // 2
        image, truth, prediction = (
            np.moveaxis(array, axis, 0)[number, ::-1, ::-1].T for array in (volumes.image, truth, prediction)
        )
        spacing = volumes.spacing_mm[across[1]], volumes.spacing_mm[across[0]]
        return cls(plane, number + 1, len(areas), image.astype(np.float32), truth, prediction, spacing)

    @property
    def extent_mm(self) -> np.ndarray:
        """Height and width of the slice."""
        return np.multiply(self.image.shape, self.spacing_mm)

    def whole(self) -> "Frame":
        """The frame that holds all of the slice."""
        return Frame(self.extent_mm / 2, float(self.extent_mm.max()))

    def around_masks(self) -> "Frame":
        """A frame around truth and prediction, with some surroundings."""
        rows, columns = np.nonzero((self.truth > 0) | (self.prediction > 0))
        if not len(rows):
            return self.whole()
        low = np.array([rows.min(), columns.min()]) * self.spacing_mm
        high = np.array([rows.max() + 1, columns.max() + 1]) * self.spacing_mm
        size = float((high - low).max())
        side = min(size + 2 * max(_MARGIN_MM, _MARGIN_SHARE * size), float(self.extent_mm.max()))
        reach = np.minimum(side, self.extent_mm) / 2
        return Frame(np.clip((low + high) / 2, reach, self.extent_mm - reach), side)

    def sample(self, array: np.ndarray, frame: "Frame", order: int) -> np.ndarray:
        """``(PANEL_PIXELS, PANEL_PIXELS)`` values within ``frame``; 0 beyond the slice."""
        from scipy import ndimage

        steps = (np.arange(PANEL_PIXELS) + 0.5) / PANEL_PIXELS - 0.5
        places = [
            (centre + steps * frame.side_mm) / spacing - 0.5
            for centre, spacing in zip(frame.centre_mm, self.spacing_mm, strict=True)
        ]
        at = np.meshgrid(*places, indexing="ij")
        return np.asarray(ndimage.map_coordinates(array, at, order=order, mode="grid-constant", cval=0))


@dataclass(frozen=True)
class Frame:
    """A square of a slice: its centre from the upper left corner, and its side."""

    centre_mm: np.ndarray
    side_mm: float


def _panels(view: View, plan: Plan, case: str) -> list[Html]:
    grey = _grey(view.image, plan)
    whole, close = view.whole(), view.around_masks()
    near = view.sample(grey, close, 1)
    truth, prediction = (view.sample(mask, close, 0) for mask in (view.truth, view.prediction))
    overview = rgb(view.sample(grey, whole, 1))
    if close.side_mm < 0.9 * whole.side_mm:
        draw_frame(overview, whole, close)
    place = f"{view.plane} slice {view.number} of {view.total}"
    return [
        panel(overview, f"Image, {place}", case, whole),
        panel(with_labels(near, truth), "Truth", f"{case}, {place}", close),
        panel(with_labels(near, prediction), "Prediction", f"{case}, {place}", close),
        panel(_with_errors(near, truth, prediction), "Agreement", f"{case}, {place}", close),
    ]


def panel(pixels: np.ndarray, title: str, subject: str, frame: Frame) -> Html:
    """A picture ``(H, W, 3)`` in 0..1 of what lies in a frame, with sides, a scale and a line below."""
    bar_mm = next((mm for mm in _SCALE_BARS_MM if mm < 0.35 * frame.side_mm), None)
    bar = bar_mm and element(
        "span", f"{bar_mm} mm", class_="scale-bar", style=f"width:{100 * bar_mm / frame.side_mm:.2f}%"
    )
    marks = [element("span", letter, class_=f"mark {letter.lower()}") for letter in "RL"]
    image = element("img", src=data_uri(webp(pixels), "image/webp"), alt=f"{title} of {subject}")
    return element(
        "figure", element("div", image, *marks, bar or None), element("figcaption", title), class_="panel"
    )


def _grey(image: np.ndarray, plan: Plan) -> np.ndarray:
    """Intensities in 0..1, as the plan's rule shows them."""
    low, high = plan.preprocessing.intensity[0].display_range(image)
    return np.clip((image - low) / max(high - low, 1e-6), 0, 1).astype(np.float32)


def with_labels(grey: np.ndarray, mask: np.ndarray, opacity: float = 0.35) -> np.ndarray:
    """Grey values in 0..1 under the labels' colours, ``(H, W, 3)``."""
    painted = rgb(grey)
    for index in np.unique(mask[mask > 0]):
        _paint(painted, mask == index, label_color(int(index)), opacity)
    return painted


def _with_errors(grey: np.ndarray, truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    painted = rgb(0.55 * grey)
    areas = {
        AGREED: (truth > 0) & (truth == prediction),
        MISSED: (truth > 0) & (prediction == 0),
        EXTRA: (truth == 0) & (prediction > 0),
        SWAPPED: (truth > 0) & (prediction > 0) & (truth != prediction),
    }
    for color, area in areas.items():
        _paint(painted, area, color, 0.55 if color == AGREED else 0.88)
    return painted


def _paint(rgb: np.ndarray, area: np.ndarray, color: str, opacity: float) -> None:
    """Fill an area in place, with a firm outline."""
    from scipy import ndimage

    paint = color_of(color)
    rgb[area] = (1 - opacity) * rgb[area] + opacity * paint
    rgb[area & ~ndimage.binary_erosion(area, iterations=2)] = paint


def draw_frame(pixels: np.ndarray, whole: Frame, close: Frame) -> None:
    """Mark in place what part of a whole slice another frame shows."""
    scale = PANEL_PIXELS / whole.side_mm
    corner = (close.centre_mm - close.side_mm / 2 - whole.centre_mm + whole.side_mm / 2) * scale
    top, left = np.clip(corner, 0, PANEL_PIXELS - 1).round().astype(int)
    bottom, right = np.clip(corner + close.side_mm * scale, 0, PANEL_PIXELS - 1).round().astype(int)
    for rows, columns in (
        (slice(top, top + 2), slice(left, right)),
        (slice(bottom - 1, bottom + 1), slice(left, right)),
        (slice(top, bottom), slice(left, left + 2)),
        (slice(top, bottom), slice(right - 1, right + 1)),
    ):
        pixels[rows, columns] = color_of("#f2c14e")


def rgb(grey: np.ndarray) -> np.ndarray:
    """Grey values ``(H, W)`` as ``(H, W, 3)``."""
    return np.repeat(grey[..., None], 3, axis=2)


def color_of(name: str) -> np.ndarray:
    """A colour ``#rrggbb`` as ``(3,)`` in 0..1."""
    return np.array([int(name[i : i + 2], 16) for i in (1, 3, 5)], dtype=np.float32) / 255


def webp(rgb: np.ndarray) -> bytes:
    """A picture ``(rows, columns, 3)`` in 0..1, as a file's bytes."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray((255 * rgb).round().astype(np.uint8)).save(stream, "WEBP", quality=84)
    return stream.getvalue()


def _classes(volume: Volume, plan: Plan) -> np.ndarray:
    """Class index of every voxel, ``(X, Y, Z)`` uint8."""
    table = np.zeros(256, np.uint8)
    table[list(plan.label_values)] = range(len(plan.label_values))
    return np.asarray(table[volume.array[0].astype(np.uint8)])
