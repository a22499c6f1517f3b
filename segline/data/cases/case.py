"""A preprocessed case, memory-mapped."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import overload

import numpy as np

from segline.common.errors import SeglineError
from segline.imaging.geometry import Shape, as_shape
from segline.imaging.placement import Placement
from segline.storage.store import is_as_sealed

_CASES_MAPPED = 256
"""Opening one takes half a millisecond, which matters where steps are short, as in small data sets."""


@dataclass(frozen=True)
class Case:
    """One preprocessed case, memory-mapped: cutting a patch reads only the patch.

    Attributes:
        image: ``(C, X, Y, Z)`` float16, normalised.
        label: what is to be predicted: ``(X, Y, Z)`` uint8 class indices, or whatever a kind of task keeps.
        locations: for each foreground class, up to the last one that the case has, ``(n, 3)`` int32 voxel
            indices of up to 4096 of its voxels.
        placement: where the arrays lie in the file.
    """

    name: str
    image: np.ndarray
    label: np.ndarray
    locations: tuple[np.ndarray, ...]
    placement: Placement

    @property
    def shape(self) -> Shape:
        """Voxels along each axis of the plan's grid."""
        return as_shape(self.image.shape[1:])

    @classmethod
    def open(cls, name: str, folder: Path) -> "Case":
        """Map the arrays of a case's folder.

        Raises:
            SeglineError: the folder is gone, or a file of it is missing or cut off.
        """
        try:
            image = np.load(folder / "image.npy", mmap_mode="r")
            label = np.load(folder / "label.npy", mmap_mode="r")
            locations = np.load(folder / "locations.npy", mmap_mode="r")
            placement = Placement.model_validate_json((folder / "placement.json").read_bytes())
        except (OSError, ValueError, EOFError) as error:
            raise SeglineError(
                f"case {name}: its cached entry {folder} is gone or damaged; remove what is left of it "
                "and run preprocess again"
            ) from error
        sorted_by_class = np.asarray(locations)
        classes = np.arange(1, int(sorted_by_class[:, 0].max(initial=0)) + 1)
        starts = np.searchsorted(sorted_by_class[:, 0], [*classes, classes.size + 1])
        by_class = tuple(sorted_by_class[a:b, 1:] for a, b in itertools.pairwise(starts))
        return cls(name=name, image=image, label=label, locations=by_class, placement=placement)


@dataclass(frozen=True)
class CasesOnDisk(Sequence[Case]):
    """Cases of which only the latest few stay mapped, be there thousands.

    Raises:
        SeglineError: by indexing, where an entry is gone, or is not what was written.
    """

    places: Sequence[tuple[str, Path]]
    """Name and folder of each."""

    @cached_property
    def _mapped(self) -> Callable[[str, Path], Case]:
        sound: set[Path] = set()

        def opened(name: str, folder: Path) -> Case:
            # once a process: a flipped bit would be learned, or scored, without a word
            if folder not in sound and not is_as_sealed(folder):
                raise SeglineError(
                    f"case {name}: its cached entry {folder} is not what was written; remove it by "
                    "segline cache verify --remove, and run preprocess again"
                )
            sound.add(folder)
            return Case.open(name, folder)

        return lru_cache(_CASES_MAPPED)(opened)

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, index: int) -> Case: ...

    @overload
    def __getitem__(self, index: slice) -> "CasesOnDisk": ...

    def __getitem__(self, index: int | slice) -> "Case | CasesOnDisk":
        if isinstance(index, slice):
            return CasesOnDisk(self.places[index])
        return self._mapped(*self.places[index])
