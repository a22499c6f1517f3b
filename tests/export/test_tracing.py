"""Graphs of any size: traced at two, or with symbols; ``tests/training`` runs those of all networks."""

import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from segline.export.tracing import graph_of
from segline.networks.catalogue import build_network
from segline.networks.folding import folded

from ..conftest import small_plan

pytestmark = pytest.mark.heavy


class Scaled(nn.Module):
    """A network that computes with the size of its windows."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(1, 2, 1)

    def forward(self, windows: Tensor) -> Tensor:
        scores: Tensor = self.conv(windows) * windows.shape[3]
        return scores


def test_a_network_that_knows_its_size_answers_windows_of_another() -> None:
    network = Scaled().eval()
    session = onnxruntime.InferenceSession(graph_of(network, small_plan()))
    windows = torch.rand(3, 1, 16, 24, 8, generator=torch.Generator().manual_seed(0))
    found = torch.from_numpy(session.run(None, {"windows": windows.numpy()})[0])
    with torch.no_grad():
        assert torch.allclose(network(windows), found, atol=1e-4)


def test_the_axes_are_named_and_no_size_is_left_between() -> None:
    plan = small_plan()
    graph = onnx.load_from_string(graph_of(folded(build_network(plan).eval()), plan)).graph
    (windows,), (scores,) = graph.input, graph.output
    for value, channels in ((windows, 1), (scores, 2)):
        edges = [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        assert edges == ["batch", channels, "x", "y", "z"]
    assert not graph.value_info
