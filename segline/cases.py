"""Cases on the plan's grid, kept by content: a case is computed once for all plans that preprocess alike."""

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from segline import atomic
from segline.dataset import CaseEntry, Manifest
from segline.digests import sha256_of_json
from segline.errors import SeglineError
from segline.plan import Plan
from segline.preprocessing import PREPROCESSING_VERSION, Placement, Preprocessor

_LOCATIONS_A_LABEL = 4096


@dataclass(frozen=True)
class Case:
    """One preprocessed case, memory-mapped: cutting a patch reads only the patch.

    Attributes:
        image: ``(C, X, Y, Z)`` float16, normalised.
        label: ``(X, Y, Z)`` uint8 class indices.
        locations: for each foreground class ``(n, 3)`` int32 voxel indices of up to 4096 of its voxels.
        placement: where the arrays lie in the file.
    """

    name: str
    image: np.ndarray
    label: np.ndarray
    locations: tuple[np.ndarray, ...]
    placement: Placement

    @classmethod
    def open(cls, name: str, folder: Path) -> "Case":
        """Map the arrays of a case's folder."""
        placement = Placement.model_validate_json((folder / "placement.json").read_text(encoding="utf-8"))
        locations = np.load(folder / "locations.npy")
        classes = range(1, int(locations[:, 0].max(initial=0)) + 1)
        return cls(
            name=name,
            image=np.load(folder / "image.npy", mmap_mode="r"),
            label=np.load(folder / "label.npy", mmap_mode="r"),
            locations=tuple(locations[locations[:, 0] == index, 1:] for index in classes),
            placement=placement,
        )


class CaseIndex(BaseModel):
    """Which cached entry holds which case of a plan; what the preprocess stage hands on."""

    model_config = ConfigDict(frozen=True)

    plan_digest: str
    root: str
    """Folder of the cached entries."""
    keys: dict[str, str]
    """Case name to entry."""
    computed: int
    reused: int

    def open(self, names: Sequence[str]) -> list[Case]:
        """Map the named cases.

        Raises:
            SeglineError: an entry is gone from the cache.
        """
        for name in names:
            if not (Path(self.root) / self.keys[name]).is_dir():
                raise SeglineError(
                    f"case {name}: its cached entry is gone from {self.root}; run preprocess again"
                )
        return [Case.open(name, Path(self.root) / self.keys[name]) for name in names]

    @classmethod
    def read(cls, path: Path) -> "CaseIndex":
        """Read what :meth:`write` wrote."""
        return cls.model_validate_json(path.read_text(encoding="utf-8"))

    def write(self, path: Path) -> None:
        """Write as JSON, atomically."""
        atomic.write_text(path, self.model_dump_json(indent=2))


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


def preprocess(manifest: Manifest, plan: Plan, root: Path, workers: int) -> Iterator[tuple[str, bool]]:
    """Bring every case of a data set into the cache below ``root``, in ``workers`` processes.

    Yields:
        Case name and whether it had to be computed, as they get done.

    Raises:
        SeglineError: a case cannot be preprocessed; those done before stay in the cache.
    """
    keys = {case.name: case_key(case, plan) for case in manifest.cases}
    missing = [case for case in manifest.cases if not (root / keys[case.name]).is_dir()]
    yield from ((case.name, False) for case in manifest.cases if case not in missing)
    if not missing:
        return
    context = multiprocessing.get_context("spawn")
    workers = min(workers, len(missing))
    with ProcessPoolExecutor(workers, context, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        futures = [pool.submit(_compute, manifest, case, plan, root / keys[case.name]) for case in missing]
        try:
            for case, future in zip(missing, futures, strict=True):
                future.result()
                yield case.name, True
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


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


def _locations(label: Tensor, classes: int) -> np.ndarray:
    """``(n, 4)`` int32 rows of class, x, y, z: evenly spaced voxels of each foreground class."""
    rows = [np.zeros((0, 4), np.int32)]
    for index in range(1, classes):
        voxels = np.argwhere(label.numpy() == index)
        voxels = voxels[:: max(1, len(voxels) // _LOCATIONS_A_LABEL)]
        rows.append(np.column_stack([np.full(len(voxels), index), voxels]).astype(np.int32))
    return np.concatenate(rows)
