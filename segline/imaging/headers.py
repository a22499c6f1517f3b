"""What a NIfTI header means: where its voxels lie, and a header for a mask that lies there too.

Three parts of a header say something of the place: ``pixdim`` the spacing, and ``qform`` and ``sform``, each
only where its code is above 0, the rest. Readers choose differently among them where they disagree (nibabel
takes the sform, ITK mostly the qform, and the spacing always from pixdim), so that nothing here is decided
that the header leaves open.

Needs NumPy and nibabel alone: a MONAI bundle carries this module as it is.
"""

from typing import Any

import nibabel as nib
import numpy as np

Header = Any
"""A nibabel ``Nifti1Header`` or ``Nifti2Header``."""

ROUNDING_MM = 0.1
"""As far apart as two descriptions of one place may put the farthest voxel."""
_ROUNDING = 2e-3
"""Of a spacing."""
_QUATERNION_ROUNDING = 1e-3
_MM_IN_UNIT = {1: 1e3, 2: 1.0, 3: 1e-3}
"""Metre, millimetre, micrometre; unknown units are taken for millimetres, as everywhere."""
_OF_THE_PLACE = (
    *("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d"),
    *("qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z", "xyzt_units"),
)


class HeaderError(ValueError):
    """A header that does not say where the voxels are, or says two things."""


def affine_of(header: Header) -> np.ndarray:
    """``(4, 4)`` float64, voxel index to mm, RAS+.

    The sform where it agrees with pixdim, else the qform, which shares pixdim; with neither, as ITK reads it:
    the first voxel at 0, the axes towards left, posterior and superior.

    Raises:
        HeaderError: the spacing is missing, sform and pixdim differ with no qform to decide, or qform and
            sform turn the axes to other sides of the patient.
    """
    sform, qform, spacing = _sform(header), _qform(header), _spacing_mm(header)
    if sform is None and qform is None:
        return np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
    if sform is None:
        return _known(qform)
    if qform is None:
        if not _fits(sform, spacing):
            raise HeaderError(
                f"the sform has a spacing of {_told(_norms(sform))} mm, pixdim of {_told(spacing)} mm; "
                "correct one of them"
            )
        return sform
    if not _fits(sform, spacing):
        return qform
    turned = [nib.aff2axcodes(affine) for affine in (qform, sform)]
    if turned[0] != turned[1]:
        q, s = ("".join(map(str, codes)) for codes in turned)
        raise HeaderError(f"the axes run to {q} by the qform and to {s} by the sform; correct one of them")
    return sform


def contradiction(header: Header) -> str:
    """What qform and sform disagree on that nothing in the header decides, in words; empty if nothing."""
    sform, qform = _sform(header), _qform(header)
    if sform is None or qform is None or not _fits(sform, _spacing_mm(header)):
        return ""
    apart = _apart_mm(sform, qform, header)
    if apart <= ROUNDING_MM:
        return ""
    return f"qform and sform put the farthest voxel {apart:.2f} mm apart; correct one, or set its code to 0"


def remarks(header: Header) -> list[str]:
    """What is odd, and how it was decided, in words."""
    sform, qform, spacing = _sform(header), _qform(header), _spacing_mm(header)
    odd = []
    if sform is None and qform is None:
        odd.append(
            "the header has no orientation (qform_code and sform_code are 0); LPS is taken, as ITK does"
        )
    if sform is not None and qform is not None and not _fits(sform, spacing):
        odd.append(
            f"the sform has a spacing of {_told(_norms(sform))} mm, qform and pixdim of {_told(spacing)} mm; "
            "these are taken"
        )
    if _mm_in_unit(header) != 1:
        odd.append(f"the header is not in mm; its spacing is {_told(spacing)} mm")
    if differ := contradiction(header):
        odd.append(differ)
    return odd


def image_like(array: np.ndarray, header: Header) -> nib.Nifti1Image:
    """An image of ``array`` ``(X, Y, Z)`` that every reader puts where it puts the file with ``header``.

    Of the header, only what places voxels is carried on: no description, no name.
    """
    new = nib.Nifti1Header()
    new.set_data_dtype(array.dtype)
    new.set_data_shape(array.shape)
    for field in _OF_THE_PLACE:
        new[field] = header[field]
    new["pixdim"][:4] = header["pixdim"][:4]
    return nib.Nifti1Image(array, None, new)


def _mm_in_unit(header: Header) -> float:
    return _MM_IN_UNIT.get(int(header["xyzt_units"]) & 7, 1.0)


def _spacing_mm(header: Header) -> np.ndarray:
    spacing = np.array(header["pixdim"][1:4], dtype=np.float64) * _mm_in_unit(header)
    if not (np.isfinite(spacing) & (spacing > 0)).all():
        raise HeaderError(f"pixdim gives the spacing {_told(spacing)}; three lengths above 0 are needed")
    return spacing


def _sform(header: Header) -> np.ndarray | None:
    """The affine of the sform in mm, where there is one."""
    if header["sform_code"] <= 0:
        return None
    rows = [header[name] for name in ("srow_x", "srow_y", "srow_z")]
    affine = np.array([*rows, [0, 0, 0, 1]], dtype=np.float64)
    affine[:3] *= _mm_in_unit(header)
    if not np.isfinite(affine).all() or np.linalg.matrix_rank(affine) < 4:
        raise HeaderError("the sform places no volume in space; repair the sform or qform")
    return affine


def _qform(header: Header) -> np.ndarray | None:
    """The affine of the qform in mm, where there is one; a quaternion longer than 1 by rounding is 1 long."""
    if header["qform_code"] <= 0:
        return None
    spacing = _spacing_mm(header)
    bcd = np.array([header[f"quatern_{part}"] for part in "bcd"], dtype=np.float64)
    offset = np.array([header[f"qoffset_{axis}"] for axis in "xyz"], dtype=np.float64) * _mm_in_unit(header)
    length = float(np.linalg.norm(bcd))
    if not np.isfinite([*bcd, *offset]).all() or length > 1 + _QUATERNION_ROUNDING:
        raise HeaderError(
            f"the qform has a quaternion of length {length:.4g}; repair it, at most 1 is possible"
        )
    real = np.sqrt(max(0.0, 1 - length**2))
    rotation = nib.quaternions.quat2mat([real, *(bcd if real else bcd / length)])
    qfac = -1.0 if header["pixdim"][0] < 0 else 1.0
    affine = np.eye(4)
    affine[:3, :3] = rotation * spacing * [1, 1, qfac]
    affine[:3, 3] = offset
    return affine


def _known(affine: np.ndarray | None) -> np.ndarray:
    assert affine is not None
    return affine


def _norms(affine: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.norm(affine[:3, :3], axis=0))


def _fits(affine: np.ndarray, spacing: np.ndarray) -> bool:
    return bool(np.allclose(_norms(affine), spacing, rtol=_ROUNDING, atol=0))


def _apart_mm(a: np.ndarray, b: np.ndarray, header: Header) -> float:
    """Largest distance of a corner voxel's centre under the two affines."""
    last = np.maximum(np.array(header["dim"][1:4], dtype=float) - 1, 0)
    corners = np.array(np.meshgrid(*[(0, end) for end in last], [1])).reshape(4, -1)
    return float(np.linalg.norm(((a - b) @ corners)[:3], axis=0).max())


def _told(lengths: np.ndarray) -> str:
    return "x".join(f"{length:.5g}" for length in lengths)
