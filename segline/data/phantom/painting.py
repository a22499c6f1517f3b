"""A patient painted on a grid, organ by organ."""

from dataclasses import dataclass, replace

import numpy as np

from segline.data.phantom.anatomy import BLOBS, MUSCLES, TISSUES
from segline.data.phantom.shapes import (
    ROLL,
    WARP_MM,
    Axes,
    Blob,
    Region,
    around,
    axes_of,
    inside,
    signed_field,
    smooth_max,
    soft,
    undeformed,
    vector,
    voxel_width_mm,
    waves,
)
from segline.imaging.geometry import Grid

_EVERYWHERE: Region = (slice(None), slice(None), slice(None))
_TEXTURE_MM = 6.5  # over this length a texture changes by about one


@dataclass(frozen=True)
class Canvas:
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

    axes_mm: Axes
    points_mm: np.ndarray
    texture: tuple[np.ndarray, np.ndarray]
    image: np.ndarray
    spleen: np.ndarray
    hu: dict[str, float]
    voxel_mm: float

    def window(self, box_mm: np.ndarray) -> Region:
        """The voxels inside a box of patient space."""
        return inside(self.axes_mm, box_mm)

    def field(self, blob: Blob, window: Region) -> np.ndarray:
        """Signed distance in mm to ``blob``, negative inside, exact to first order at the surface."""
        return signed_field(self.points_mm[(slice(None), *window)], blob)

    def paint(self, field: np.ndarray, tissue: str, window: Region = _EVERYWHERE) -> None:
        """Fill where ``field`` is negative, with soft edges."""
        under = self.image[window]
        under += soft(field, self.voxel_mm) * (self._hu(tissue, window) - under)
        self.spleen[window] &= field > 0

    def _hu(self, name: str, window: Region) -> np.ndarray:
        return self.hu[name] + TISSUES[name].texture_hu * self.texture[0][window]


def paint(grid: Grid, rng: np.random.Generator) -> Canvas:
    """The patient of ``rng`` on a RAS grid, from the outside in."""
    canvas = _new_canvas(grid, rng)
    roof = _paint_torso(canvas, rng)
    _paint_bowel(canvas, roof, rng)
    _paint_liver(canvas, roof, rng)
    _paint_spleen(canvas, roof, rng)
    _paint_kidneys(canvas, rng)
    _paint_hollow(canvas, BLOBS["stomach"].vary(rng), roof, rng.uniform(-0.4, 0.9), "bowel fluid")
    _paint_bones(canvas, rng)
    return canvas


def _new_canvas(grid: Grid, rng: np.random.Generator) -> Canvas:
    """Nothing but air, and the anatomy's warp, roll and texture."""
    axes = axes_of(grid, rng.uniform(0.94, 1.06, 3))
    warp = [WARP_MM * waves(axes, rng, 110, 260) for _ in range(3)]
    return Canvas(
        axes_mm=axes,
        points_mm=undeformed(axes, rng.uniform(-ROLL, ROLL), warp),
        texture=(waves(axes, rng, 22, 70), waves(axes, rng, 30, 70)),
        image=np.full(grid.shape, -1000, np.float32),
        spleen=np.zeros(grid.shape, bool),
        hu=_draw_hu(rng),
        voxel_mm=voxel_width_mm(grid),
    )


def _draw_hu(rng: np.random.Generator) -> dict[str, float]:
    """HU of every tissue: between a plain scan and full enhancement, which no two organs take up alike."""
    contrast = rng.uniform(0, 1)
    return {
        name: tissue.plain_hu + rng.uniform(-4, 4) + tissue.uptake_hu * contrast * rng.uniform(0.8, 1.1)
        for name, tissue in TISSUES.items()
    }


