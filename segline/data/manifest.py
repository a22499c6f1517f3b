"""A Decathlon folder: what its dataset.json declares, and the proof that its files agree with it."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from pydantic import BaseModel, ValidationError

from segline.common import atomic
from segline.common.digests import sha256_of_file, sha256_of_json
from segline.common.errors import SeglineError
from segline.common.progress import Progress, silent
from segline.imaging.files import read_volume
from segline.imaging.geometry import Grid, Shape
from segline.imaging.volume import Volume
from segline.plan.task import first_fault
from segline.storage.archives import inner_path

_INDEX = "dataset.json"
_MAX_LABEL = 255
_RECORD_VERSION = 1


class FileEntry(BaseModel, frozen=True):
    """A file of the data set."""

    path: str
    """Relative to the data set's root, with ``/``."""
    sha256: str


class CaseEntry(BaseModel, frozen=True):
    """One labelled case: its files and what verification found in them."""

    name: str
    images: tuple[FileEntry, ...]
    """One 3-D or 4-D file, or one 3-D file a channel."""
    label: FileEntry
    shape: Shape
    spacing_mm: tuple[float, float, float]
    orientation: str
    label_voxels: dict[int, int]
    """Voxels of every declared label value, the background 0 among them."""

    @property
    def digest(self) -> str:
        """SHA-256 over the contents of the files; names and places do not count."""
        return _content_digest(self.images, self.label)

    @property
    def short_digest(self) -> str:
        """The first 12 digits of :attr:`digest`: what the case is called where its name may not be known."""
        return self.digest[:12]


class Manifest(BaseModel, frozen=True, extra="forbid"):
    """A verified data set."""

    name: str
    licence: str
    modalities: tuple[str, ...]
    """One name a channel."""
    labels: dict[int, str]
    """Label value to name, the background 0 among them."""
    root: str
    """Absolute path of the Decathlon folder; or the URI of the depot that has its files by content."""
    cases: tuple[CaseEntry, ...]
    """Sorted by name."""

    @property
    def digest(self) -> str:
        """SHA-256 over everything but the place of the folder."""
        return sha256_of_json(self.model_dump(mode="json", exclude={"root"}))

    @property
    def pseudonyms(self) -> dict[str, str]:
        """Name of each case to its short content digest, numbered where cases have the same content."""
        found: dict[str, str] = {}
        seen = Counter[str]()
        for case in self.cases:
            seen[case.short_digest] += 1
            number = seen[case.short_digest]
            found[case.name] = case.short_digest + (f"-{number}" if number > 1 else "")
        return found

    def case(self, name: str) -> CaseEntry:
        """The case called ``name``.

        Raises:
            SeglineError: there is none.
        """
        for case in self.cases:
            if case.name == name:
                return case
        raise SeglineError(f"{name}: no such case in data set {self.name}, which has {len(self.cases)}")

    def image(self, case: CaseEntry) -> Volume:
        """The channels of ``case``, stacked: ``(C, X, Y, Z)``."""
        return Volume.stack([read_volume(Path(self.root, file.path), file.path) for file in case.images])

    def label(self, case: CaseEntry) -> Volume:
        """The label map of ``case``: ``(1, X, Y, Z)``, uint8."""
        volume = read_volume(Path(self.root, case.label.path), case.label.path)
        return Volume(volume.array.astype(np.uint8), volume.affine)

    def write(self, path: Path) -> None:
        """Write as JSON, with the digest, atomically."""
        content = {"digest": self.digest, **self.model_dump(mode="json")}
        atomic.write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, path: Path) -> "Manifest":
        """Read what :meth:`write` wrote.

        Raises:
            SeglineError: no such file, not a manifest, or its digest does not fit its content.
        """
        content = _json_object(path, str(path))
        digest = content.pop("digest", None)
        try:
            manifest = cls.model_validate(content)
        except ValidationError as error:
            problem = f"{path}: not a data set manifest, {first_fault(error)}; verify the data again"
            raise SeglineError(problem) from error
        if manifest.digest != digest:
            raise SeglineError(f"{path}: the digest does not fit the content; verify the data again")
        return manifest


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
    declaration = _declaration(root)

    def examine(pair: _Pair) -> CaseEntry | Fault:
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


@dataclass(frozen=True)
class _Pair:
    name: str
    images: tuple[str, ...]
    label: str


@dataclass(frozen=True)
class _Declaration:
    name: str
    licence: str
    modalities: tuple[str, ...]
    labels: dict[int, str]
    pairs: tuple[_Pair, ...]

    def manifest(self, root: Path, cases: Sequence[CaseEntry]) -> Manifest:
        return Manifest(
            name=self.name,
            licence=self.licence,
            modalities=self.modalities,
            labels=self.labels,
            root=str(root),
            cases=tuple(sorted(cases, key=lambda case: case.name)),
        )


class _Findings(BaseModel, frozen=True):
    shape: Shape
    spacing_mm: tuple[float, float, float]
    orientation: str
    label_voxels: dict[int, int]


