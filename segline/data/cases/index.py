"""Cases on the plan's grid, kept by content: a case is computed once for all plans that preprocess alike."""

import itertools
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import overload

import numpy as np
import torch
from torch import Tensor

from segline.common import atomic
from segline.common.digests import sha256_of_file, sha256_of_json
from segline.common.documents import Document
from segline.common.errors import SeglineError
from segline.common.locks import exclusive
from segline.common.parallel import do_all
from segline.common.processes import end_with_parent
from segline.common.progress import Progress, silent
from segline.data.kept_files import bring_dataset
from segline.data.manifest import CaseEntry, Manifest
from segline.imaging.preprocessing import PREPROCESSING_VERSION, Placement, Preprocessor
from segline.plan.plan import Plan
from segline.storage.depot import Access, Depot, is_uri
from segline.storage.store import seal

CASES = "cases"
"""Where a depot has the entries, by key."""

_LOCATIONS_A_LABEL = 4096
_CASES_MAPPED = 256
"""Opening one takes half a millisecond, which matters where steps are short, as in small data sets."""


@dataclass(frozen=True)
class Case:
    """One preprocessed case, memory-mapped: cutting a patch reads only the patch.

    Attributes:
        image: ``(C, X, Y, Z)`` float16, normalised.
        label: ``(X, Y, Z)`` uint8 class indices.
        locations: for each foreground class, up to the last one that the case has, ``(n, 3)`` int32 voxel
            indices of up to 4096 of its voxels.
        placement: where the arrays lie in the file.
    """

    name: str
    image: np.ndarray
    label: np.ndarray
    locations: tuple[np.ndarray, ...]
    placement: Placement

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
class _CasesOnDisk(Sequence[Case]):
    """Cases of which only the latest few stay mapped, be there thousands."""

    places: Sequence[tuple[str, Path]]
    """Name and folder of each."""

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, index: int) -> Case: ...

    @overload
    def __getitem__(self, index: slice) -> "_CasesOnDisk": ...

    def __getitem__(self, index: int | slice) -> "Case | _CasesOnDisk":
        if isinstance(index, slice):
            return _CasesOnDisk(self.places[index])
        return _mapped(*self.places[index])


_mapped = lru_cache(_CASES_MAPPED)(Case.open)


class CaseIndex(Document):
    """Which cached entry holds which case of a plan; what the preprocess stage hands on."""

    kind = "an index of cases"
    stage = "preprocess"

    plan_digest: str
    root: str
    """Folder of the cached entries; or the URI of the depot that has them."""
    keys: dict[str, str]
    """Case name to entry."""
    computed: int
    reused: int

    @classmethod
    def of(cls, manifest: Manifest, plan: Plan, depot: Depot, computed: int) -> "CaseIndex":
        """The cases of a data set, all of them in the depot; ``computed`` of them are new there."""
        return cls(
            plan_digest=plan.digest,
            root=depot.store.uri if depot.is_remote else str(depot.path(CASES)),
            keys={case.name: case_key(case, plan) for case in manifest.cases},
            computed=computed,
            reused=len(manifest.cases) - computed,
        )

    def bring(self, names: Sequence[str], access: Access, progress: Progress = silent) -> "CaseIndex":
        """Have the named cases on this machine; the index whose root is their folder here.

        Raises:
            SeglineError: as :meth:`open`, or as :class:`segline.storage.store.Store`.
        """
        if not is_uri(self.root):
            return self
        depot = access.depot(self.root)
        depot.bring_folders([case_folder(self._key(name)) for name in names], "cases", progress)
        return self.model_copy(update={"root": str(depot.path(CASES))})

    def open(self, names: Sequence[str]) -> Sequence[Case]:
        """The named cases, which are on this machine; each is checked now, and mapped when it is taken.

        Raises:
            SeglineError: a name is not in the index, or an entry is gone from the cache or damaged.
        """
        places = [(name, Path(self.root) / self._key(name)) for name in names]
        for name, folder in places:
            Case.open(name, folder)
        return _CasesOnDisk(places)

    def _key(self, name: str) -> str:
        if name not in self.keys:
            raise SeglineError(
                f"case {name}: not among the {len(self.keys)} preprocessed cases; run preprocess again"
            )
        return self.keys[name]


