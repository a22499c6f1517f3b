"""iSeg-2017: infants' brains in Analyze pairs, brought into a Decathlon folder.

Wang et al., Benchmark on automatic six-month-old infant brain segmentation algorithms, IEEE TMI 2019.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from segline.common import atomic
from segline.common.digests import sha256_of_file
from segline.common.errors import SeglineError
from segline.common.limits import require_fits
from segline.common.wording import by

CHANNELS = ("T1", "T2")
LABELS = {0: "background", 10: "cerebrospinal fluid", 150: "grey matter", 250: "white matter"}
_SUBJECT = re.compile(r"subject-(\d+)-T1\.hdr")
_LICENCE = "as iSeg-2017, https://iseg2017.web.unc.edu"


def has_subjects(root: Path) -> bool:
    """Whether a folder holds files named as iSeg's, such as ``subject-1-T1.hdr``."""
    return any(_SUBJECT.fullmatch(path.name) for path in root.iterdir())


def content_of(root: Path) -> str:
    """SHA-256 over the names and contents of all of its pairs.

    Raises:
        SeglineError: a file of a pair is missing.
    """
    digest = hashlib.sha256()
    for subject in _subjects(root):
        for part in (*CHANNELS, "label"):
            for path in _pair(root, subject, part).values():
                digest.update(f"{path.name} {sha256_of_file(path)}\n".encode())
    return digest.hexdigest()


def convert(root: Path, folder: Path) -> None:
    """Write every subject as NIfTI files of one channel each, and a ``dataset.json`` of those with a label.

    Analyze says nothing of how the patient lies, and nor do the files that are written; each is read with
    that remark.

    Raises:
        SeglineError: a file of a pair is missing, cannot be read, or is larger than may be; or no subject has
            a label.
    """
    with atomic.new_folder(folder) as scratch:
        labelled, others = [], []
        for subject in _subjects(root):
            images = [f"imagesTr/subject_{subject:02d}_{n:04d}.nii.gz" for n in range(len(CHANNELS))]
            for part, name in zip(CHANNELS, images, strict=True):
                _write(_pair(root, subject, part), scratch / name)
            label = f"labelsTr/subject_{subject:02d}.nii.gz"
            if pair := _pair(root, subject, "label"):
                _write(pair, scratch / label)
                labelled.append({"image": images, "label": label})
            else:
                others.append(images)
        if not labelled:
            raise SeglineError(f"{root}: no subject has a label, such as subject-1-label.hdr; add them")
        index = {
            "name": "iSeg-2017",
            "licence": _LICENCE,
            "modality": {str(number): name for number, name in enumerate(CHANNELS)},
            "labels": {str(value): name for value, name in LABELS.items()},
            "training": labelled,
            "test": others,
        }
        atomic.write_text(scratch / "dataset.json", json.dumps(index, indent=2) + "\n")


def _subjects(root: Path) -> list[int]:
    return sorted(int(found[1]) for path in root.iterdir() if (found := _SUBJECT.fullmatch(path.name)))


def _pair(root: Path, subject: int, part: str) -> Mapping[str, Path]:
    """Header and voxels; nothing where there is no label."""
    header, voxels = (root / f"subject-{subject}-{part}.{suffix}" for suffix in ("hdr", "img"))
    if part == "label" and not header.is_file():
        return {}
    for path in (header, voxels):
        if not path.is_file():
            raise SeglineError(f"{path}: no such file; put it beside the rest of the subject")
    return {"header": header, "image": voxels}


def _write(pair: Mapping[str, Path], path: Path) -> None:
    name = pair["header"].name
    try:
        image = nib.AnalyzeImage.from_filename(str(pair["header"]))
        require_fits(8.0 * float(np.prod(np.array(image.shape, float))), f"{name}: {by(image.shape)} voxels")
        array = np.asarray(image.dataobj)
    except (ImageFileError, HeaderDataError, OSError, ValueError) as error:
        raise SeglineError(f"{name}: not a readable Analyze pair ({error}); fetch it again") from error
    voxels = array[..., 0] if array.ndim == 4 and array.shape[3] == 1 else array
    if voxels.ndim != 3:
        raise SeglineError(f"{name}: a volume of three axes is needed, this one is {by(array.shape)}")
    written = nib.Nifti1Image(voxels, None)
    written.header.set_zooms(image.header.get_zooms()[:3])
    written.header.set_xyzt_units("mm")
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(written, path)
