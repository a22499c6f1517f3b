"""A made-up abdomen: CT-like cases with a spleen, so that the whole line runs without network or patients.

A case is painted from signed fields in millimetres, so the same patient can be put on any grid. Only sums,
products, quotients and square roots touch the voxels: these round alike everywhere, so the bytes do not
depend on threads or vector instructions. Patient space is RAS+ with x = 0 in the midline, y = 0 in mid-body
and z = 0 at mid-spleen.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from segline.common import atomic
from segline.common.errors import SeglineError
from segline.imaging.files import write_volume
from segline.imaging.geometry import Grid, Reorientation, as_shape, spacing_mm
from segline.imaging.volume import Volume

PHANTOM_VERSION = 1
"""Raise it when this code paints other voxels: generated folders are kept by it."""

Vector = tuple[float, float, float]
"""Right, anterior, superior."""

Window = tuple[slice, slice, slice]
"""The part of a grid that a blob can reach."""

ORIENTATIONS = ("RAS", "LAS", "LPS", "LPI", "RPI")
"""Axis codes that the cases are stored in."""

_EVERYWHERE: Window = (slice(None), slice(None), slice(None))
_LONG_MM = 1e4
_WARP_MM = 5.0
_ROLL = 0.07
_SLACK_MM = 10.0  # a box leaves this for soft edges and coats
_CUT_SHARE = 0.1
_TEXTURE_MM = 6.5  # over this length a texture changes by about one


@dataclass(frozen=True)
class Blob:
    """An ellipsoid that can be tilted and made boxier.

    Args:
        centre_mm: its place in patient space.
        radii_mm: half axes before the tilt.
        tilt_deg: turns about x, then y, then z.
        boxiness: 0 is an ellipsoid, 1 a superquadric of exponent 4.
    """

    centre_mm: Vector
    radii_mm: Vector
    tilt_deg: Vector = (0.0, 0.0, 0.0)
    boxiness: float = 0.0

    def vary(self, rng: np.random.Generator) -> "Blob":
        """The same blob in another patient."""
        centre = rng.uniform(-5, 5, 3) + self.centre_mm
        radii = rng.uniform(0.9, 1.1, 3) * self.radii_mm
        tilt = rng.uniform(-8, 8, 3) + self.tilt_deg
        return replace(self, centre_mm=_vector(centre), radii_mm=_vector(radii), tilt_deg=_vector(tilt))

    def mirrored(self) -> "Blob":
        """The same on the patient's other side."""
        (x, y, z), (about_x, about_y, about_z) = self.centre_mm, self.tilt_deg
        return replace(self, centre_mm=(-x, y, z), tilt_deg=(about_x, -about_y, -about_z))

    def scaled(self, *factors: float) -> "Blob":
        """The same with its radii multiplied."""
        return replace(self, radii_mm=_vector(np.multiply(self.radii_mm, factors)))

    def moved(self, *by_mm: float) -> "Blob":
        """The same elsewhere."""
        return replace(self, centre_mm=_vector(np.add(self.centre_mm, by_mm)))

    def box_mm(self) -> np.ndarray:
        """Lowest and highest corner ``(2, 3)`` of a box around the blob, warp and roll included."""
        turned = np.abs(_rotation(self.tilt_deg)) * np.asarray(self.radii_mm)
        reach = turned.sum(axis=1) + 2 * _WARP_MM + _ROLL * np.abs(self.centre_mm).max() + _SLACK_MM
        return np.stack([self.centre_mm - reach, self.centre_mm + reach])


@dataclass(frozen=True)
class Tissue:
    """HU without contrast medium, what full enhancement adds, and the swing of its texture."""

    plain_hu: float
    uptake_hu: float = 0.0
    texture_hu: float = 4.0


