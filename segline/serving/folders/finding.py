"""Which images lie below a folder, and what their answers are called."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from segline.common.errors import SeglineError
from segline.data.declarations.folders import VOLUMES, stem_of
from segline.imaging.dicom.objects import is_image
from segline.imaging.files import read_channels
from segline.imaging.formats import pictures
from segline.imaging.volume import Volume
from segline.plan import Plan

_PAIRED = (".hdr", ".hdr.gz", ".img", ".img.gz")
_VOLUMES = (*VOLUMES, ".mhd", ".nhdr", *_PAIRED)
_VOXELS = (".raw", ".zraw")
"""Of a header in a file beside."""
_ALL = (*_VOLUMES, *pictures.SUFFIXES)
_OF_THE_SYSTEM = ("__MACOSX",)
_NUMBERED = re.compile(r"(.+)_(\d{4})")
"""nnU-Net's way to name a channel."""


@dataclass(frozen=True)
class Image:
    """One to be answered."""

    name: str
    """Where it lies below the folder; of several files without what tells the channels apart."""
    paths: tuple[Path, ...]
    """A file with all channels, a folder with a DICOM series, or one file a channel in the plan's order."""
    answer: str
    """Where its answer goes, below another folder."""
    fault: str = ""
    """Why it cannot be read, if that is known."""

    def read(self) -> Volume:
        """The volume.

        Raises:
            SeglineError: it cannot be read, or a channel is missing.
        """
        if self.fault:
            raise SeglineError(f"{self.name}: {self.fault}")
        return read_channels(self.paths)

    @property
    def stamp(self) -> list[list[object]]:
        """Name, size and time of each file that it is made of: if one differs, it may be another image."""
        files = [file for path in self.paths for file in (_files(path) if path.is_dir() else [path])]
        stats = [(file.name, file.stat()) for file in files]
        return [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]


def find_images(root: Path, plan: Plan, suffix: str, left_out: Path) -> tuple[list[Image], int]:
    """The images below ``root`` in the order of their names, and how many files there are none.

    Hidden files, what an operating system leaves, and all below ``left_out`` is not looked at.

    Args:
        root: looked through to the bottom; links are followed, no folder is seen twice.
        plan: of several channels, files that are called after them, or numbered from ``_0000``, are one
            image; pictures are images where the network sees slices.
        suffix: how answers end.
        left_out: where the answers go.

    Raises:
        SeglineError: two answers would have one name.
    """
    found: list[Image] = []
    others = 0
    for folder in _folders(root, {left_out.resolve()}):
        try:
            images, passed_over = _images(folder, root, plan)
        except OSError as error:
            name = folder.relative_to(root).as_posix()
            images, passed_over = [Image(name, (folder,), name, f"cannot be read ({error.strerror})")], 0
        found += images
        others += passed_over
    return _named(found, suffix), others


def _folders(folder: Path, seen: set[Path]) -> Iterator[Path]:
    if (real := folder.resolve()) in seen:
        return
    seen.add(real)
    yield folder
    with suppress(OSError):  # told where its images are looked for
        for path in _visible(folder):
            if path.is_dir():
                yield from _folders(path, seen)


def _visible(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.iterdir() if not path.name.startswith(".") and path.name not in _OF_THE_SYSTEM
    )


def _files(folder: Path) -> list[Path]:
    return [path for path in _visible(folder) if path.is_file()]


def _images(folder: Path, root: Path, plan: Plan) -> tuple[list[Image], int]:
    """Of the files of one folder, and how many are none; an answer is called by all of its image's name."""
    place, files = folder.relative_to(root), _files(folder)
    suffixes = (*_VOLUMES, *(pictures.SUFFIXES if plan.network.is_flat else ()))
    known = [path for path in files if path.name.lower().endswith(suffixes)]
    others = [path for path in files if path not in known and not path.name.lower().endswith(_VOXELS)]
    images = [*_single_and_joined(_whole(known), place, plan.channels)]
    if any(map(is_image, others)):
        name = place.as_posix() if place.parts else root.resolve().name
        return [*images, Image(name, (folder,), name)], 0
    return images, len(others)


def _whole(files: Sequence[Path]) -> list[Path]:
    """Of a pair of header and voxels the header alone."""
    headers = {stem_of(path, _PAIRED) for path in files if _is_half(path, ".hdr")}
    return [path for path in files if not (_is_half(path, ".img") and stem_of(path, _PAIRED) in headers)]


def _is_half(path: Path, suffix: str) -> bool:
    return path.name.lower().endswith((suffix, f"{suffix}.gz"))


def _single_and_joined(files: Sequence[Path], place: Path, channels: Sequence[str]) -> Iterator[Image]:
    """A file an image, but those that are of one channel each."""
    cases: dict[tuple[str, str], dict[int, Path]] = {}
    for path in files:
        stem = stem_of(path, _ALL)
        case, number = _channel_of(stem, channels)
        cases.setdefault((case, path.name[len(stem) :]), {})[number] = path
    for (case, _), paths in cases.items():
        if set(paths) <= set(range(len(channels))):
            name = (place / case).as_posix()
            missing = [channels[number] for number in range(len(channels)) if number not in paths]
            fault = f"no file of {', '.join(missing)}; add it, or give one file with all channels"
            yield Image(name, tuple(paths[n] for n in sorted(paths)), name, fault if missing else "")
            continue
        for path in paths.values():  # numbers of something else
            yield Image((place / path.name).as_posix(), (path,), (place / path.name).as_posix())


def _channel_of(stem: str, channels: Sequence[str]) -> tuple[str, int]:
    """The image that a file is a channel of, and which; itself and -1 where it has all."""
    if len(channels) == 1:
        return stem, -1
    if numbered := _NUMBERED.fullmatch(stem):
        return numbered[1], int(numbered[2])
    for number, channel in enumerate(channels):
        if re.search(rf".[_\-. ]{re.escape(channel)}$", stem, re.IGNORECASE):
            return stem[: -len(channel) - 1], number
    return stem, -1


def _named(images: Sequence[Image], suffix: str) -> list[Image]:
    """With an answer each: by the name without its ending, unless two would be called so."""
    short = [_without_ending(image) for image in images]
    times = Counter(short)
    named = [
        replace(image, answer=(name if times[name] == 1 else image.answer) + suffix)
        for image, name in zip(images, short, strict=True)
    ]
    first: dict[str, Image] = {}
    for image in named:
        if (other := first.setdefault(image.answer, image)) != image:
            raise SeglineError(
                f"{image.name}: its answer would be {image.answer}, as that of {other.name}; rename one"
            )
    return named


def _without_ending(image: Image) -> str:
    path = Path(image.name)
    if len(image.paths) > 1 or not path.name.lower().endswith(_ALL):
        return image.name
    return path.with_name(stem_of(path, _ALL)).as_posix()
