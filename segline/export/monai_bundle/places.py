"""The script that a bundle carries: volumes read, and masks written, where segline puts them."""

import inspect
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from monai.data import NibabelReader, NibabelWriter

from segline.imaging import headers
from segline.imaging.headers import affine_of, image_like

SCRIPT = "scripts/places.py"


class Reader(NibabelReader):
    """MONAI's, but for where the voxels lie."""

    def _get_affine(self, img: Any) -> np.ndarray:
        return affine_of(img.header)


class Writer(NibabelWriter):
    """MONAI's, but that every reader puts the mask where it puts the image."""

    def set_metadata(self, meta_dict: Any, resample: bool = True, **options: Any) -> None:
        super().set_metadata(meta_dict, resample, **options)
        self.image = Path(str(meta_dict["filename_or_obj"]))

    def write(self, filename: Any, verbose: bool = False, **options: Any) -> None:  # noqa: ARG002
        mask = np.asfortranarray(np.asarray(self.data_obj).squeeze().astype(self.output_dtype))
        nib.save(image_like(mask, nib.load(self.image).header), filename)


def script() -> str:
    """What a header means, and both classes, as a module that needs MONAI and nibabel alone."""
    imports = "from pathlib import Path\n\nfrom monai.data import NibabelReader, NibabelWriter"
    return "\n\n\n".join([inspect.getsource(headers), imports, *map(inspect.getsource, (Reader, Writer))])
