"""The pyfunc as MLflow calls it, in this process."""

from pathlib import Path

import numpy as np
import pandas
import pytest

from segline.backends import open_backend
from segline.common.errors import SeglineError
from segline.data.manifest import Manifest
from segline.imaging.files import read_volume
from segline.inference.predictor import Predictor
from segline.model.package import Model
from segline.serving.pyfunc import _load_pyfunc


def rows(images: list[Path], masks: list[Path]) -> pandas.DataFrame:
    return pandas.DataFrame({"image": map(str, images), "mask": map(str, masks)}, index=[7, 9][: len(images)])


def test_it_writes_the_masks_that_the_backend_gives(
    tiny_model: Model, phantoms: Manifest, tmp_path: Path
) -> None:
    images = [Path(phantoms.root, case.images[0].path) for case in phantoms.cases[:2]]
    masks = [tmp_path / "one.nii", tmp_path / "two.nii.gz"]
    written = _load_pyfunc(str(tiny_model.folder)).predict(rows(images, masks), {"backend": "openvino"})
    predictor = Predictor(tiny_model.plan, open_backend("openvino", tiny_model, "cpu"))
    for image, mask in zip(images, masks, strict=True):
        assert np.array_equal(read_volume(mask).array, predictor(read_volume(image)).array)
    assert list(written.index) == [7, 9] and list(written["mask"]) == list(map(str, masks))
    assert list(written["labelled_voxels"]) == [int((read_volume(m).array > 0).sum()) for m in masks]


def test_a_file_that_is_no_mask_is_refused_before_anything_is_predicted(
    tiny_model: Model, phantoms: Manifest, tmp_path: Path
) -> None:
    image = Path(phantoms.root, phantoms.cases[0].images[0].path)
    with pytest.raises(
        SeglineError, match=r"mask\.png: a mask's file must end in \.nii\.gz or \.nii or \.nrrd$"
    ):
        _load_pyfunc(str(tiny_model.folder)).predict(
            rows([image, image], [tmp_path / "mask.nii", tmp_path / "mask.png"])
        )
    assert not list(tmp_path.iterdir())
