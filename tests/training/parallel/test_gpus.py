"""Two ranks on the CPU train as one process does.

With InstanceNorm: torch's SyncBatchNorm, which gives BatchNorm the statistics of the whole batch, works on
GPUs only.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from segline.common.errors import SeglineError
from segline.data.cases.index import CaseIndex
from segline.model.history import TrainingPoint
from segline.plan import Plan, merged
from segline.training.parallel.gpus import gpus_to_share, train_on
from segline.training.state import Checkpoint
from segline.training.trainer import Trainer

from ..test_trainer import InterruptionError, interrupt_at

TOLERANCE = 1e-6
"""Of a weight after twenty steps of at most 1e-3: sums of float32 in another order."""


@pytest.fixture
def plan(tiny_plan: Plan) -> Plan:
    changes = {
        "network": {"norm": "instance"},
        "training": {
            "epochs": 10,
            "validations": 2,
            "learning_rate": 1e-3,
            "mixed_precision": False,
        },
        "inference": {"smallest_window": [16, 16, 16], "largest_window": [16, 16, 16], "overlap": [4, 4, 4]},
    }
    return Plan.parse(merged(tiny_plan.model_dump(mode="json"), changes), "plan")


@pytest.fixture
def trainer(plan: Plan, tiny_index: CaseIndex, tmp_path: Path) -> Callable[[str], Trainer]:
    def make(name: str) -> Trainer:
        train, val = tiny_index.open(plan.split.train), tiny_index.open(plan.split.val)
        return Trainer(plan, train, val, Checkpoint(tmp_path / name, "key"))

    return make


def farthest(first: dict[str, Tensor], second: dict[str, Tensor]) -> float:
    """Largest difference of a weight that matters.

    A bias before a norm does not: its gradient is rounding noise, which Adam makes steps of full length.
    """
    assert first.keys() == second.keys()
    normed = {name.split(".adn.")[0] + ".conv.bias" for name in first if ".adn." in name}
    assert normed < first.keys()
    return max(float((first[name] - second[name]).abs().max()) for name in first.keys() - normed)


def test_two_ranks_give_the_weights_curve_and_dice_of_one(
    plan: Plan, tiny_index: CaseIndex, trainer: Callable[[str], Trainer], tmp_path: Path
) -> None:
    alone = trainer("alone.pt")
    start = {name: value.clone() for name, value in alone.state.network.state_dict().items()}
    wanted = alone.run()
    told: list[float] = []
    saves: list[None] = []
    heard: list[TrainingPoint] = []
    train_on(
        ["cpu", "cpu"],
        plan,
        tiny_index,
        tmp_path / "two.pt",
        "key",
        lambda done, _: told.append(done),
        lambda: saves.append(None),
        listener=heard.append,
    )
    two = trainer("two.pt")
    history = two.run()
    assert farthest(alone.state.network.state_dict(), start) > 100 * TOLERANCE
    assert farthest(two.state.network.state_dict(), alone.state.network.state_dict()) < TOLERANCE
    assert farthest(two.best_weights, alone.best_weights) < TOLERANCE
    assert [point.loss for point in history.points] == pytest.approx(
        [point.loss for point in wanted.points], abs=1e-3
    )
    assert history.best_score == pytest.approx(wanted.best_score, abs=0.01)
    assert (history.steps, history.resumed_from_step) == (20, None)
    assert told[-1] == 1
    assert heard == list(history.points)
    assert len(saves) == 2


def test_one_process_continues_what_two_began(
    plan: Plan, tiny_index: CaseIndex, trainer: Callable[[str], Trainer], tmp_path: Path
) -> None:
    unbroken = trainer("unbroken.pt")
    unbroken.run()
    with pytest.raises(InterruptionError):
        train_on(["cpu", "cpu"], plan, tiny_index, tmp_path / "broken.pt", "key", interrupt_at(0.5))
    resumed = trainer("broken.pt")
    assert resumed.step >= 10
    resumed.run()
    assert farthest(resumed.state.network.state_dict(), unbroken.state.network.state_dict()) < TOLERANCE


def test_a_rank_s_error_is_the_training_s(plan: Plan, tiny_index: CaseIndex, tmp_path: Path) -> None:
    (tmp_path / "broken.pt").write_bytes(b"junk")
    with pytest.raises(SeglineError, match=r"broken\.pt: a damaged checkpoint"):
        train_on(["cpu", "cpu"], plan, tiny_index, tmp_path / "broken.pt", "key")


@pytest.mark.skipif(torch.cuda.device_count() > 1, reason="this machine has several GPUs")
@pytest.mark.parametrize("device", ["auto", "cpu", "cuda:0"])
def test_without_several_gpus_nothing_is_shared(plan: Plan, device: str) -> None:
    assert gpus_to_share(plan, device) == []