TISSUES = {
    "fat": Tissue(-105),
    "skin": Tissue(5),
    "muscle": Tissue(52, 12, 5),
    "lung": Tissue(-840, 0, 25),
    "heart": Tissue(42, 90, 5),
    "bowel wall": Tissue(38, 45),
    "bowel fluid": Tissue(18, 0, 8),
    "colon content": Tissue(-20, 0, 45),
    "gas": Tissue(-960),
    "pancreas": Tissue(38, 55, 12),
    "liver": Tissue(57, 52, 5),
    "liver vessel": Tissue(40, 135),
    "gallbladder": Tissue(8),
    "spleen": Tissue(47, 78, 5),
    "renal cortex": Tissue(33, 165, 5),
    "renal medulla": Tissue(28, 60, 8),
    "renal sinus": Tissue(-50, 20, 25),
    "blood": Tissue(42, 120),
    "disc": Tissue(85),
    "cord": Tissue(25),
    "marrow": Tissue(150, 0, 30),
    "cortical bone": Tissue(480, 0, 40),
    "table": Tissue(-100),
}

BLOBS = {
    "body": Blob((0, -2, 0), (166, 116, _LONG_MM), boxiness=0.35),
    "cavity": Blob((0, 10, 0), (134, 84, _LONG_MM), boxiness=0.3),
    "heart": Blob((-28, 38, 92), (58, 46, 44), (0, 20, -25)),
    "liver right": Blob((80, 8, 0), (58, 68, 82), (-10, -10, 0), 0.25),
    "liver left": Blob((10, 44, 30), (76, 34, 34), (0, 14, 8), 0.2),
    "gallbladder": Blob((48, 52, -48), (15, 19, 26), (20, 0, 0)),
    "pancreas": Blob((-28, 6, -24), (58, 13, 15), (0, 14, 22), 0.2),
    "stomach": Blob((-58, 34, 8), (40, 36, 60), (18, -22, 0), 0.1),
    "spleen": Blob((-96, -34, 2), (40, 56, 52), (-22, 0, 14), 0.25),
    "hilum": Blob((-50, 0, -4), (28, 32, 46)),
    "kidney left": Blob((-60, -46, -48), (28, 29, 55), (-12, 12, 20), 0.1),
    "kidney right": Blob((62, -46, -66), (28, 29, 55), (-12, -12, -20), 0.1),
    "ascending colon": Blob((104, 2, -104), (23, 25, 52), boxiness=0.3),
    "descending colon": Blob((-108, -4, -100), (18, 19, 46), boxiness=0.3),
    "splenic flexure": Blob((-92, 42, -38), (24, 24, 40), (25, 12, 0), 0.3),
    "transverse colon": Blob((0, 70, -66), (95, 18, 22), (0, 0, 0), 0.4),
    "aorta": Blob((-9, -24, 0), (11, 11, _LONG_MM)),
    "vena cava": Blob((20, -18, 0), (14, 10, _LONG_MM)),
    "vertebra": Blob((0, -50, 0), (23, 18, _LONG_MM), boxiness=0.3),
    "arch": Blob((0, -76, 0), (17, 15, _LONG_MM)),
    "canal": Blob((0, -76, 0), (10, 9, _LONG_MM)),
    "transverse process": Blob((0, -78, 0), (40, 5, _LONG_MM), boxiness=0.5),
    "spinous process": Blob((0, -98, 0), (4, 20, _LONG_MM), boxiness=0.5),
}

_BOTH_SIDES = {
    "erector": Blob((36, -84, 0), (32, 21, _LONG_MM), (0, 0, 10), 0.3),
    "psoas": Blob((38, -46, -130), (17, 17, 95), (0, 8, 0)),
    "crus": Blob((16, -34, -5), (8, 16, 60)),
}
"""Muscles given for the right; the left ones are their mirror images."""


