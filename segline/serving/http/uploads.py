"""Uploads: files that strangers sent, as the images of one volume, with their size known."""

import re
from collections.abc import Sequence
from pathlib import Path

from segline.common.errors import SeglineError
from segline.common.wording import by
from segline.imaging.declared import Declared, declared
from segline.serving.http.bodies import Part
from segline.serving.http.faults import RefusedError
from segline.serving.http.settings import Settings
from segline.storage.archives import unpack

_ZIP, _GZIP, _DICOM, _DICOM_AT = b"PK", b"\x1f\x8b", b"DICM", 128
_SUFFIX = re.compile(r"(\.(nii|mgh|img|hdr))?\.[A-Za-z0-9]{2,5}$")
_SERIES = "series"


def images_of(files: Sequence[Part], folder: Path, settings: Settings) -> tuple[Path, ...]:
    """The images that uploaded files are: one a channel, one with all, or the folder of one DICOM series.

    Raises:
        RefusedError: there is none.
        SeglineError: an archive is damaged, too large, hostile, or has more than one series.
    """
    if not files:
        raise RefusedError(
            400, "no file came; send one as curl --data-binary @FILE does, or in a form's 'file'"
        )
    heads = [_head(part.path) for part in files]
    if all(head[_DICOM_AT : _DICOM_AT + 4] == _DICOM for head in heads):
        return (_gathered([part.path for part in files], folder),)
    if len(files) == 1 and heads[0].startswith(_ZIP):
        return _unpacked(files[0].path, folder, settings)
    return tuple(
        part.path.rename(part.path.with_name(f"image-{number}{_suffix(part.name, head)}"))
        for number, (part, head) in enumerate(zip(files, heads, strict=True))
    )


def require_taken(images: Sequence[Path], channels: int, settings: Settings) -> Declared:
    """The size of a volume, if it may be read.

    Raises:
        SeglineError: it says of itself that it is larger than it may be, or has other channels.
    """
    volume = declared(images)
    if volume.voxels > settings.voxels or volume.size_bytes > settings.unpacked_bytes:
        raise RefusedError(
            413,
            f"the volume has {by(volume.shape)} voxels of {volume.channels} channels; at most "
            f"{settings.voxels} voxels and {settings.unpacked_bytes / 1e9:.1f} GB are taken",
        )
    if volume.channels != channels:
        raise SeglineError(
            f"the image has {volume.channels} channels, the model wants {channels}; send one file a channel, "
            "in the model's order, or one file with all"
        )
    return volume


def _unpacked(archive: Path, folder: Path, settings: Settings) -> tuple[Path, ...]:
    """Of a zip, the one folder with files, or the one file."""
    inside = folder / "unpacked"
    unpack(archive, inside, settings.unpacked_bytes)
    archive.unlink()
    files = sorted(path for path in inside.rglob("*") if path.is_file())
    if len(files) == 1 and _head(files[0])[_DICOM_AT : _DICOM_AT + 4] != _DICOM:
        return (files[0],)
    folders = sorted({path.parent for path in files})
    if len(folders) > 1:
        raise SeglineError(
            f"the zip has files in {len(folders)} folders; send the slices of one series, in one folder"
        )
    return (folders[0],)


def _gathered(files: Sequence[Path], folder: Path) -> Path:
    series = folder / _SERIES
    series.mkdir()
    for path in files:
        path.rename(series / f"{path.name}.dcm")
    return series


def _head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(_DICOM_AT + len(_DICOM))


def _suffix(name: str, head: bytes) -> str:
    """Of what the client called a file; of NIfTI where it said nothing."""
    match = _SUFFIX.search(name)
    usual = ".nii.gz" if head.startswith(_GZIP) else ".nii"
    return match[0].lower() if match else usual
