"""What a Decathlon folder declares in its dataset.json."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from segline.common.documents import read_json_object
from segline.common.errors import SeglineError
from segline.data.declarations.nnunet import listed, value_names
from segline.data.manifest import CaseEntry, Manifest
from segline.plan.names import fault_of_name
from segline.storage.archives import inner_path

INDEX = "dataset.json"
_IGNORE = "ignore"
"""What nnU-Net calls voxels of which nothing is known."""
LARGEST_LABEL = 255
LARGEST = 64_000_000
"""Bytes of the index; some 300,000 cases."""
_SUFFIXES = (".nii", ".mgz", ".mgh", ".nrrd", ".mha")


@dataclass(frozen=True)
class Pair:
    name: str
    images: tuple[str, ...]
    label: str | float
    """A label map's path, or a value."""


@dataclass(frozen=True)
class Declaration:
    name: str
    licence: str
    modalities: tuple[str, ...]
    labels: dict[int, str]
    ignore: int | None
    """Value of voxels of which nothing is known; none of ``labels``."""
    pairs: tuple[Pair, ...]

    def manifest(self, root: Path, cases: Sequence[CaseEntry]) -> Manifest:
        return Manifest(
            name=self.name,
            licence=self.licence,
            modalities=self.modalities,
            labels=self.labels,
            ignore=self.ignore,
            root=str(root),
            cases=tuple(sorted(cases, key=lambda case: case.name)),
        )


def read_declaration(root: Path) -> Declaration:
    if not (root / INDEX).is_file():
        raise SeglineError(
            f"{INDEX}: no such file in {root}; give the folder that holds it and imagesTr, or one with "
            "images in folders, one a class, or one a case with a label map"
        )
    content = read_json_object(root / INDEX, INDEX, LARGEST)
    modalities = declared_modalities(content.get("modality") or content.get("channel_names"))
    labels, ignore = declared_labels(content.get("labels"))
    require_names(modalities, "modality")
    return Declaration(
        name=str(content.get("name") or root.name),
        licence=str(content.get("licence") or content.get("license") or "not stated"),
        modalities=modalities,
        labels=labels,
        ignore=ignore,
        pairs=_pairs(content.get("training") or listed(root, content, len(modalities))),
    )


def declared_modalities(declared: Any) -> tuple[str, ...]:
    """The names of the channels, in their order.

    Raises:
        SeglineError: they are neither a list nor numbered from 0.
    """
    if isinstance(declared, list) and declared:
        return tuple(str(name) for name in declared)
    if not isinstance(declared, dict) or sorted(declared) != sorted(str(i) for i in range(len(declared))):
        raise SeglineError(f'{INDEX}: "modality" must name the channels, such as {{"0": "CT"}}')
    return tuple(str(declared[str(channel)]) for channel in range(len(declared)))


def declared_labels(declared: Any) -> tuple[dict[int, str], int | None]:
    """Label values by name, the background among them, and the value of voxels of which nothing is known.

    Raises:
        SeglineError: a value or a name cannot be used.
    """
    values = _label_values(declared)
    ignored = [value for value, name in values.items() if name.lower() == _IGNORE]
    if len(ignored) > 1:
        raise SeglineError(f'{INDEX}: two "labels" are called {_IGNORE!r}; give voxels to ignore one value')
    ignore = ignored[0] if ignored else None
    labels = _labels({value: name for value, name in values.items() if value != ignore})
    require_names(labels.values(), "labels")
    return labels, ignore


def _label_values(declared: Any) -> dict[int, str]:
    """Value to name, in the wording of the Decathlon (by value) or of nnU-Net (by name, or by regions)."""
    if not isinstance(declared, dict) or not declared:
        raise SeglineError(f'{INDEX}: "labels" must name the label values, such as {{"0": "background"}}')
    if all(_is_value(key) for key in declared):
        pairs = [(int(key), str(name)) for key, name in declared.items()]
    elif all(_is_value(value) for value in declared.values()):
        pairs = [(int(value), str(name)) for name, value in declared.items()]
    elif all(isinstance(value, list) or _is_value(value) for value in declared.values()):
        return value_names(declared)
    else:
        raise SeglineError(f'{INDEX}: "labels" must map whole numbers to names, or names to whole numbers')
    if len(dict(pairs)) < len(pairs):
        raise SeglineError(f'{INDEX}: "labels" must be different values, and one is named twice')
    return dict(pairs)


def _is_value(given: Any) -> bool:
    return type(given) is int or (isinstance(given, str) and re.fullmatch(r"-?[0-9]{1,9}", given) is not None)


def _labels(named: dict[int, str]) -> dict[int, str]:
    labels = {0: "background", **dict(sorted(named.items()))}
    if min(labels) < 0 or max(labels) > LARGEST_LABEL or len(labels) < 2:
        raise SeglineError(
            f'{INDEX}: "labels" must be different whole numbers from 0 to {LARGEST_LABEL}, one or more '
            "above 0"
        )
    twice = [name for name, count in Counter(labels.values()).items() if count > 1]
    if twice:
        raise SeglineError(f'{INDEX}: two "labels" are called {twice[0]!r}; give each a name of its own')
    return labels


def require_names(names: Iterable[str], key: str) -> None:
    """Raise SeglineError where a name cannot be used."""
    for name in names:
        if fault := fault_of_name(name):
            raise SeglineError(f'{INDEX}: "{key}": {name!r} {fault}')


def _pairs(declared: Any) -> tuple[Pair, ...]:
    if not isinstance(declared, list) or not declared:
        raise SeglineError(f'{INDEX}: no training entries; "training" must list images and labels')
    pairs = tuple(_pair(entry, f"{INDEX}: training entry {i}") for i, entry in enumerate(declared, 1))
    seen: dict[str, Pair] = {}
    for pair in pairs:
        if pair.name in seen:
            first, second = seen[pair.name].images[0], pair.images[0]
            raise SeglineError(f"{second}: case name {pair.name} is also that of {first}; rename one")
        seen[pair.name] = pair
    return pairs


def _pair(entry: Any, where: str) -> Pair:
    if not isinstance(entry, dict):
        raise SeglineError(f'{where} must be {{"image": ..., "label": ...}}')
    declared = entry.get("image")
    images: list[Any] = declared if isinstance(declared, list) else [declared]
    if not images or not all(isinstance(image, str) and image for image in images):
        raise SeglineError(f"{where} has no image; name its file, or a list with one file a channel")
    label = entry.get("label")
    if isinstance(label, float) and not math.isfinite(label):
        raise SeglineError(f"{where} ({images[0]}) has the label {label}; give a number")
    if isinstance(label, bool) or not isinstance(label, str | int | float) or label == "":
        raise SeglineError(f"{where} ({images[0]}) has no label; name its file or move it to the test list")
    paths = [str(inner_path(image, where)) for image in images]
    target = str(inner_path(label, where)) if isinstance(label, str) else float(label)
    return Pair(_case_name(paths[0]), tuple(paths), target)


def _case_name(image: str) -> str:
    name = PurePosixPath(image).name.removesuffix(".gz")
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    return name.removesuffix("_0000")