@dataclass(frozen=True)
class _Canvas:
    """A patient on a grid, half painted.

    Args:
        axes_mm: positions along right, anterior and superior.
        points_mm: where each voxel lies in the undeformed anatomy, ``(3, X, Y, Z)``.
        texture: two fields ``(X, Y, Z)`` of about unit variance.
        image: HU, ``(X, Y, Z)`` float32, painted in place.
        spleen: ``(X, Y, Z)`` bool, painted in place.
        hu: of every tissue in this patient.
        voxel_mm: width of the soft edges.
    """

    axes_mm: tuple[np.ndarray, np.ndarray, np.ndarray]
    points_mm: np.ndarray
    texture: tuple[np.ndarray, np.ndarray]
    image: np.ndarray
    spleen: np.ndarray
    hu: dict[str, float]
    voxel_mm: float

    def window(self, box_mm: np.ndarray) -> Window:
        """The voxels inside a box of patient space."""
        x, y, z = (
            slice(*np.searchsorted(axis, bounds)) for axis, bounds in zip(self.axes_mm, box_mm.T, strict=True)
        )
        return x, y, z

    def field(self, blob: Blob, window: Window) -> np.ndarray:
        """Signed distance in mm to ``blob``, negative inside, exact to first order at the surface."""
        return _field(self.points_mm[(slice(None), *window)], blob)

    def paint(self, field: np.ndarray, tissue: str, window: Window = _EVERYWHERE) -> None:
        """Fill where ``field`` is negative; the soft edge is what a box as wide as a voxel would average."""
        share = np.clip(0.5 - field / self.voxel_mm, 0, 1)
        under = self.image[window]
        under += share * (self._hu(tissue, window) - under)
        self.spleen[window] &= field > 0

    def _hu(self, name: str, window: Window) -> np.ndarray:
        return self.hu[name] + TISSUES[name].texture_hu * self.texture[0][window]


def phantom_case(index: int, seed: int = 0) -> tuple[Volume, Volume]:
    """One case: image ``(1, X, Y, Z)`` int16 in HU and label uint8 (0 background, 1 spleen).

    Field of view, spacing and orientation vary as they do between hospitals; in about one case of ten the
    spleen is cut by the end of the scan. Content depends on ``seed`` and ``index`` alone.
    """
    return phantom_on_grid(_draw_grid(_stream(index, seed, 1)), index, seed)


def phantom_on_grid(grid: Grid, index: int, seed: int = 0) -> tuple[Volume, Volume]:
    """The patient of :func:`phantom_case` scanned on another axis-aligned ``grid``; noise is drawn per grid.

    Raises:
        SeglineError: the axes of ``grid`` are not parallel to those of the world, or a number is negative.
    """
    if np.count_nonzero(grid.affine[:3, :3]) != 3:
        raise SeglineError("phantom: the grid is oblique; give an affine with one number per axis")
    to_ras = Reorientation.between(grid.orientation, "RAS")
    image, spleen = _scan(to_ras.apply_to_grid(grid), _stream(index, seed, 0))
    image, spleen = (np.ascontiguousarray(to_ras.undo(array)) for array in (image, spleen))
    return Volume(image[None], grid.affine), Volume(spleen[None], grid.affine)


def write_phantom(folder: Path, cases: int, seed: int = 0) -> None:
    """Write ``cases`` cases as a Decathlon folder, whole or not at all, with the same bytes every time.

    Raises:
        SeglineError: ``cases`` is below 1, or ``folder`` exists and is not empty.
    """
    if cases < 1:
        raise SeglineError(f"phantom: {cases} cases asked for; ask for at least 1")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SeglineError(f"{folder}: exists already and is not empty; remove it or name another folder")
    with atomic.new_folder(folder) as scratch:
        names = [f"phantom_{index:03d}.nii.gz" for index in range(cases)]
        for index, name in enumerate(names):
            image, label = phantom_case(index, seed)
            write_volume(scratch / "imagesTr" / name, image)
            write_volume(scratch / "labelsTr" / name, label)
        atomic.write_text(scratch / "dataset.json", json.dumps(_dataset(names), indent=2) + "\n")


def _dataset(names: Sequence[str]) -> dict[str, object]:
    return {
        "name": "Phantom",
        "description": "Made-up abdominal CT with the spleen as target; no patient was scanned",
        "reference": "segline.phantom",
        "licence": "Apache-2.0",
        "release": "1.0",
        "tensorImageSize": "3D",
        "modality": {"0": "CT"},
        "labels": {"0": "background", "1": "spleen"},
        "numTraining": len(names),
        "numTest": 0,
        "training": [{"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"} for name in names],
        "test": [],
    }


def _stream(index: int, seed: int, purpose: int) -> np.random.Generator:
    """Random numbers of their own for every case, and for its patient apart from its grid."""
    if min(index, seed) < 0:
        raise SeglineError(f"phantom: index {index}, seed {seed}; give numbers of 0 or more")
    return np.random.default_rng([seed, index, purpose])


