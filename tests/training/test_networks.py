"""Every network by name trains, is exported, and gives the same on every backend."""

from pathlib import Path
from typing import Any

import pytest
import torch

from segline.backends import open_backend
from segline.data.cases.index import CaseIndex
from segline.export.onnx import export_onnx
from segline.model.graphs import require_plain
from segline.model.package import Model
from segline.plan import NETWORKS, Plan, merged
from segline.planning.proposals import accepted_patch, propose_network
from segline.training.state import Checkpoint
from segline.training.trainer import Trainer

SMALL: dict[str, dict[str, Any]] = {
    "dynunet": {"channels": [4, 8, 8], "strides": [[2, 2, 2]] * 2},
    "swin_unetr": {"feature_size": 12, "depths": [2, 1, 1, 1]},
    "highresnet": {"repeats": 1},
    "basic_unet": {"features": [4, 4, 8, 8, 8, 4]},
}
"""What makes one train in seconds."""
LARGE = ("swin_unetr", "vnet")
"""Half a minute or more."""
SEGMENTERS = [name for name, network in NETWORKS.items() if network.answers == "voxels"]


def planned(tiny_plan: Plan, name: str, **settings: Any) -> Plan:
    """The tiny plan with a network of this name, and two steps of training."""
    values = merged(propose_network((16, 16, 16), name), {**SMALL.get(name, {}), **settings})
    patch = accepted_patch((16, 16, 16), NETWORKS[name].model_validate(values))
    return Plan.parse(
        tiny_plan.model_dump(mode="json")
        | {
            "network": values,
            "training": {"patch_size": patch, "batch_size": 3, "epochs": 2, "validations": 1},
            "inference": {"smallest_window": patch, "largest_window": patch, "overlap": (4, 4, 4)},
        },
        "plan",
    )


def trained(plan: Plan, index: CaseIndex, folder: Path) -> Model:
    """The package of a training of two steps."""
    cases = index.open(plan.split.train), index.open(plan.split.val)
    trainer = Trainer(plan, *cases, Checkpoint(folder / "checkpoint.pt"))
    history = trainer.run()
    assert history.steps == 2
    return Model.write(folder / "model", plan, trainer.best_weights, history)


def _in_ci(name: str) -> Any:
    return pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name


@pytest.mark.parametrize("name", map(_in_ci, SEGMENTERS))
def test_a_network_trains_is_exported_and_gives_the_same_on_every_backend(
    name: str, tiny_plan: Plan, tiny_index: CaseIndex, tmp_path: Path
) -> None:
    model = trained(planned(tiny_plan, name), tiny_index, tmp_path)
    export_onnx(model, tiny_index.open(model.plan.split.val), patches=2)
    require_plain(model.onnx)
    x, y, z = model.plan.training.patch_size
    backends = [open_backend(b, model, "cpu") for b in ("pytorch", "onnxruntime", "openvino")]
    sizes = [(2, x, y, z)] if model.plan.network.needs_fixed_graph else [(2, x, y, z), (1, x, 2 * y, z)]
    for batch, *edges in sizes:
        windows = torch.rand(batch, 1, *edges, generator=torch.Generator().manual_seed(0))
        reference, *others = (backend(windows) for backend in backends)
        assert reference.shape == (batch, 2, *edges)
        for scores in others:
            assert torch.allclose(reference, scores, atol=1e-3)