def case_folder(key: str) -> str:
    """Where a depot has the entry."""
    return f"{CASES}/{key}"


def case_key(case: CaseEntry, plan: Plan) -> str:
    """What a cached case depends on: the raw files, the preprocessing part of the plan, and its code."""
    return sha256_of_json(
        {
            "case": case.digest,
            "preprocessing": plan.preprocessing.model_dump(mode="json"),
            "labels": list(plan.label_values),
            "code": PREPROCESSING_VERSION,
        }
    )


def preprocess(
    manifest: Manifest, plan: Plan, depot: Depot, workers: int, access: Access | None = None
) -> Iterator[tuple[str, bool]]:
    """Bring every case of a data set into the depot's cache, in ``workers`` processes.

    Others may do the same at the same time. On one machine no case is computed twice; of machines that share
    a depot in S3, two may compute the same case at the same moment, with the same result.

    Args:
        access: how to reach the data set where it is not on this machine.

    Yields:
        Case name and whether it had to be computed, as they get done.

    Raises:
        SeglineError: a case cannot be preprocessed, has changed since it was verified, or a process was
            killed; the cases done before stay in the cache.
    """
    keys = {case.name: case_folder(case_key(case, plan)) for case in manifest.cases}
    there: set[str] = set()
    do_all(lambda key: there.add(key) if depot.has_folder(key) else None, keys.values(), depot.store.threads)
    yield from ((name, False) for name, key in keys.items() if key in there)
    missing = [case for case in manifest.cases if keys[case.name] not in there]
    if not missing:
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(missing)), context, _start_worker) as pool:
        futures = {pool.submit(_provide, manifest, case, plan, depot, access): case for case in missing}
        try:
            for future in as_completed(futures):
                yield futures[future].name, future.result()
        except BrokenProcessPool as error:
            raise SeglineError(
                f"preprocess: a process was killed, perhaps for lack of memory ({workers} run at a time); "
                "allow more memory or fewer CPUs and run again, the cases done are kept"
            ) from error
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _start_worker() -> None:
    torch.set_num_threads(1)
    end_with_parent()


def _require_unchanged(manifest: Manifest, case: CaseEntry) -> None:
    """The key of a case is that of the files which were verified: others must not be kept under it."""
    for file in (*case.images, case.label):
        path = Path(manifest.root, file.path)
        if path.is_file() and sha256_of_file(path) != file.sha256:
            raise SeglineError(f"{file.path}: changed since the data were verified; verify them again")


def _provide(manifest: Manifest, case: CaseEntry, plan: Plan, depot: Depot, access: Access | None) -> bool:
    """Whether the case had to be computed: another process may have been faster."""
    key = case_key(case, plan)
    with exclusive(depot.path(f"locks/{key}.lock"), stays=False):
        if depot.has_folder(case_folder(key)):
            return False
        folder = depot.path(case_folder(key))
        if not folder.is_dir():
            here = bring_dataset(manifest, access, [case.name])
            _require_unchanged(here, case)
            _compute(here, case, plan, folder)
        depot.keep_folder(case_folder(key))
        return True


def _compute(manifest: Manifest, case: CaseEntry, plan: Plan, folder: Path) -> None:
    preprocessor = Preprocessor(plan.preprocessing)
    volume = manifest.image(case)
    placement = preprocessor.place(volume)
    image = preprocessor.image(volume, placement)
    label = preprocessor.label(manifest.label(case), placement, plan.label_values)
    with atomic.new_folder(folder) as scratch:
        np.save(scratch / "image.npy", image.half().numpy())
        np.save(scratch / "label.npy", label.numpy())
        np.save(scratch / "locations.npy", _locations(label, len(plan.labels)))
        (scratch / "placement.json").write_text(placement.model_dump_json(), encoding="utf-8")
        seal(scratch)


def _locations(label: Tensor, classes: int) -> np.ndarray:
    """``(n, 4)`` int32 rows of class, x, y, z: evenly spaced voxels of each foreground class."""
    rows = [np.zeros((0, 4), np.int32)]
    for index in range(1, classes):
        voxels = np.argwhere(label.numpy() == index)
        voxels = voxels[:: max(1, -(-len(voxels) // _LOCATIONS_A_LABEL))]
        rows.append(np.column_stack([np.full(len(voxels), index), voxels]).astype(np.int32))
    return np.concatenate(rows)
