"""nnU-Net v2: what its dataset.json leaves to the names of files, and labels that are regions."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segline.common.errors import SeglineError

_IMAGES, _LABELS = "imagesTr", "labelsTr"


def listed(root: Path, content: Mapping[str, Any], channels: int) -> list[dict[str, Any]]:
    """The training cases of a folder whose ``dataset.json`` lists none, as the Decathlon would list them.

    ``dataset`` names the files of each case; without it, ``labelsTr/CASE.nii.gz`` belongs to
    ``imagesTr/CASE_0000.nii.gz``, ``imagesTr/CASE_0001.nii.gz`` and so on, with the ``file_ending`` given.

    Raises:
        SeglineError: a file of a case is missing.
    """
    if isinstance(named := content.get("dataset"), Mapping):
        return [
            {"image": case.get("images"), "label": case.get("label")}
            for case in named.values()
            if isinstance(case, Mapping)
        ]
    ending = content.get("file_ending")
    if not isinstance(ending, str) or not ending.startswith("."):
        return []
    names = sorted(path.name.removesuffix(ending) for path in (root / _LABELS).glob("*") if _is(path, ending))
    for image in sorted(path.name for path in (root / _IMAGES).glob("*") if _is(path, ending)):
        if (case := re.sub(r"_[0-9]{4}$", "", image.removesuffix(ending))) not in names:
            raise SeglineError(f"{_IMAGES}/{image}: has no {_LABELS}/{case}{ending}; add it, or take it out")
    return [
        {
            "image": [f"{_IMAGES}/{name}_{n:04d}{ending}" for n in range(channels)],
            "label": f"{_LABELS}/{name}{ending}",
        }
        for name in names
    ]


def value_names(regions: Mapping[str, Any]) -> dict[int, str]:
    """Value to name, of names to values or to lists of them, which may overlap.

    A value is called by the smallest region that has it, and by its number where that has others.

    >>> value_names({"background": 0, "whole tumour": [1, 2, 3], "core": [2, 3], "enhancing": 3})
    {0: 'background', 1: 'whole tumour, value 1', 2: 'core, value 2', 3: 'enhancing'}

    Raises:
        SeglineError: a region is no list of whole numbers.
    """
    sets = {name: _values(name, given) for name, given in regions.items()}
    names = {}
    for value in sorted({value for values in sets.values() for value in values}):
        name, values = min(
            ((name, values) for name, values in sets.items() if value in values), key=lambda one: len(one[1])
        )
        names[value] = name if len(values) == 1 else f"{name}, value {value}"
    return names


def _values(name: str, given: Any) -> Sequence[int]:
    values = given if isinstance(given, list) else [given]
    if not values or not all(type(value) is int for value in values):
        raise SeglineError(f'dataset.json: "labels": region {name!r} must list whole numbers, not {given!r}')
    return list(dict.fromkeys(values))


def _is(path: Path, ending: str) -> bool:
    return path.name.endswith(ending) and not path.name.startswith(".")
