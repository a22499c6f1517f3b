"""DICOM files: which of a folder's are images, and of which series."""

import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from segline.common.errors import SeglineError, imports_of

if TYPE_CHECKING:
    from pydicom import Dataset, FileDataset

_MAGIC, _MAGIC_AT = b"DICM", 128
_DEFLATED = "1.2.840.10008.1.2.1.99"
_SUFFIXES = (".dcm", ".ima", ".dicom")
_DEFERRED_BYTES = 1 << 12
"""Larger elements, as pixels are, stay in the file until they are asked for."""


@dataclass(frozen=True)
class ImageFile:
    """A file with one image, or with many frames."""

    path: Path
    dataset: "Dataset"

    @property
    def series(self) -> str:
        """Of which series it is."""
        return str(self.dataset.get("SeriesInstanceUID", ""))

    @property
    def modality(self) -> str:
        """Such as ``CT``."""
        return str(self.dataset.get("Modality", "images"))


def image_file(path: Path) -> ImageFile:
    """A file that must be an image.

    Raises:
        SeglineError: pydicom is not installed, or the file is no DICOM image or damaged.
    """
    opened = _opened(path)
    if opened is None:
        raise SeglineError(f"{path}: no DICOM image; give a folder with one series, or a NIfTI file")
    return opened


def image_files(folder: Path) -> list[ImageFile]:
    """The images among a folder's files; what is something else, such as a report, is passed over.

    Raises:
        SeglineError: pydicom is not installed, or a file that must be an image by its name cannot be read.
    """
    images, others = [], []
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        try:
            opened = _opened(path)
        except SeglineError:
            if not has_magic(path):
                others.append(path)
                continue
            raise
        if opened is not None:
            images.append(opened)
    _require_no_gap(images, others)
    return images


def is_image(path: Path) -> bool:
    """Whether a file is a DICOM image, or should be one, as far as its first bytes and its name tell.

    A directory, a report or a segmentation is none.
    """
    called_so = path.suffix.lower() in _SUFFIXES
    try:
        if not has_magic(path):
            return called_so
    except OSError:
        return called_so
    try:
        meta = _pydicom().filereader.read_file_meta_info(path)
        return "Image" in meta.MediaStorageSOPClassUID.name
    except Exception:  # damaged, or pydicom is not installed: whoever reads it says so
        return path.name != "DICOMDIR"


def _require_no_gap(images: Iterable[ImageFile], others: Iterable[Path]) -> None:
    """A file called like the images that is none is a damaged one: without it the stack would end early."""
    patterns = {_pattern(image.path) for image in images}
    for path in others:
        if path.suffix.lower() in _SUFFIXES or _pattern(path) in patterns:
            raise SeglineError(f"{path}: no readable DICOM file; export the series again")


def _pattern(path: Path) -> str:
    return re.sub(r"\d+", "#", path.name)


def _opened(path: Path) -> ImageFile | None:
    """None for an object without pixels, such as a directory or a report."""
    pydicom = _pydicom()
    with_magic = has_magic(path)
    try:
        if with_magic and pydicom.filereader.read_file_meta_info(path).get("TransferSyntaxUID") == _DEFLATED:
            raise SeglineError(f"{path}: a deflated DICOM file; export it uncompressed, or as JPEG 2000")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.filterwarnings("error", message="End of file")
            dataset = pydicom.dcmread(path, defer_size=_DEFERRED_BYTES, force=not with_magic)
    except SeglineError:
        raise
    except Exception as error:  # pydicom has no one class for what a damaged file brings about
        reason = str(error).strip().partition("\n")[0]
        raise SeglineError(f"{path}: no readable DICOM file ({reason}); export the series again") from error
    if "Rows" in dataset:
        return ImageFile(path, dataset)
    if not with_magic or _is_called_image(dataset):
        raise SeglineError(f"{path}: no readable DICOM file; export the series again")
    return None


def _is_called_image(dataset: "FileDataset") -> bool:
    """Whether it should have pixels by its class; nothing else may have ended it before that was said."""
    kind = dataset.get("SOPClassUID") or dataset.file_meta.get("MediaStorageSOPClassUID")
    return not kind or "Image" in kind.name


def has_magic(path: Path) -> bool:
    """Whether a file says by its first bytes that it is DICOM."""
    with path.open("rb") as stream:
        stream.seek(_MAGIC_AT)
        return stream.read(len(_MAGIC)) == _MAGIC


def _pydicom():  # type: ignore[no-untyped-def]  # a module
    with imports_of("dicom", "to read DICOM"):
        import pydicom
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    return pydicom
