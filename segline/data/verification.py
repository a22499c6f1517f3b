"""The proof that the files of a data set agree with what it declares."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from segline.common import atomic
from segline.common.digests import sha256_of_file, sha256_of_json
from segline.common.errors import SeglineError
from segline.common.progress import Progress, silent
from segline.common.wording import by
from segline.data.decathlon import INDEX, Declaration, Pair, read_declaration
from segline.data.manifest import CaseEntry, FileEntry, Manifest, content_digest
from segline.imaging.files import read_volume
from segline.imaging.geometry import Grid, Shape

_RECORD_VERSION = 1


@dataclass(frozen=True)
class Fault:
    """A case that does not agree with ``dataset.json``, or whose files cannot be read."""

    case: str
    error: SeglineError


@dataclass(frozen=True)
class Survey:
    """A Decathlon folder, examined case by case."""

    manifest: Manifest
    """Of the sound cases."""
    faults: tuple[Fault, ...]
    """In the order of ``dataset.json``."""


def verify(
    root: Path, records: Path | None = None, workers: int = 2, progress: Progress = silent
) -> Manifest:
    """:func:`survey` a Decathlon folder all of whose cases must be sound.

    Raises:
        SeglineError: the first problem in the order of ``dataset.json``, and how many more cases are bad.
    """
    found = survey(root, records, workers, progress)
    if found.faults:
        more = len(found.faults) - 1
        told = f" ({more} more bad case{'s' if more > 1 else ''})" if more else ""
        raise SeglineError(f"{found.faults[0].error}{told}")
    return found.manifest


def survey(root: Path, records: Path | None = None, workers: int = 2, progress: Progress = silent) -> Survey:
    """Read a Decathlon folder and check of every case that image and label agree with ``dataset.json``.

    Args:
        root: the folder that holds ``dataset.json``; Decathlon (``modality``, value to name) and nnU-Net v2
            (``channel_names``, name to value) wording are understood.
        records: folder where findings are kept by content, so that the next call only hashes the files.
        workers: threads; each holds one image and its label in memory.
        progress: called after each case.

    Raises:
        SeglineError: ``dataset.json`` cannot be read or declares no data set.
    """
    root = root.resolve()
    declaration = read_declaration(root)

    def examine(pair: Pair) -> CaseEntry | Fault:
        try:
            return _examined(root, pair, declaration, records)
        except SeglineError as error:
            return Fault(pair.name, error)

    outcomes: list[CaseEntry | Fault] = []
    with ThreadPoolExecutor(workers) as pool:
        for outcome in pool.map(examine, declaration.pairs):
            outcomes.append(outcome)
            total = len(declaration.pairs)
            progress(len(outcomes) / total, f"{len(outcomes)} of {total} cases verified")
    cases = [outcome for outcome in outcomes if isinstance(outcome, CaseEntry)]
    faults = tuple(outcome for outcome in outcomes if isinstance(outcome, Fault))
    return Survey(declaration.manifest(root, cases), faults)


class _Findings(BaseModel, frozen=True):
    shape: Shape
    spacing_mm: tuple[float, float, float]
    orientation: str
    label_voxels: dict[int, int]


def _examined(root: Path, pair: Pair, declaration: Declaration, records: Path | None) -> CaseEntry:
    images = tuple(_file_entry(root, path) for path in pair.images)
    label = _file_entry(root, pair.label)
    key = sha256_of_json(
        [_RECORD_VERSION, content_digest(images, label), sorted(declaration.labels), declaration.modalities]
    )
    record = records / f"{key}.json" if records else None
    findings = _recorded(record, lambda: _findings(root, pair, declaration))
    return CaseEntry(name=pair.name, images=images, label=label, **findings.model_dump())


def _file_entry(root: Path, name: str) -> FileEntry:
    path = root / name
    if not path.is_file():
        raise SeglineError(f"{name}: no such file; add it or take its case out of {INDEX}")
    if not path.resolve().is_relative_to(root):
        raise SeglineError(f"{name}: a link that leads out of the folder; put the file itself there")
    try:
        return FileEntry(path=name, sha256=sha256_of_file(path))
    except OSError as error:
        raise SeglineError(f"{name}: cannot be read ({error.strerror})") from error


def _recorded(record: Path | None, examine: Callable[[], _Findings]) -> _Findings:
    if record and record.is_file():
        try:
            return _Findings.model_validate_json(record.read_bytes())
        except ValueError:
            # A damaged record costs one more look at the files, no more.
            record.unlink(missing_ok=True)
    findings = examine()
    if record:
        atomic.write_text(record, findings.model_dump_json())
    return findings


def _findings(root: Path, pair: Pair, declaration: Declaration) -> _Findings:
    grid = _checked_images(root, pair, declaration.modalities)
    label = read_volume(root / pair.label, pair.label)
    if len(label.array) != 1:
        raise SeglineError(f"{pair.label}: a label must be 3-D, this one has {len(label.array)} channels")
    _check_same_grid(label.grid, grid, f"{pair.images[0]}: label")
    return _Findings(
        shape=grid.shape,
        spacing_mm=grid.spacing_mm,
        orientation=grid.orientation,
        label_voxels=_label_voxels(label.array, declaration.labels, pair.label),
    )


def _checked_images(root: Path, pair: Pair, modalities: tuple[str, ...]) -> Grid:
    grids, channels = [], 0
    for name in pair.images:
        volume = read_volume(root / name, name)
        _check_finite(volume.array, name)
        if len(pair.images) > 1 and len(volume.array) > 1:
            raise SeglineError(f"{name}: one of {len(pair.images)} image files must be 3-D, this one is 4-D")
        grids.append(volume.grid)
        channels += len(volume.array)
        _check_same_grid(volume.grid, grids[0], f"{name}: channel")
    if channels != len(modalities):
        raise SeglineError(
            f"{pair.images[0]}: {channels} image channels, {INDEX} declares {len(modalities)} "
            f"({', '.join(modalities)}); correct one of them"
        )
    return grids[0]


def _check_finite(array: np.ndarray, name: str) -> None:
    if array.dtype.kind != "f":
        return
    bad = array.size - int(np.count_nonzero(np.isfinite(array)))
    if bad:
        raise SeglineError(f"{name}: {bad} voxels are NaN or infinite; replace them, for instance by 0")


def _check_same_grid(grid: Grid, image_grid: Grid, subject: str) -> None:
    if grid.matches(image_grid):
        return
    if grid.shape != image_grid.shape:
        told, expected = by(grid.shape), by(image_grid.shape)
    else:
        told, expected = _place(grid), _place(image_grid)
    raise SeglineError(
        f"{subject} grid {told} differs from image grid {expected}; "
        "resample it onto the image or take the case out"
    )


def _place(grid: Grid) -> str:
    spacing = by(grid.spacing_mm)
    origin = ", ".join(f"{position:g}" for position in grid.affine[:3, 3])
    return f"{grid.orientation} {spacing} mm at ({origin}) mm"


def _label_voxels(array: np.ndarray, labels: dict[int, str], name: str) -> dict[int, int]:
    counts = {value: int(np.count_nonzero(array == value)) for value in labels}
    if sum(counts.values()) < array.size:
        _refuse_stray_values(array[~np.isin(array, list(labels))], labels, name)
    return counts


def _refuse_stray_values(stray: np.ndarray, labels: dict[int, str], name: str) -> None:
    broken = stray[stray != np.round(stray)]
    values, counts = np.unique(broken if broken.size else stray, return_counts=True)
    problem = "not a whole number" if broken.size else f"not declared in {INDEX}"
    more = f" and {len(values) - 1} more such values" if len(values) > 1 else ""
    raise SeglineError(
        f"{name}: label value {values[0]:g} in {counts[0]} voxels{more} is {problem}; "
        f"declared are {', '.join(map(str, labels))}: correct the label or declare the value"
    )
