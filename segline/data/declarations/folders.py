"""Folders and the files in them, for layouts that say by names what others say in dataset.json."""

from collections.abc import Iterator, Sequence
from pathlib import Path

VOLUMES = (".nii", ".nii.gz", ".mgz", ".mgh", ".nrrd", ".mha")
_OF_THE_SYSTEM = ("__MACOSX",)


def folders_of(root: Path) -> list[Path]:
    """The folders that lie in one, in the order of their names, but those of an operating system."""
    return sorted(
        path
        for path in root.iterdir()
        if path.is_dir() and path.name not in _OF_THE_SYSTEM and not path.name.startswith(".")
    )


def files_of(folder: Path, suffixes: Sequence[str]) -> Iterator[Path]:
    """The files that lie in a folder, by the endings of their names in lower case."""
    return (
        path
        for path in folder.iterdir()
        if path.name.lower().endswith(tuple(suffixes)) and not path.name.startswith(".") and path.is_file()
    )


def stem_of(path: Path, suffixes: Sequence[str]) -> str:
    """A file's name without the longest ending that it has of some."""
    suffix = max((s for s in suffixes if path.name.lower().endswith(s)), key=len)
    return path.name[: -len(suffix)]


def licence_of(root: Path) -> str:
    """The first line of what says it, where there is such a file."""
    for name in ("LICENSE", "LICENSE.txt", "LICENCE"):
        if (path := root / name).is_file():
            return path.read_text(encoding="utf-8", errors="replace").strip().splitlines()[0][:200]
    return "not stated"
