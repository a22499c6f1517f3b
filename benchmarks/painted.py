"""Full-size CT around real spleen labels: the geometry of real scans where their images are not at hand.

    python -m benchmarks.painted path/to/Task09_Spleen_labels painted --cases 8

The phantom's anatomy is painted on each label's own grid, moved so that its spleen lies where the real label
is; the phantom's spleen gives way to fat and the label is filled with spleen.
"""

import argparse
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from segline.common import atomic
from segline.data.phantom.scanner import phantom_case, phantom_on_grid
from segline.imaging.files import read_volume, write_volume
from segline.imaging.geometry import Grid
from segline.imaging.volume import Volume

SPLEEN_HU, FAT_HU, NOISE_HU = 115.0, -95.0, 15.0
"""The phantom's own spleen, which only its place tells from the liver; ``--spleen-hu`` makes it easier."""


def paint(label: Volume, index: int, spleen_hu: float = SPLEEN_HU) -> Volume:
    """CT ``(1, X, Y, Z)`` int16 HU on the grid of ``label``."""
    inside = label.array[0] > 0
    shift = _centre_mm(phantom_case(index)[1]) - _centre_mm(label)
    affine = label.affine.copy()
    affine[:3, 3] += shift
    image, other_spleen = phantom_on_grid(Grid(label.grid.shape, affine), index)
    rng = np.random.default_rng(index)
    voxels = image.array[0].copy()
    for mask, hu in ((other_spleen.array[0] > 0, FAT_HU), (inside, spleen_hu)):
        voxels[mask] = rng.normal(hu, NOISE_HU, int(mask.sum())).astype(np.int16)
    return Volume(voxels[None], label.affine)


def paint_dataset(labels: Path, folder: Path, cases: int, spleen_hu: float = SPLEEN_HU) -> None:
    """Write a Decathlon folder with an image for each of the first ``cases`` labels; those there stay."""
    paths = sorted((labels / "labelsTr").glob("*.nii.gz"))[:cases]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda i: _write_case(i, paths[i], folder, spleen_hu), range(len(paths))))
    pairs = [{"image": f"./imagesTr/{path.name}", "label": f"./labelsTr/{path.name}"} for path in paths]
    description = {
        "name": "Painted spleen",
        "licence": "labels CC-BY-SA 4.0 (Medical Segmentation Decathlon)",
        "modality": {"0": "CT"},
        "labels": {"0": "background", "1": "spleen"},
        "training": pairs,
    }
    atomic.write_text(folder / "dataset.json", json.dumps(description, indent=1))


def main(arguments: Sequence[str] | None = None) -> None:
    """Paint a data set."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("labels", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cases", type=int, default=41)
    parser.add_argument("--spleen-hu", type=float, default=SPLEEN_HU)
    options = parser.parse_args(arguments)
    paint_dataset(options.labels, options.folder, options.cases, options.spleen_hu)


def _write_case(index: int, path: Path, folder: Path, spleen_hu: float) -> None:
    image = folder / "imagesTr" / path.name
    if image.is_file():
        return
    label = read_volume(path)
    write_volume(folder / "labelsTr" / path.name, Volume((label.array > 0).astype(np.uint8), label.affine))
    write_volume(image, paint(label, index, spleen_hu))


def _centre_mm(label: Volume) -> np.ndarray:
    """Mean world position ``(3,)`` of the labelled voxels."""
    voxels = np.argwhere(label.array[0] > 0).mean(axis=0)
    return np.asarray(label.affine[:3, :3] @ voxels + label.affine[:3, 3])


if __name__ == "__main__":
    main()
