"""Networks that answer classes train, are exported, and give the same on every backend, in 2-D and 3-D."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from segline.backends import open_backend
from segline.data.cases.case import Case
from segline.data.cases.index import CaseIndex
from segline.export.onnx import export_onnx
from segline.inference.stitching import WindowScorer
from segline.model.graphs import require_plain
from segline.model.package import Model
from segline.plan import Plan
from segline.training.objectives.objective import unchanged
from segline.training.ranks import ALONE, Ranks
from segline.training.state import Checkpoint
from segline.training.trainer import Trainer

from ..networks.test_architectures import planned


@dataclass(frozen=True)
class RandomImages:
    """Bright or dark noise, and which it is."""

    plan: Plan
    size: int
    first: int = 0
    steps_per_epoch: int = 1

    def cases_of(self, step: int) -> Sequence[int]:  # noqa: ARG002
        return [0]

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(step)
        target = torch.randint(0, len(self.plan.labels), (self.size,), generator=generator)
        noise = torch.rand(self.size, 1, *self.plan.training.patch_size, generator=generator)
        return noise + target.view(-1, 1, 1, 1, 1), target


class Brightness:
    """An objective of one class an image."""

    figure = "dice"

    def names(self, plan: Plan) -> Sequence[str]:
        return list(plan.foreground.values())

    def details(self, plan: Plan) -> Sequence[str]:  # noqa: ARG002
        return ()

    def sampler(
        self,
        plan: Plan,
        cases: Sequence[Case],  # noqa: ARG002
        batch_size: int | None = None,
        part: tuple[int, int] = (0, 1),  # noqa: ARG002
    ) -> RandomImages:
        return RandomImages(plan, batch_size or plan.training.batch_size)

    def loss(
        self,
        plan: Plan,  # noqa: ARG002
        scores: Tensor,
        target: Tensor,
        add_up: Callable[[Tensor], Tensor] = unchanged,  # noqa: ARG002
    ) -> Tensor:
        return functional.cross_entropy(scores, target)

    def validate(
        self,
        network: WindowScorer,
        plan: Plan,
        cases: Sequence[Case],
        device: torch.device,  # noqa: ARG002
        ranks: Ranks = ALONE,  # noqa: ARG002
    ) -> Tensor:
        images, target = RandomImages(plan, 4).batch(99)
        right = (network(images).argmax(1) == target).double().mean()
        return right.expand(len(cases), len(plan.foreground))

    def finished(self, network: Any, plan: Plan, *rest: Any) -> Plan:  # noqa: ARG002
        return plan

    def agreement(self, a: Tensor, b: Tensor) -> tuple[int, int]:
        return int((a.argmax(1) == b.argmax(1)).sum()), len(a)


def trainer_of(plan: Plan, index: CaseIndex, checkpoint: Path) -> Trainer:
    cases = index.open(["phantom_000"]), index.open(["phantom_001"])
    return Trainer(plan, *cases, Checkpoint(checkpoint), objective=Brightness())


def short(name: str, epochs: int = 2, **settings: Any) -> Plan:
    plan = planned(name, settings, edge=32)
    training = plan.training.model_copy(update={"epochs": epochs, "validations": 1, "batch_size": 4})
    return plan.model_copy(update={"training": training})


@pytest.mark.parametrize(
    ("name", "spatial_dims"),
    [
        # half a minute to a minute each
        pytest.param("densenet121", 2, marks=pytest.mark.slow),
        pytest.param("densenet121", 3, marks=pytest.mark.slow),
        pytest.param("efficientnet-b0", 3, marks=pytest.mark.slow),
        pytest.param("resnet18", 3, marks=pytest.mark.slow),
        ("efficientnet-b0", 2),
        ("resnet18", 2),
        ("resnet10", 3),
    ],
)
def test_a_classifier_trains_is_exported_and_gives_the_same_on_every_backend(
    name: str, spatial_dims: int, tiny_index: CaseIndex, tmp_path: Path
) -> None:
    plan = short(name, spatial_dims=spatial_dims)
    trainer = trainer_of(plan, tiny_index, tmp_path / "checkpoint.pt")
    history = trainer.run()
    assert history.steps == 2
    model = Model.write(tmp_path / "model", plan, trainer.best_weights, history)
    export_onnx(model, tiny_index.open(["phantom_001"]), patches=2, objective=Brightness())
    require_plain(model.onnx)
    double = [2 * edge if edge > 1 else 1 for edge in plan.training.patch_size]
    for size in (plan.training.patch_size, double):
        windows = torch.rand(2, 1, *size, generator=torch.Generator().manual_seed(0))
        reference, *others = (
            open_backend(b, model, "cpu")(windows) for b in ("pytorch", "onnxruntime", "openvino")
        )
        assert reference.shape == (2, 3)
        for scores in others:
            assert torch.allclose(reference, scores, atol=1e-3)


def test_what_is_dropped_at_random_is_the_same_when_a_training_is_resumed(
    tiny_index: CaseIndex, tmp_path: Path
) -> None:
    """EfficientNet drops blocks and features."""
    plan = short("efficientnet-b0", epochs=4, spatial_dims=2)
    unbroken = trainer_of(plan, tiny_index, tmp_path / "unbroken.pt")
    unbroken.run()
    begun = trainer_of(plan, tiny_index, tmp_path / "broken.pt")
    losses = [begun.train_step(1e-3), begun.train_step(1e-3)]
    begun.checkpoint.write(begun.state.content())
    torch.manual_seed(12345)
    resumed = trainer_of(plan, tiny_index, tmp_path / "broken.pt")
    assert resumed.step == 2
    again = [begun.train_step(1e-3), begun.train_step(1e-3)]
    assert torch.equal(resumed.train_step(1e-3), again[0])
    assert torch.equal(resumed.train_step(1e-3), again[1])
    assert len({float(loss) for loss in (*losses, *again)}) == 4


def test_a_classifier_learns(tiny_index: CaseIndex, tmp_path: Path) -> None:
    plan = short("resnet10", epochs=40, spatial_dims=2)
    trainer = trainer_of(plan, tiny_index, tmp_path / "checkpoint.pt")
    history = trainer.run()
    assert history.best_score == 1.0
