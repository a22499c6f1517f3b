from pathlib import Path

import numpy as np
import pytest

from segline.common.errors import SeglineError
from segline.model.package import Model
from segline.serving.models.proof import _witness, made_up, require_proven
from segline.serving.models.served import Served


class Off:
    """A backend that answers otherwise than the network it has."""

    name, precision, version = "off", "float32", "off 1.0"
    device = "cpu"

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        scores = np.zeros((len(windows), 2, *windows.shape[2:]), np.float32)
        scores[:, 1] = windows[:, 0] - 0.5
        return scores


def test_the_exported_graph_is_proven(tiny_model: Model, ct_file: Path) -> None:
    served = Served(tiny_model, wanted="openvino").opened()
    require_proven(served)
    require_proven(served, [ct_file])


def test_a_backend_that_answers_otherwise_is_refused(tiny_model: Model) -> None:
    served = Served(tiny_model, "tiny/1")
    vars(served)["backend"] = Off()
    with pytest.raises(
        SeglineError, match=r"tiny/1: off gives 0\.\d+ of onnxruntime's voxels on the stored case"
    ):
        require_proven(served)


@pytest.mark.parametrize(
    ("served", "witness"),
    [("onnxruntime", "openvino"), ("openvino", "onnxruntime"), ("pytorch", "onnxruntime")],
)
def test_the_witness_is_another_runtime(served: str, witness: str, tiny_model: Model) -> None:
    assert _witness(Served(tiny_model, wanted=served, device="cpu")).name == witness


def test_a_package_without_a_graph_has_no_other_witness_than_its_weights(
    tiny_model: Model, tmp_path: Path
) -> None:
    bare = tiny_model.copied_to(tmp_path / "model")
    for graph in bare.folder.glob("*.onnx*"):
        graph.unlink()
    require_proven(Served(bare, wanted="pytorch", device="cpu"))
    assert _witness(Served(bare, wanted="pytorch", device="cpu")).name == "pytorch"


def test_the_made_up_case_is_the_same_every_time_and_neither_empty_nor_full(tiny_model: Model) -> None:
    volume = made_up(tiny_model.plan)
    assert (volume.array == made_up(tiny_model.plan).array).all()
    served = Served(tiny_model, wanted="pytorch", device="cpu").opened()
    mask = served.reply(volume).answer
    assert 0 < (mask.array > 0).mean() < 1