def _draw_grid(rng: np.random.Generator) -> Grid:
    """A field of view that holds the spleen, or, now and then, cuts it, in some orientation."""
    in_plane_mm = rng.uniform(1.8, 2.6)
    spacing = np.array([in_plane_mm, in_plane_mm, rng.uniform(3, 6)]).round(3)
    low, high = rng.uniform(-115, -85), rng.uniform(72, 100)
    if rng.random() < _CUT_SHARE:
        low, high = rng.choice([(-12.0, 120.0), (-150.0, 8.0)])
    extent = np.array([rng.uniform(315, 375), rng.uniform(250, 290), high - low])
    centre = np.array([rng.uniform(-10, 10), rng.uniform(-10, 6), (low + high) / 2])
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = (centre - extent / 2).round(2)
    grid = Grid(as_shape(extent // spacing + 1), affine)
    return Reorientation.between("RAS", str(rng.choice(ORIENTATIONS))).apply_to_grid(grid)


def _scan(grid: Grid, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Image int16 and label uint8, ``(X, Y, Z)``, on a RAS grid; only the noise is drawn per grid."""
    canvas = _new_canvas(grid, rng)
    roof = _paint_torso(canvas, rng)
    _paint_bowel(canvas, roof, rng)
    _paint_liver(canvas, roof, rng)
    _paint_spleen(canvas, roof, rng)
    _paint_kidneys(canvas, rng)
    _paint_hollow(canvas, BLOBS["stomach"].vary(rng), roof, rng.uniform(-0.4, 0.9), "bowel fluid")
    _paint_bones(canvas, rng)
    noisy = canvas.image + _noise(canvas.image, rng)
    return np.clip(np.rint(noisy), -1024, 3071).astype(np.int16), canvas.spleen.astype(np.uint8)


def _new_canvas(grid: Grid, rng: np.random.Generator) -> _Canvas:
    """Nothing but air, and the anatomy's warp, roll and texture."""
    spacing, origin = spacing_mm(grid.affine), grid.affine[:3, 3]
    size = rng.uniform(0.94, 1.06, 3)
    x, y, z = ((origin[i] + spacing[i] * np.arange(grid.shape[i])) / size[i] for i in range(3))
    warp = [_WARP_MM * _waves((x, y, z), rng, 110, 260) for _ in range(3)]
    roll = rng.uniform(-_ROLL, _ROLL)
    right, front, up = (axis.astype(np.float32) for axis in np.ix_(x, y, z))
    points = np.stack([right - roll * front + warp[0], front + roll * right + warp[1], up + warp[2]])
    return _Canvas(
        axes_mm=(x, y, z),
        points_mm=points,
        texture=(_waves((x, y, z), rng, 22, 70), _waves((x, y, z), rng, 30, 70)),
        image=np.full(grid.shape, -1000, np.float32),
        spleen=np.zeros(grid.shape, bool),
        hu=_draw_hu(rng),
        voxel_mm=float(np.cbrt(np.prod(spacing))),
    )


def _draw_hu(rng: np.random.Generator) -> dict[str, float]:
    """HU of every tissue: between a plain scan and full enhancement, which no two organs take up alike."""
    contrast = rng.uniform(0, 1)
    return {
        name: tissue.plain_hu + rng.uniform(-4, 4) + tissue.uptake_hu * contrast * rng.uniform(0.8, 1.1)
        for name, tissue in TISSUES.items()
    }


def _paint_torso(canvas: _Canvas, rng: np.random.Generator) -> np.ndarray:
    """Paint all that lies around the abdominal organs; give the field of the space that holds those."""
    cavity = canvas.field(BLOBS["cavity"], _EVERYWHERE)
    above_diaphragm = _diaphragm(canvas.points_mm, rng)
    _paint_table(canvas)
    _paint_wall(canvas, cavity, rng)
    _paint_chest(canvas, cavity, above_diaphragm)
    _paint_ribs(canvas, cavity, rng)
    for muscle in _BOTH_SIDES.values():
        for side in (muscle, muscle.mirrored()):
            _paint_blob(canvas, side.vary(rng), "muscle")
    _paint_blob(canvas, BLOBS["heart"].vary(rng), "heart")
    return np.maximum(cavity, above_diaphragm)


def _paint_wall(canvas: _Canvas, cavity: np.ndarray, rng: np.random.Generator) -> None:
    """Skin, fat, muscle, and the fat inside with its vessels."""
    right, anterior, superior = BLOBS["body"].radii_mm
    thinner_mm = rng.uniform(-10, 6)
    stature = replace(BLOBS["body"], radii_mm=(right - thinner_mm, anterior - thinner_mm, superior))
    body = canvas.field(stature, _EVERYWHERE)
    canvas.paint(body, "skin")
    canvas.paint(body + 2.5, "fat")
    canvas.paint(cavity - rng.uniform(12, 16), "muscle")
    canvas.paint(cavity, "fat")
    _paint_vessels(canvas, cavity + 3, 1.8, "blood")


def _paint_chest(canvas: _Canvas, cavity: np.ndarray, above_diaphragm: np.ndarray) -> None:
    """Lungs, their vessels, and the sheet of muscle below them."""
    lung = np.maximum(cavity + 1, 3 - above_diaphragm)
    canvas.paint(np.maximum(cavity, -above_diaphragm), "muscle")
    canvas.paint(lung, "lung")
    _paint_vessels(canvas, lung + 2, 1.8, "heart")


def _diaphragm(points_mm: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Distance in mm above two domes that fall towards the sides, the back and the front."""
    x, y, z = points_mm
    lean = x / np.sqrt(x * x + 900)
    beyond = np.maximum(np.abs(x) - 62, 0)
    dip = 20 / (1 + x * x / 900)
    height = rng.uniform(56, 68) + 7 * lean - 0.011 * beyond**2 - 0.006 * (y - 18) ** 2 - dip
    return 0.75 * (z - height)


def _paint_table(canvas: _Canvas) -> None:
    """A curved couch below the back."""
    right, front, _ = np.ix_(*canvas.axes_mm)
    canvas.paint(np.abs(front + 140 - right * right / 1800) - 1.5, "table")


def _paint_vessels(
    canvas: _Canvas, within: np.ndarray, radius_mm: float, tissue: str, window: Window = _EVERYWHERE
) -> None:
    """Branching tubes around the lines where both textures are zero."""
    first, second = (texture[window] for texture in canvas.texture)
    tube = _TEXTURE_MM * np.sqrt(first * first + second * second) - radius_mm
    canvas.paint(np.maximum(tube, within), tissue, window)


def _paint_ribs(canvas: _Canvas, cavity: np.ndarray, rng: np.random.Generator) -> None:
    """Slanted rings in the chest wall, open in front, none below the twelfth."""
    x, y, z = canvas.points_mm
    slanted = z + 0.55 * y + rng.uniform(-13, 13)
    off_centre = (slanted % 27 - 13.5) / 6.5
    in_wall = (cavity - 6.5) / 4
    ring = 4.5 * (np.sqrt(off_centre * off_centre + in_wall * in_wall) - 1)
    absent = np.maximum(np.maximum(-105 - slanted, y - 78), 22 - np.abs(x))
    canvas.paint(np.maximum(ring, absent), "cortical bone")
    canvas.paint(np.maximum(ring + 2.2, absent), "marrow")


def _paint_bowel(canvas: _Canvas, roof: np.ndarray, rng: np.random.Generator) -> None:
    """A heap of small loops, and the colon around them."""
    for _ in range(22):
        centre, radii = rng.uniform((-85, -5, -125), (85, 72, -38)), rng.uniform((20, 11, 11), (40, 18, 18))
        loop = Blob(_vector(centre), _vector(radii), _vector(rng.uniform(-90, 90, 3)))
        _paint_hollow(canvas, loop, roof, rng.uniform(0, 2.5), "bowel fluid")
    for name in ("ascending colon", "descending colon", "transverse colon", "splenic flexure"):
        _paint_hollow(canvas, BLOBS[name].vary(rng), roof, rng.uniform(-0.8, 1.2), "colon content")


def _paint_hollow(canvas: _Canvas, blob: Blob, roof: np.ndarray, level: float, content: str) -> None:
    """A wall, its content, and gas in front of ``level``, -1 at the back, 1 at the front, as patients lie."""
    window = canvas.window(blob.box_mm())
    wall = np.maximum(canvas.field(blob, window), roof[window])
    canvas.paint(wall, "bowel wall", window)
    canvas.paint(wall + 3.5, content, window)
    surface = blob.centre_mm[1] + level * blob.radii_mm[1] - canvas.points_mm[(1, *window)]
    canvas.paint(np.maximum(wall + 3.5, surface), "gas", window)


def _paint_liver(canvas: _Canvas, roof: np.ndarray, rng: np.random.Generator) -> None:
    """Two lobes in one, with vessels; the gall bladder below and the pancreas beside it."""
    right, left = BLOBS["liver right"].vary(rng), BLOBS["liver left"].vary(rng)
    window = canvas.window(_around(right, left))
    lobes = -_smooth_max(-canvas.field(right, window), -canvas.field(left, window), 15)
    liver = _smooth_max(lobes, roof[window], 6)
    _paint_blob(canvas, BLOBS["pancreas"].vary(rng), "pancreas")
    canvas.paint(liver, "liver", window)
    _paint_vessels(canvas, liver + 8, 3.0, "liver vessel", window)
    _paint_blob(canvas, BLOBS["gallbladder"].vary(rng), "gallbladder")


def _paint_spleen(canvas: _Canvas, roof: np.ndarray, rng: np.random.Generator) -> None:
    """A lobed body moulded by the chest wall and the dome, hollowed at the hilum; later organs dent it."""
    body = BLOBS["spleen"].vary(rng).scaled(rng.uniform(0.8, 1.3))
    window = canvas.window(body.box_mm())
    hilum = canvas.field(BLOBS["hilum"].vary(rng), window)
    lobed = canvas.field(body, window) + rng.uniform(0, 5) * canvas.texture[1][window]
    gap_mm = max(0.0, rng.uniform(-2, 3))
    spleen = _smooth_max(_smooth_max(lobed, -hilum, 8), roof[window] + gap_mm, 4)
    canvas.paint(spleen, "spleen", window)
    canvas.spleen[window] |= spleen <= 0


def _paint_kidneys(canvas: _Canvas, rng: np.random.Generator) -> None:
    """Cortex, medulla and sinus, in a coat of fat that may be too thin to part kidney from spleen."""
    coat_mm = max(0.0, rng.uniform(-2, 4))
    for name, medial in (("kidney left", 1), ("kidney right", -1)):
        blob = BLOBS[name].vary(rng)
        window = canvas.window(blob.box_mm())
        kidney = canvas.field(blob, window)
        pelvis = blob.scaled(0.45, 0.35, 0.45).moved(medial * 14, 6, 0)
        canvas.paint(kidney - coat_mm, "fat", window)
        canvas.paint(kidney, "renal cortex", window)
        canvas.paint(kidney + 7 + 2 * canvas.texture[1][window], "renal medulla", window)
        canvas.paint(canvas.field(pelvis, window), "renal sinus", window)


def _paint_bones(canvas: _Canvas, rng: np.random.Generator) -> None:
    """Great vessels and the spine: bodies with discs between, arch, canal and processes."""
    for name in ("aorta", "vena cava"):
        _paint_blob(canvas, BLOBS[name].vary(rng), "blood")
    spine = {name: BLOBS[name] for name in ("vertebra", "arch", "transverse process", "spinous process")}
    window = canvas.window(_around(*spine.values()))
    field = {name: canvas.field(blob, window) for name, blob in spine.items()}
    off_centre = np.abs((canvas.points_mm[(2, *window)] + rng.uniform(0, 33)) % 33 - 16.5)
    canvas.paint(field["vertebra"] + 1, "disc", window)
    processes = np.minimum(field["transverse process"] + off_centre / 3, field["spinous process"])
    body = np.maximum(field["vertebra"] + 0.15 * (16.5 - off_centre), off_centre - 12.5)
    bone = np.minimum(body, np.minimum(field["arch"], np.maximum(processes, off_centre - 9)))
    canvas.paint(bone, "cortical bone", window)
    canvas.paint(bone + 2.5, "marrow", window)
    canvas.paint(canvas.field(BLOBS["canal"], window), "cord", window)


def _paint_blob(canvas: _Canvas, blob: Blob, tissue: str) -> None:
    window = canvas.window(blob.box_mm())
    canvas.paint(canvas.field(blob, window), tissue, window)


def _field(points_mm: np.ndarray, blob: Blob) -> np.ndarray:
    """Signed distance ``(X, Y, Z)`` to ``blob``: (norm - 1) over the length of its gradient."""
    turned = _rotation(blob.tilt_deg).astype(np.float32).T
    moved = [points - np.float32(centre) for points, centre in zip(points_mm, blob.centre_mm, strict=True)]
    second, fourth, steep = (np.zeros_like(moved[0]) for _ in range(3))
    for row, radius in zip(turned, blob.radii_mm, strict=True):
        squared = ((row[0] * moved[0] + row[1] * moved[1] + row[2] * moved[2]) / np.float32(radius)) ** 2
        second += squared
        fourth += squared * squared
        steep += squared / np.float32(radius**2)
    squared_norm = (1 - blob.boxiness) * second + blob.boxiness * np.sqrt(fourth)
    # The small terms keep the centre finite, where both the norm and its gradient vanish.
    tiny = 1e-4
    per_norm = np.sqrt((squared_norm + tiny) / (steep + tiny / min(blob.radii_mm) ** 2))
    return (np.sqrt(squared_norm) - 1) * per_norm


def _smooth_max(first: np.ndarray, second: np.ndarray, width_mm: float) -> np.ndarray:
    """The larger of two fields with the crease between them rounded over ``width_mm``."""
    apart = first - second
    return (first + second + np.sqrt(apart * apart + width_mm**2 / 4)) / 2


def _waves(
    axes_mm: Sequence[np.ndarray], rng: np.random.Generator, shortest_mm: float, longest_mm: float
) -> np.ndarray:
    """Five plane waves ``(X, Y, Z)`` of random direction, of unit variance together.

    A plane wave is the product of one complex exponential an axis, so no voxel costs a sine.
    """
    total = np.zeros([len(axis) for axis in axes_mm], np.float32)
    for _ in range(5):
        direction = rng.standard_normal(3)
        wave = direction / np.linalg.norm(direction) * 2 * np.pi / rng.uniform(shortest_mm, longest_mm)
        phases = [k * axis for k, axis in zip(wave, axes_mm, strict=True)]
        plane = np.exp(1j * (phases[0][:, None] + phases[1] + rng.uniform(0, 2 * np.pi)))[..., None]
        up = np.exp(1j * phases[2])
        total += plane.real.astype(np.float32) * up.real.astype(np.float32)
        total -= plane.imag.astype(np.float32) * up.imag.astype(np.float32)
    return total * np.float32(np.sqrt(2 / 5))


def _noise(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Noise in HU, blurred in the slice as a reconstruction does, and quieter in air."""
    noise: np.ndarray = rng.standard_normal(image.shape, np.float32)
    for axis in (0, 1):
        blurred = noise + 0.5 * (np.roll(noise, 1, axis) + np.roll(noise, -1, axis))
        noise = blurred / np.float32(np.sqrt(1.5))
    return rng.uniform(8, 25) * noise * np.clip((image + 1300) / 1200, 0.3, 1)


def _rotation(tilt_deg: Vector) -> np.ndarray:
    """Rotation matrix ``(3, 3)``: about x, then y, then z."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(np.deg2rad(tilt_deg)), np.sin(np.deg2rad(tilt_deg))
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x)


def _around(*blobs: Blob) -> np.ndarray:
    """One box ``(2, 3)`` around several blobs."""
    boxes = np.stack([blob.box_mm() for blob in blobs])
    return np.stack([boxes[:, 0].min(axis=0), boxes[:, 1].max(axis=0)])


def _vector(values: Sequence[float] | np.ndarray) -> Vector:
    x, y, z = (float(value) for value in values)
    return x, y, z
