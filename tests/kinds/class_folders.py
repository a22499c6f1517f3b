"""Made-up data sets of a folder a class: pictures of shapes, and volumes of bodies."""

from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image

CLASSES = ("bar", "disc", "ring")


def write_pictures(folder: Path, each: int, size: int = 40, seed: int = 0) -> Path:
    """Grey PNG of a bar, a disc or a ring anywhere, in noise."""
    rng = np.random.default_rng(seed)
    for name in CLASSES:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(each):
            pixels = 255 * _shape(name, rng, (size, size - 4)) + rng.normal(0, 20, (size, size - 4))
            picture = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
            picture.save(folder / name / f"{number:03d}.png")
    return folder


def write_volumes(folder: Path, each: int, seed: int = 0) -> Path:
    """NIfTI of 24x22x20 voxels of 2 mm, with a cross through all slices or a ball."""
    rng = np.random.default_rng(seed)
    for name in ("ball", "cross"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(each):
            array = rng.normal(0, 20, (24, 22, 20))
            x, y, z = np.indices(array.shape) - np.array([12, 11, 10])[:, None, None, None]
            body = x**2 + y**2 + z**2 < 36 if name == "ball" else (abs(x) < 2) | (abs(y) < 2)
            array[body] += 200
            image = nib.Nifti1Image(array.astype(np.float32), np.diag([-2.0, -2.0, 2.0, 1.0]))
            nib.save(image, folder / name / f"{number:03d}.nii.gz")
    return folder


def _shape(name: str, rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    rows, columns = np.indices(size)
    row, column = rng.uniform(12, size[0] - 12), rng.uniform(12, size[1] - 12)
    distance = np.hypot(rows - row, columns - column)
    if name == "bar":
        return np.asarray(abs(rows - row) < 2.5, float)
    return np.asarray(distance < 8 if name == "disc" else abs(distance - 7) < 2, float)
