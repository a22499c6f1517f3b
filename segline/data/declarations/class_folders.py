"""A folder a class: what a folder declares to hold by the names of the folders in it, as MedNIST does."""

from collections.abc import Iterator
from pathlib import Path

from segline.common.errors import SeglineError
from segline.data.declarations.case_folders import has_case_folders
from segline.data.declarations.decathlon import INDEX, Declaration, Pair
from segline.data.declarations.folders import VOLUMES, files_of, folders_of, licence_of, stem_of
from segline.imaging.files import read_volume
from segline.imaging.formats import pictures
from segline.plan.names import fault_of_name

SUFFIXES = (*pictures.SUFFIXES, *VOLUMES)
_CHANNELS = {1: ("grey",), 3: ("red", "green", "blue")}
_MOST_CLASSES = 256


def has_class_folders(root: Path) -> bool:
    """Whether a folder has no ``dataset.json``, and two or more folders with images that are no case's."""
    if (root / INDEX).is_file() or has_case_folders(root):
        return False
    return sum(any(images_of(folder)) for folder in folders_of(root)) > 1


def read_class_folders(root: Path) -> Declaration:
    """Every image of every class, which are numbered in the order of their names.

    A case is called by its class and its file, such as ``Hand_006500``.

    Raises:
        SeglineError: a name cannot be used or stands for two cases, or there are too many classes.
    """
    folders = [folder for folder in folders_of(root) if any(images_of(folder))]
    if len(folders) > _MOST_CLASSES:
        raise SeglineError(f"{root}: {len(folders)} folders with images; at most {_MOST_CLASSES} are classes")
    for folder in folders:
        if fault := fault_of_name(folder.name):
            raise SeglineError(f"{root}: class {folder.name!r} {fault}; rename the folder")
    pairs = [
        Pair(f"{folder.name}_{stem_of(path, SUFFIXES)}", (f"{folder.name}/{path.name}",), float(number))
        for number, folder in enumerate(folders)
        for path in sorted(images_of(folder))
    ]
    _require_names_apart(pairs)
    return Declaration(
        name=root.name,
        licence=licence_of(root),
        modalities=_modalities(root / pairs[0].images[0], pairs[0].images[0]),
        labels={number: folder.name for number, folder in enumerate(folders)},
        ignore=None,
        pairs=tuple(pairs),
    )


def images_of(folder: Path) -> Iterator[Path]:
    """The images that lie in a folder, by the endings of their names."""
    return files_of(folder, SUFFIXES)


def _require_names_apart(pairs: list[Pair]) -> None:
    first: dict[str, str] = {}
    for pair in pairs:
        other = first.setdefault(pair.name, pair.images[0])
        if other != pair.images[0]:
            raise SeglineError(f"{pair.images[0]}: would be called {pair.name}, as {other}; rename one")


def _modalities(path: Path, name: str) -> tuple[str, ...]:
    """Of the first image: a picture's colours, or numbered channels."""
    channels = len(read_volume(path, name).array)
    return _CHANNELS.get(channels, tuple(f"channel {number}" for number in range(channels)))
