from pathlib import Path

import pytest
import torch
from torch import Tensor

from segline.common.errors import SeglineError
from segline.model.package import Model
from segline.serving.models.proof import made_up, require_proven
from segline.serving.models.served import Served


class Off:
    """A backend that answers otherwise than the network it has."""

    name, precision, version = "off", "float32", "off 1.0"
    device = torch.device("cpu")

    def __call__(self, windows: Tensor) -> Tensor:
        scores = torch.zeros(len(windows), 2, *windows.shape[2:])
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
        SeglineError, match=r"tiny/1: off gives 0\.\d+ of PyTorch's voxels on the stored case"
    ):
        require_proven(served)


def test_the_made_up_case_is_the_same_every_time_and_neither_empty_nor_full(tiny_model: Model) -> None:
    volume = made_up(tiny_model.plan)
    assert (volume.array == made_up(tiny_model.plan).array).all()
    served = Served(tiny_model, wanted="pytorch", device="cpu").opened()
    mask = served.reply(volume).answer
    assert 0 < (mask.array > 0).mean() < 1
