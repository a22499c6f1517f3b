"""A folder a case, a file a modality, as BraTS hands out its cases: told by the names of files.

``BraTS20_Training_001/BraTS20_Training_001_{flair,t1,t1ce,t2,seg}.nii.gz``: what differs between the names of
a case's files is the modality, and the file with ``seg`` in its name is the label map.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segline.common.documents import read_json_object
from segline.common.errors import SeglineError
from segline.data.declarations.decathlon import (
    INDEX,
    LARGEST,
    LARGEST_LABEL,
    Declaration,
    Pair,
    declared_labels,
    declared_modalities,
    require_names,
)
from segline.data.declarations.folders import VOLUMES, files_of, folders_of, licence_of, stem_of
from segline.imaging.files import read_to_learn

_LABEL = "seg"
_LISTS_CASES = ("training", "dataset", "file_ending")
"""Keys with which a ``dataset.json`` says itself where its cases lie."""
_SEPARATOR = re.compile(r"[_\-. ]+")
_READERS = 2


def has_case_folders(root: Path) -> bool:
    """Whether most folders with volumes have label maps, half of the files at most.

    Raises:
        SeglineError: ``dataset.json`` cannot be read.
    """
    if set(_LISTS_CASES) & _index(root).keys():
        return False
    folders = [[*files_of(folder, VOLUMES)] for folder in folders_of(root)]
    filled = [files for files in folders if files]
    cases = [files for files in filled if 0 < 2 * sum(map(_is_label, files)) <= len(files)]
    return len(cases) * 2 > len(filled)


def read_case_folders(root: Path) -> Declaration:
    """Every folder with volumes is a case.

    Labels are the values that occur, and channels in the order of their names, unless ``dataset.json`` says
    otherwise.

    Raises:
        SeglineError: a case has no label map or two, lacks a modality or has one that others have not; or
            label values or names cannot be used.
    """
    content = _index(root)
    cases = [_files(folder) for folder in folders_of(root) if any(files_of(folder, VOLUMES))]
    modalities = _modalities(cases, content)
    require_names(modalities, "modality")
    pairs = tuple(_pair(root, case, modalities) for case in cases)
    if "labels" in content:
        labels, ignore = declared_labels(content["labels"])
    else:
        labels, ignore = _labels_that_occur(root, pairs), None
    return Declaration(
        name=str(content.get("name") or root.name),
        licence=str(content.get("licence") or content.get("license") or licence_of(root)),
        modalities=modalities,
        labels=labels,
        ignore=ignore,
        pairs=pairs,
    )


@dataclass(frozen=True)
class _Files:
    """Of a case."""

    name: str
    label: Path
    images: Mapping[str, Path]
    """By what they are called without what all of them share."""


def _index(root: Path) -> Mapping[str, Any]:
    return read_json_object(root / INDEX, INDEX, LARGEST) if (root / INDEX).is_file() else {}


def _is_label(path: Path) -> bool:
    return _LABEL in _own_name(path).lower()


def _own_name(path: Path) -> str:
    """Without the name of its folder, which may have any letters."""
    return _SEPARATOR.sub("_", stem_of(path, VOLUMES).removeprefix(path.parent.name)).strip("_")


def _files(folder: Path) -> _Files:
    paths = sorted(files_of(folder, VOLUMES))
    labels = [path for path in paths if _is_label(path)]
    if not labels:
        raise SeglineError(
            f"{folder.name}: no file has {_LABEL!r} in its name; add the label map, or take it out"
        )
    if len(labels) > 1:
        raise SeglineError(
            f"{folder.name}: {labels[0].name} and {labels[1].name} both have {_LABEL!r} in their names; "
            "leave the one that is the label map"
        )
    images = [path for path in paths if path not in labels]
    return _Files(folder.name, labels[0], _by_modality(folder, images))


def _by_modality(folder: Path, images: Sequence[Path]) -> Mapping[str, Path]:
    """By the parts of their names that differ, between ``_``, ``-``, dots and spaces."""
    parts = [_own_name(path).split("_") for path in images]
    shortest = min(map(len, parts), default=0)
    first = _shared(parts, shortest - 1) if len(parts) > 1 else 0
    last = _shared([names[::-1] for names in parts], shortest - 1 - first) if len(parts) > 1 else 0
    named: dict[str, Path] = {}
    for names, path in zip(parts, images, strict=True):
        other = named.setdefault("_".join(names[first : len(names) - last]), path)
        if other != path:
            raise SeglineError(f"{folder.name}: {other.name} and {path.name} are of one modality; leave one")
    return named


def _shared(parts: Sequence[Sequence[str]], most: int) -> int:
    """How many of the first parts are the same in all, ``most`` at most."""
    same = (len(set(column)) == 1 for column in list(zip(*parts, strict=False))[:most])
    return next((number for number, is_same in enumerate(same) if not is_same), most)


def _modalities(cases: Sequence[_Files], content: Mapping[str, Any]) -> tuple[str, ...]:
    """What half of the cases or more have: an odd file out is one case's matter."""
    counted = Counter(name for case in cases for name in case.images)
    found = tuple(sorted(name for name, times in counted.items() if times * 2 >= len(cases)))
    if not (named := content.get("modality") or content.get("channel_names")):
        return found
    declared = declared_modalities(named)
    if sorted(declared) != sorted(found):
        raise SeglineError(
            f'{INDEX}: "modality" names {", ".join(declared)}, the files of the cases {", ".join(found)}; '
            "give them the same names"
        )
    return declared


def _pair(root: Path, case: _Files, modalities: Sequence[str]) -> Pair:
    usual = f"most cases have {', '.join(modalities)}"
    if missing := [name for name in modalities if name not in case.images]:
        raise SeglineError(
            f"{case.name}: no file of {', '.join(missing)}, and {usual}; add it, or take the folder out"
        )
    if more := case.images.keys() - {*modalities}:
        raise SeglineError(
            f"{case.name}: {case.images[min(more)].name} is one too many, {usual}; take it out"
        )
    images = tuple(_inner(root, case.images[name]) for name in modalities)
    return Pair(case.name, images, _inner(root, case.label))


def _inner(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def _labels_that_occur(root: Path, pairs: Sequence[Pair]) -> dict[int, str]:
    """Over all label maps; called by their numbers."""
    with ThreadPoolExecutor(_READERS) as pool:
        occurring = pool.map(lambda pair: _values(root, str(pair.label)), pairs)
        values = sorted({value for found in occurring for value in found} - {0})
    if not values:
        raise SeglineError(
            f"{root}: no voxel of any label map is labelled; one or more values above 0 are needed"
        )
    return {0: "background", **{value: f"label {value}" for value in values}}


def _values(root: Path, name: str) -> set[int]:
    """Of a label map, checked with care when the case is verified."""
    found = np.unique(read_to_learn(root / name, name).array)
    whole = np.rint(found)
    if found.size and not (whole.min() >= 0 and whole.max() <= LARGEST_LABEL):
        raise SeglineError(
            f"{name}: has values from {found.min():g} to {found.max():g}; a label map has whole numbers "
            f"from 0 to {LARGEST_LABEL}"
        )
    return {int(value) for value in whole}
