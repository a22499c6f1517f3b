from pathlib import Path

import pytest

from segline.errors import SeglineError, UnavailableError
from segline.machine import nvidia_driver_missing
from segline.model import Model
from segline.tensorrt import build_tensorrt

MISSING = nvidia_driver_missing()


@pytest.mark.skipif(MISSING is None, reason="this machine has an NVIDIA GPU")
def test_without_a_gpu_the_build_is_skipped_with_the_reason(tiny_model: Model, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError) as caught:
        build_tensorrt(tiny_model, tmp_path)
    assert str(caught.value) == MISSING
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(MISSING is not None, reason="this machine has no NVIDIA GPU")
def test_with_a_gpu_the_build_is_skipped_too_for_another_reason(tiny_model: Model, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="builds no engines yet"):
        build_tensorrt(tiny_model, tmp_path)


def test_a_model_that_was_not_exported_is_refused(tiny_model: Model, tmp_path: Path) -> None:
    model = tiny_model.copied_to(tmp_path / "model")
    model.onnx.unlink()
    with pytest.raises(SeglineError, match="run export_onnx first"):
        build_tensorrt(model, tmp_path / "engines")
