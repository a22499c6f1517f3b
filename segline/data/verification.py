"""The proof that the files of a data set agree with what it declares."""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from segline.common import atomic
from segline.common.digests import sha256_of_file, sha256_of_json
from segline.common.errors import SeglineError
from segline.common.progress import Progress, silent
from segline.common.wording import counted
from segline.data.declarations.case_folders import has_case_folders, read_case_folders
from segline.data.declarations.class_folders import has_class_folders, read_class_folders
from segline.data.declarations.decathlon import INDEX, Declaration, Pair, read_declaration
from segline.data.manifest import CaseEntry, FileEntry, Manifest, content_digest
from segline.data.targets import Targets
from segline.data.targets.label_maps import LABEL_MAPS
from segline.imaging.files import read_to_learn
from segline.imaging.geometry import Grid, Shape

_RECORD_VERSION = 3


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
    root: Path,
    records: Path | None = None,
    workers: int = 2,
    progress: Progress = silent,
    targets: Targets = LABEL_MAPS,
) -> Manifest:
    """:func:`survey` a Decathlon folder all of whose cases must be sound.

    Raises:
        SeglineError: the first problem in the order of ``dataset.json``, and how many more cases are bad.
    """
    surveyed = survey(root, records, workers, progress, targets)
    if surveyed.faults:
        raise refusal(surveyed.faults)
    return surveyed.manifest


def refusal(faults: Sequence[Fault]) -> SeglineError:
    """The first of some faults in a line, and how many more there are."""
    more = len(faults) - 1
    others = f" ({counted(more, 'more bad case')})" if more else ""
    return SeglineError(f"{faults[0].error}{others}")


def survey(
    root: Path,
    records: Path | None = None,
    workers: int = 2,
    progress: Progress = silent,
    targets: Targets = LABEL_MAPS,
) -> Survey:
    """Read a Decathlon folder and check of every case that image and target agree with ``dataset.json``.

    Args:
        root: the folder that holds ``dataset.json``; Decathlon (``modality``, value to name) and nnU-Net v2
            (``channel_names``, name to value, files by name) are understood. Or a folder of folders, one a
            class with images in them, or one a case with a file a modality and a label map.
        records: folder where findings are kept by content, so that the next call only hashes the files.
        workers: threads; each holds one image and its label in memory.
        progress: called after each case.
        targets: what is to be predicted of a case.

    Raises:
        SeglineError: ``dataset.json`` cannot be read or declares no data set.
    """
    root = root.resolve()
    declaration = _declaration(root)

    def examine(pair: Pair) -> _Sound | Fault:
        try:
            return _examined(root, pair, declaration, records, targets)
        except SeglineError as error:
            return Fault(pair.name, error)

    outcomes: list[_Sound | Fault] = []
    with ThreadPoolExecutor(workers) as pool:
        for outcome in pool.map(examine, declaration.pairs):
            outcomes.append(outcome)
            total = len(declaration.pairs)
            progress(len(outcomes) / total, f"{len(outcomes)} of {total} cases verified")
    sound = [outcome for outcome in outcomes if isinstance(outcome, _Sound)]
    faults = tuple(outcome for outcome in outcomes if isinstance(outcome, Fault))
    manifest = declaration.manifest(root, [one.case for one in sound])
    return Survey(manifest.model_copy(update={"twins": _twins(sound)}), faults)


def _declaration(root: Path) -> Declaration:
    if has_case_folders(root):
        return read_case_folders(root)
    return read_class_folders(root) if has_class_folders(root) else read_declaration(root)


def _twins(sound: "Sequence[_Sound]") -> tuple[tuple[str, ...], ...]:
    names: dict[str, list[str]] = {}
    for one in sound:
        names.setdefault(one.voxels_sha256, []).append(one.case.name)
    return tuple(sorted(tuple(sorted(group)) for group in names.values() if len(group) > 1))


class _Findings(BaseModel, frozen=True):
    shape: Shape
    spacing_mm: tuple[float, float, float]
    orientation: str
    label_voxels: dict[int, int]
    remarks: tuple[str, ...]
    voxels_sha256: str
    """Of the images' shapes and values: two cases with the same are one."""


@dataclass(frozen=True)
class _Sound:
    """A case in which nothing is wrong."""

    case: CaseEntry
    voxels_sha256: str


def _examined(
    root: Path, pair: Pair, declaration: Declaration, records: Path | None, targets: Targets
) -> _Sound:
    images = tuple(_file_entry(root, path) for path in pair.images)
    label = _file_entry(root, pair.label) if isinstance(pair.label, str) else None
    value = None if isinstance(pair.label, str) else pair.label
    content = content_digest(images, label, value)
    looked_for = f"{type(targets).__module__}.{type(targets).__qualname__}"
    labels = [*sorted(declaration.labels), declaration.ignore]
    key = sha256_of_json([_RECORD_VERSION, content, looked_for, labels, declaration.modalities])
    record = records / f"{key}.json" if records else None
    findings = _recorded(record, lambda: _findings(root, pair, declaration, targets))
    told = findings.model_dump(exclude={"voxels_sha256"})
    case = CaseEntry(name=pair.name, images=images, label=label, value=value, **told)
    return _Sound(case, findings.voxels_sha256)


def _file_entry(root: Path, name: str) -> FileEntry:
    path = root / name
    try:
        if not path.is_file():
            raise SeglineError(f"{name}: no such file; add it or take its case out of {INDEX}")
        if not path.resolve().is_relative_to(root):
            raise SeglineError(f"{name}: a link that leads out of the folder; put the file itself there")
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


def _findings(root: Path, pair: Pair, declaration: Declaration, targets: Targets) -> _Findings:
    grid, remarks, digest = _checked_images(root, pair, declaration.modalities)
    return _Findings(
        shape=grid.shape,
        spacing_mm=grid.spacing_mm,
        orientation=grid.orientation,
        label_voxels=targets.examine(root, pair, declaration, grid),
        remarks=tuple(remarks),
        voxels_sha256=digest,
    )


def _checked_images(root: Path, pair: Pair, modalities: tuple[str, ...]) -> tuple[Grid, list[str], str]:
    """Their grid, what is odd about them, and the digest of their voxels."""
    grids, channels, remarks, digest = [], 0, [], hashlib.sha256()
    for name in pair.images:
        volume = read_to_learn(root / name, name)
        if len(pair.images) > 1 and len(volume.array) > 1:
            raise SeglineError(f"{name}: one of {len(pair.images)} image files must be 3-D, this one is 4-D")
        grids.append(volume.grid)
        digest.update(str(volume.array.shape).encode())
        digest.update(
            np.ascontiguousarray(volume.array.T).data
        )  # as most files lie, so that nothing is copied
        remarks += [f"{name}: {remark}" for remark in volume.remarks]
        channels += len(volume.array)
        volume.grid.require_same(grids[0], f"{name}: channel")
    if channels != len(modalities):
        raise SeglineError(
            f"{pair.images[0]}: {channels} image channels, {INDEX} declares {len(modalities)} "
            f"({', '.join(modalities)}); correct one of them"
        )
    return grids[0], remarks, digest.hexdigest()