def _json_object(path: Path, name: str) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SeglineError(f"{name}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise SeglineError(f"{name}: not UTF-8 text ({error})") from error
    if not text.strip():
        raise SeglineError(f"{name}: the file is empty; fetch it again")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SeglineError(f"{name}: not JSON ({error})") from error
    if not isinstance(content, dict):
        raise SeglineError(f"{name}: a JSON object is needed, this is a {type(content).__name__}")
    return content


def _declaration(root: Path) -> _Declaration:
    if not (root / _INDEX).is_file():
        raise SeglineError(f"{_INDEX}: no such file in {root}; give the folder that holds it and imagesTr")
    content = _json_object(root / _INDEX, _INDEX)
    return _Declaration(
        name=str(content.get("name") or root.name),
        licence=str(content.get("licence") or content.get("license") or "not stated"),
        modalities=_modalities(content.get("modality") or content.get("channel_names")),
        labels=_labels(content.get("labels")),
        pairs=_pairs(content.get("training")),
    )


def _modalities(declared: Any) -> tuple[str, ...]:
    if isinstance(declared, list) and declared:
        return tuple(str(name) for name in declared)
    if not isinstance(declared, dict) or sorted(declared) != sorted(str(i) for i in range(len(declared))):
        raise SeglineError(f'{_INDEX}: "modality" must name the channels, such as {{"0": "CT"}}')
    return tuple(str(declared[str(channel)]) for channel in range(len(declared)))


def _labels(declared: Any) -> dict[int, str]:
    if not isinstance(declared, dict) or not declared:
        raise SeglineError(f'{_INDEX}: "labels" must name the label values, such as {{"0": "background"}}')
    if all(str(key).isdecimal() for key in declared):
        pairs = [(int(key), str(name)) for key, name in declared.items()]
    elif all(type(value) is int for value in declared.values()):
        pairs = [(value, str(name)) for name, value in declared.items()]
    else:
        raise SeglineError(f'{_INDEX}: "labels" must map one whole number to one name each; no regions')
    labels = {0: "background", **dict(sorted(pairs))}
    if len(dict(pairs)) < len(pairs) or min(labels) < 0 or max(labels) > _MAX_LABEL or len(labels) < 2:
        raise SeglineError(
            f'{_INDEX}: "labels" must be different whole numbers from 0 to {_MAX_LABEL}, one or more above 0'
        )
    return labels


def _pairs(declared: Any) -> tuple[_Pair, ...]:
    if not isinstance(declared, list) or not declared:
        raise SeglineError(f'{_INDEX}: no training entries; "training" must list images and labels')
    pairs = tuple(_pair(entry, f"{_INDEX}: training entry {i}") for i, entry in enumerate(declared, 1))
    seen: dict[str, _Pair] = {}
    for pair in pairs:
        if pair.name in seen:
            first, second = seen[pair.name].images[0], pair.images[0]
            raise SeglineError(f"{second}: case name {pair.name} is also that of {first}; rename one")
        seen[pair.name] = pair
    return pairs


def _pair(entry: Any, where: str) -> _Pair:
    if not isinstance(entry, dict):
        raise SeglineError(f'{where} must be {{"image": ..., "label": ...}}')
    declared = entry.get("image")
    images: list[Any] = declared if isinstance(declared, list) else [declared]
    if not images or not all(isinstance(image, str) and image for image in images):
        raise SeglineError(f"{where} has no image; name its file, or a list with one file a channel")
    label = entry.get("label")
    if not isinstance(label, str) or not label:
        raise SeglineError(f"{where} ({images[0]}) has no label; name its file or move it to the test list")
    paths = [str(inner_path(image, where)) for image in images]
    return _Pair(_case_name(paths[0]), tuple(paths), str(inner_path(label, where)))


def _case_name(image: str) -> str:
    name = PurePosixPath(image).name
    return name.removesuffix(".gz").removesuffix(".nii").removesuffix("_0000")


def _examined(root: Path, pair: _Pair, declaration: _Declaration, records: Path | None) -> CaseEntry:
    images = tuple(_file_entry(root, path) for path in pair.images)
    label = _file_entry(root, pair.label)
    key = sha256_of_json(
        [_RECORD_VERSION, _content_digest(images, label), sorted(declaration.labels), declaration.modalities]
    )
    record = records / f"{key}.json" if records else None
    findings = _recorded(record, lambda: _findings(root, pair, declaration))
    return CaseEntry(name=pair.name, images=images, label=label, **findings.model_dump())


def _content_digest(images: tuple[FileEntry, ...], label: FileEntry) -> str:
    return sha256_of_json({"images": [file.sha256 for file in images], "label": label.sha256})


def _file_entry(root: Path, name: str) -> FileEntry:
    path = root / name
    if not path.is_file():
        raise SeglineError(f"{name}: no such file; add it or take its case out of {_INDEX}")
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


def _findings(root: Path, pair: _Pair, declaration: _Declaration) -> _Findings:
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


def _checked_images(root: Path, pair: _Pair, modalities: tuple[str, ...]) -> Grid:
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
            f"{pair.images[0]}: {channels} image channels, {_INDEX} declares {len(modalities)} "
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
        told, expected = _times(grid.shape), _times(image_grid.shape)
    else:
        told, expected = _place(grid), _place(image_grid)
    raise SeglineError(
        f"{subject} grid {told} differs from image grid {expected}; "
        "resample it onto the image or take the case out"
    )


def _times(values: tuple[int, ...]) -> str:
    return "x".join(map(str, values))


def _place(grid: Grid) -> str:
    spacing = "x".join(f"{size:g}" for size in grid.spacing_mm)
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
    problem = "not a whole number" if broken.size else f"not declared in {_INDEX}"
    more = f" and {len(values) - 1} more such values" if len(values) > 1 else ""
    raise SeglineError(
        f"{name}: label value {values[0]:g} in {counts[0]} voxels{more} is {problem}; "
        f"declared are {', '.join(map(str, labels))}: correct the label or declare the value"
    )