def _paint_torso(canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    """Paint all that lies around the abdominal organs; give the field of the space that holds those."""
    cavity = canvas.field(BLOBS["cavity"], _EVERYWHERE)
    above_diaphragm = _diaphragm(canvas.points_mm, rng)
    _paint_table(canvas)
    _paint_wall(canvas, cavity, rng)
    _paint_chest(canvas, cavity, above_diaphragm)
    _paint_ribs(canvas, cavity, rng)
    for muscle in MUSCLES.values():
        for side in (muscle, muscle.mirrored()):
            _paint_blob(canvas, side.vary(rng), "muscle")
    _paint_blob(canvas, BLOBS["heart"].vary(rng), "heart")
    return np.maximum(cavity, above_diaphragm)


def _paint_wall(canvas: Canvas, cavity: np.ndarray, rng: np.random.Generator) -> None:
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


def _paint_chest(canvas: Canvas, cavity: np.ndarray, above_diaphragm: np.ndarray) -> None:
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


def _paint_table(canvas: Canvas) -> None:
    """A curved couch below the back."""
    right, front, _ = np.ix_(*canvas.axes_mm)
    canvas.paint(np.abs(front + 140 - right * right / 1800) - 1.5, "table")


def _paint_vessels(
    canvas: Canvas, within: np.ndarray, radius_mm: float, tissue: str, window: Region = _EVERYWHERE
) -> None:
    """Branching tubes around the lines where both textures are zero."""
    first, second = (texture[window] for texture in canvas.texture)
    tube = _TEXTURE_MM * np.sqrt(first * first + second * second) - radius_mm
    canvas.paint(np.maximum(tube, within), tissue, window)


def _paint_ribs(canvas: Canvas, cavity: np.ndarray, rng: np.random.Generator) -> None:
    """Slanted rings in the chest wall, open in front, none below the twelfth."""
    x, y, z = canvas.points_mm
    slanted = z + 0.55 * y + rng.uniform(-13, 13)
    off_centre = (slanted % 27 - 13.5) / 6.5
    in_wall = (cavity - 6.5) / 4
    ring = 4.5 * (np.sqrt(off_centre * off_centre + in_wall * in_wall) - 1)
    absent = np.maximum(np.maximum(-105 - slanted, y - 78), 22 - np.abs(x))
    canvas.paint(np.maximum(ring, absent), "cortical bone")
    canvas.paint(np.maximum(ring + 2.2, absent), "marrow")


def _paint_bowel(canvas: Canvas, roof: np.ndarray, rng: np.random.Generator) -> None:
    """A heap of small loops, and the colon around them."""
    for _ in range(22):
        centre, radii = rng.uniform((-85, -5, -125), (85, 72, -38)), rng.uniform((20, 11, 11), (40, 18, 18))
        loop = Blob(vector(centre), vector(radii), vector(rng.uniform(-90, 90, 3)))
        _paint_hollow(canvas, loop, roof, rng.uniform(0, 2.5), "bowel fluid")
    for name in ("ascending colon", "descending colon", "transverse colon", "splenic flexure"):
        _paint_hollow(canvas, BLOBS[name].vary(rng), roof, rng.uniform(-0.8, 1.2), "colon content")


def _paint_hollow(canvas: Canvas, blob: Blob, roof: np.ndarray, level: float, content: str) -> None:
    """A wall, its content, and gas in front of ``level``, -1 at the back, 1 at the front, as patients lie."""
    window = canvas.window(blob.box_mm())
    wall = np.maximum(canvas.field(blob, window), roof[window])
    canvas.paint(wall, "bowel wall", window)
    canvas.paint(wall + 3.5, content, window)
    surface = blob.centre_mm[1] + level * blob.radii_mm[1] - canvas.points_mm[(1, *window)]
    canvas.paint(np.maximum(wall + 3.5, surface), "gas", window)


def _paint_liver(canvas: Canvas, roof: np.ndarray, rng: np.random.Generator) -> None:
    """Two lobes in one, with vessels; the gall bladder below and the pancreas beside it."""
    right, left = BLOBS["liver right"].vary(rng), BLOBS["liver left"].vary(rng)
    window = canvas.window(around(right, left))
    lobes = -smooth_max(-canvas.field(right, window), -canvas.field(left, window), 15)
    liver = smooth_max(lobes, roof[window], 6)
    _paint_blob(canvas, BLOBS["pancreas"].vary(rng), "pancreas")
    canvas.paint(liver, "liver", window)
    _paint_vessels(canvas, liver + 8, 3.0, "liver vessel", window)
    _paint_blob(canvas, BLOBS["gallbladder"].vary(rng), "gallbladder")


def _paint_spleen(canvas: Canvas, roof: np.ndarray, rng: np.random.Generator) -> None:
    """A lobed body moulded by the chest wall and the dome, hollowed at the hilum; later organs dent it."""
    body = BLOBS["spleen"].vary(rng).scaled(rng.uniform(0.8, 1.3))
    window = canvas.window(body.box_mm())
    hilum = canvas.field(BLOBS["hilum"].vary(rng), window)
    lobed = canvas.field(body, window) + rng.uniform(0, 5) * canvas.texture[1][window]
    gap_mm = max(0.0, rng.uniform(-2, 3))
    spleen = smooth_max(smooth_max(lobed, -hilum, 8), roof[window] + gap_mm, 4)
    canvas.paint(spleen, "spleen", window)
    canvas.spleen[window] |= spleen <= 0


def _paint_kidneys(canvas: Canvas, rng: np.random.Generator) -> None:
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


def _paint_bones(canvas: Canvas, rng: np.random.Generator) -> None:
    """Great vessels and the spine: bodies with discs between, arch, canal and processes."""
    for name in ("aorta", "vena cava"):
        _paint_blob(canvas, BLOBS[name].vary(rng), "blood")
    spine = {name: BLOBS[name] for name in ("vertebra", "arch", "transverse process", "spinous process")}
    window = canvas.window(around(*spine.values()))
    field = {name: canvas.field(blob, window) for name, blob in spine.items()}
    off_centre = np.abs((canvas.points_mm[(2, *window)] + rng.uniform(0, 33)) % 33 - 16.5)
    canvas.paint(field["vertebra"] + 1, "disc", window)
    processes = np.minimum(field["transverse process"] + off_centre / 3, field["spinous process"])
    body = np.maximum(field["vertebra"] + 0.15 * (16.5 - off_centre), off_centre - 12.5)
    bone = np.minimum(body, np.minimum(field["arch"], np.maximum(processes, off_centre - 9)))
    canvas.paint(bone, "cortical bone", window)
    canvas.paint(bone + 2.5, "marrow", window)
    canvas.paint(canvas.field(BLOBS["canal"], window), "cord", window)


def _paint_blob(canvas: Canvas, blob: Blob, tissue: str) -> None:
    window = canvas.window(blob.box_mm())
    canvas.paint(canvas.field(blob, window), tissue, window)
