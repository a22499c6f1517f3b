"""A made-up data set as a Decathlon folder."""

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from segline.common import atomic
from segline.common.errors import SeglineError
from segline.imaging.files import write_volume
from segline.imaging.volume import Volume

SMALLEST_SCALE = 0.1
"""Of the real number of voxels along an axis."""
Painted = tuple[Volume, Volume]
"""Image and label."""
_AT_ONCE = 2
"""Cases; each is held in memory as floats while it is painted."""


def write_cases(
    folder: Path, names: list[str], case: Callable[[int], Painted], described: Mapping[str, Any]
) -> None:
    """Write a case for each file name, whole or not at all.

    Args:
        folder: to be made.
        names: of the image files, and of the label files.
        case: gives that of a number; from several threads at once.
        described: name, description, modality and labels, as in ``dataset.json``.

    Raises:
        SeglineError: there are no names, or ``folder`` exists and is not empty.
    """
    if not names:
        raise SeglineError("phantom: 0 cases asked for; ask for at least 1")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SeglineError(f"{folder}: exists already and is not empty; remove it or name another folder")
    with atomic.new_folder(folder) as scratch:

        def write(number: int) -> None:
            image, label = case(number)
            write_volume(scratch / "imagesTr" / names[number], image)
            write_volume(scratch / "labelsTr" / names[number], label)

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(write, range(len(names))))
        atomic.write_text(scratch / "dataset.json", json.dumps(_dataset(names, described), indent=2) + "\n")


def _dataset(names: list[str], described: Mapping[str, Any]) -> dict[str, object]:
    return {
        "name": described["name"],
        "description": described["description"],
        "reference": "segline.phantom",
        "licence": "Apache-2.0",
        "release": "1.0",
        "tensorImageSize": "3D",
        "modality": described["modality"],
        "labels": described["labels"],
        "numTraining": len(names),
        "numTest": 0,
        "training": [{"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"} for name in names],
        "test": [],
    }
