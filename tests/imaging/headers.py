"""NIfTI files whose headers say what the test wants of them."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import SimpleITK
from scipy.spatial.transform import Rotation

ARRAY = np.arange(24 * 20 * 16, dtype=np.int16).reshape(24, 20, 16)


def placed(
    spacing: Any = (1.5, 2.0, 3.0), origin: Any = (5.0, -6.0, 7.0), degrees: Any = (0, 0, 0)
) -> np.ndarray:
    """An affine of orthogonal axes."""
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix() * np.array(spacing)
    affine[:3, 3] = origin
    return affine


def write_nifti(
    path: Path,
    *,
    qform: np.ndarray | None = None,
    sform: np.ndarray | None = None,
    codes: tuple[int, int] = (1, 1),
    array: np.ndarray = ARRAY,
    endianness: str = "<",
    version: type[nib.Nifti1Image] = nib.Nifti1Image,
    **fields: Any,
) -> Path:
    """A file with these forms and codes (qform's, sform's); ``fields`` are written into its header last."""
    header = version.header_class(endianness=endianness)
    image = version(array, None, header)
    image.set_data_dtype(array.dtype)
    if qform is not None:
        image.header.set_qform(qform, code=max(codes[0], 1))
    if sform is not None:
        image.header.set_sform(sform, code=max(codes[1], 1))
    image.header.set_zooms(np.linalg.norm((qform if qform is not None else sform)[:3, :3], axis=0))
    image.header["qform_code"], image.header["sform_code"] = codes
    image.header.set_xyzt_units("mm")
    payload = bytearray(image.to_bytes())
    block = version.header_class(bytes(payload[: image.header.sizeof_hdr]), endianness, check=False)
    for name, value in fields.items():
        if name == "spacing":
            block["pixdim"][1:4] = value
        else:
            block[name] = value
    payload[: image.header.sizeof_hdr] = block.binaryblock
    path.write_bytes(payload)
    return path


def itk_affine(path: Path) -> np.ndarray:
    """RAS, of what SimpleITK opens."""
    image = SimpleITK.ReadImage(str(path))
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return np.diag([-1, -1, 1, 1]) @ affine
