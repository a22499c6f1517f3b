import itertools
import json
import math
import signal
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from segline.common.errors import SeglineError
from segline.data.cases.index import CaseIndex
from segline.machine.memory import peak_memory_bytes
from segline.model.history import TrainingPoint
from segline.networks.catalogue import build_network
from segline.plan import Plan, merged
from segline.training import trainer as trainer_module
from segline.training.memory import check_memory
from segline.training.objectives.dice import validation_dice
from segline.training.state import Checkpoint
from segline.training.trainer import Trainer

from ..command import Python, python
from ..conftest import TinyTraining, small_plan

CPU = torch.device("cpu")

TRAIN = """
import sys
from pathlib import Path
import torch
from segline.data.cases.index import CaseIndex
from segline.plan import Plan
from segline.training.state import Checkpoint
from segline.training.trainer import Trainer

plan, index, checkpoint = map(Path, sys.argv[1:])
plan, index = Plan.read(plan), CaseIndex.read(index)
cases = index.open(plan.split.train), index.open(plan.split.val)
trainer = Trainer(plan, *cases, Checkpoint(checkpoint, "key"))
print(trainer.run().model_dump_json())
"""


class InterruptionError(Exception):
    """What the outside world does to a training."""


def interrupt_at(share: float) -> Callable[[float, str], None]:
    def progress(done: float, message: str) -> None:
        if done >= share:
            raise InterruptionError(message)

    return progress


@pytest.fixture
def new_trainer(tiny_plan: Plan, tiny_index: CaseIndex, tmp_path: Path) -> Callable[..., Trainer]:
    """Makes a trainer of 20 steps, if ``values`` of the plan's training part do not say otherwise."""

    def make(key: str = "key", checkpoint: str = "checkpoint.pt", seed: int = 0, **values: Any) -> Trainer:
        content = tiny_plan.model_dump(mode="json")
        changes = {"seed": seed, "training": {"epochs": 10, "validations": 2, **values}}
        plan = Plan.parse(merged(content, changes), "plan")
        train, val = tiny_index.open(plan.split.train), tiny_index.open(plan.split.val)
        return Trainer(plan, train, val, Checkpoint(tmp_path / checkpoint, key))

    return make


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def refusal(make: Callable[[], Any]) -> str:
    with pytest.raises(SeglineError) as caught:
        make()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_loss_falls_and_the_dice_rises(tiny_training: TinyTraining) -> None:
    points = tiny_training.history.points
    assert points[-1].loss < 0.6 * points[0].loss
    assert tiny_training.history.best_score > 0.2


def test_the_history_says_what_was_done(tiny_training: TinyTraining, tiny_plan: Plan) -> None:
    history = tiny_training.history
    assert history.device == "cpu"
    assert history.seed == tiny_plan.seed
    assert history.resumed_from_step is None
    assert history.steps == history.points[-1].step == 2 * tiny_plan.training.epochs
    assert history.points[-1].epoch == tiny_plan.training.epochs
    assert 0 < history.points[-1].minutes <= history.minutes < 1


def test_validations_are_spread_evenly_and_the_last_is_at_the_end(tiny_training: TinyTraining) -> None:
    validated = [point.step for point in tiny_training.history.points if point.scores]
    assert validated == [50, 100, 150, 200]


class Scored(Trainer):
    """Its validations have the given outcomes; the weights of each are remembered."""

    outcomes: tuple[float | tuple[float, ...], ...]

    def validate(self) -> Tensor:
        state = self.state.average.network.state_dict()
        self.validated = [*getattr(self, "validated", []), {k: v.clone() for k, v in state.items()}]
        return torch.tensor(self.outcomes[len(self.validated) - 1], dtype=torch.float64).view(-1, 1)


@pytest.mark.parametrize(
    ("outcomes", "best"),
    [
        ((0.1, 0.8, 0.3, 0.7), 1),
        ((0.9, 0.8, 0.3, 0.7), 0),
        ((0.1, 0.5, 0.2, 0.5), 3),
        ((0, 0, 0, 0), 3),
        (((0.9, 0.5), (0.85, 0.52), (0.7, 0.4), (0.6, 0.3)), 1),
        (((0.9, 0.5), (0.8985, 0.4985), (0.897, 0.497), (0.8955, 0.4955)), 3),
        (((0.9, 0.5), (0.897, 0.497), (0.897, 0.497), (0.897, 0.497)), 0),
    ],
    ids=str,
)
def test_the_weights_kept_are_the_latest_that_are_not_shown_to_be_worse(
    outcomes: tuple[float | tuple[float, ...], ...],
    best: int,
    new_trainer: Callable[..., Trainer],
    tmp_path: Path,
) -> None:
    like = new_trainer(validations=4)
    trainer = Scored(like.plan, like.sampler.cases, like.val, Checkpoint(tmp_path / "scored.pt"))
    trainer.outcomes = outcomes
    history = trainer.run()
    assert history.best_score == pytest.approx(np.mean(outcomes[best]))
    assert history.kept_steps == (5 * (best + 1),)
    assert_same(trainer.best_weights, trainer.validated[best])


def test_the_weights_kept_reach_the_dice_of_their_validation(new_trainer: Callable[..., Trainer]) -> None:
    trainer = new_trainer(epochs=30, validations=6, learning_rate=0.02)
    history = trainer.run()
    dices = {point.step: point.score for point in history.points if point.scores}
    assert history.best_score == pytest.approx(dices[history.kept_steps[0]])
    network = build_network(trainer.plan)
    network.load_state_dict(trainer.best_weights)
    again = validation_dice(torch.inference_mode()(network.eval()), trainer.plan, trainer.val, CPU)
    assert float(again.mean()) == pytest.approx(history.best_score, abs=1e-3)


def test_without_averaging_the_last_weights_are_validated(new_trainer: Callable[..., Trainer]) -> None:
    trainer = new_trainer(ema_decay=0, validations=1)
    trainer.run()
    assert_same(trainer.best_weights, trainer.state.network.state_dict())


def test_the_same_seed_gives_the_same_weights_bit_for_bit(new_trainer: Callable[..., Trainer]) -> None:
    first, second = new_trainer(checkpoint="first.pt"), new_trainer(checkpoint="second.pt")
    first.run()
    second.run()
    assert_same(first.state.network.state_dict(), second.state.network.state_dict())
    assert_same(first.best_weights, second.best_weights)


def test_another_seed_gives_other_weights(new_trainer: Callable[..., Trainer]) -> None:
    first, second = new_trainer(), new_trainer(seed=1, checkpoint="other.pt")
    assert not torch.equal(next(first.state.network.parameters()), next(second.state.network.parameters()))


def test_a_resumed_training_ends_as_an_unbroken_one_bit_for_bit(new_trainer: Callable[..., Trainer]) -> None:
    schedule = {"epochs": 40, "validations": 3}  # validations after steps 27, 54 and 80
    unbroken = new_trainer(checkpoint="unbroken.pt", **schedule)
    wanted = unbroken.run()
    with pytest.raises(InterruptionError):
        new_trainer(**schedule).run(interrupt_at(0.5))
    resumed = new_trainer(**schedule)
    assert resumed.step == 27
    heard: list[TrainingPoint] = []
    resumed.listener = heard.append
    history = resumed.run()
    assert heard == list(history.points)
    assert history.resumed_from_step == 27
    assert_same(resumed.state.network.state_dict(), unbroken.state.network.state_dict())
    assert_same(resumed.state.average.network.state_dict(), unbroken.state.average.network.state_dict())
    assert_same(resumed.best_weights, unbroken.best_weights)
    timeless = {"points": {"__all__": {"minutes"}}, "minutes": True, "resumed_from_step": True}
    assert history.model_dump(exclude=timeless) == wanted.model_dump(exclude=timeless)


def test_a_finished_training_is_not_trained_again(new_trainer: Callable[..., Trainer]) -> None:
    first = new_trainer()
    wanted = first.run()
    again = new_trainer()
    history = again.run(interrupt_at(0))
    assert history.points == wanted.points
    assert_same(again.best_weights, first.best_weights)


def test_a_killed_process_continues_from_its_checkpoint(
    tiny_plan: Plan, tiny_index: CaseIndex, tmp_path: Path
) -> None:
    changes = {"training": {"epochs": 150, "validations": 10}}
    Plan.parse(merged(tiny_plan.model_dump(mode="json"), changes), "plan").write(tmp_path / "plan.json")
    tiny_index.write(tmp_path / "cases.json")
    checkpoint = tmp_path / "checkpoint.pt"
    command = ("-c", TRAIN, tmp_path / "plan.json", tmp_path / "cases.json", checkpoint)
    process = Python(*command)
    while process.runs and not checkpoint.exists():
        time.sleep(0.01)
    assert process.kill().returncode == -signal.SIGKILL
    saved = torch.load(checkpoint, weights_only=True)

    done = python(*command)
    assert done.returncode == 0, done.stderr
    history = json.loads(done.stdout)
    assert history["resumed_from_step"] == saved["step"] > 0
    assert history["steps"] == 300
    assert history["minutes"] > saved["minutes"] > 0
    minutes = [point["minutes"] for point in history["points"]]
    assert minutes == sorted(minutes)
    steps = [point["step"] for point in history["points"]]
    assert steps == sorted(set(steps))
    assert not list(tmp_path.glob(".writing-*"))


def test_minutes_end_a_training(new_trainer: Callable[..., Trainer]) -> None:
    told: list[float] = []
    history = new_trainer(epochs=100_000, max_minutes=0.02, validations=4).run(
        lambda done, _: told.append(done)
    )
    assert 0.02 <= history.minutes < 0.1
    assert history.steps < 100_000
    assert history.points[-1].scores
    assert history.points[-1].learning_rate < 0.1 * max(point.learning_rate for point in history.points)
    assert told == sorted(told)
    assert told[-1] == 1


class SlowlyValidated(Trainer):
    """Validates for longer than the schedule has between two validations."""

    def validate(self) -> Tensor:
        time.sleep(0.4)
        return super().validate()


def test_slow_validations_leave_time_to_train(
    new_trainer: Callable[..., Trainer], tiny_index: CaseIndex, tmp_path: Path
) -> None:
    plan = new_trainer(epochs=100_000, max_minutes=0.04, validations=8).plan
    train, val = tiny_index.open(plan.split.train), tiny_index.open(plan.split.val)
    history = SlowlyValidated(plan, train, val, Checkpoint(tmp_path / "slow.pt")).run()
    validated = [point.step for point in history.points if point.scores]
    assert 2 <= len(validated) < 8
    steps_between = [after - before for before, after in itertools.pairwise(validated)]
    assert statistics.median(steps_between) > 1


def test_a_checkpoint_of_another_training_is_refused(new_trainer: Callable[..., Trainer]) -> None:
    new_trainer().run()
    line = refusal(lambda: new_trainer(key="other"))
    assert "checkpoint of another training; remove it to start anew" in line


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"junk" * 1000),
        lambda path: torch.save(["something", "else"], path),
        lambda path: torch.save({"key": "key", "step": 3}, path),
    ],
    ids=["cut off", "empty", "junk", "of something else", "without weights"],
)
def test_a_damaged_checkpoint_is_refused_with_what_to_do(
    damage: Callable[[Path], Any], new_trainer: Callable[..., Trainer]
) -> None:
    trainer = new_trainer()
    trainer.run()
    damage(trainer.checkpoint.path)
    line = refusal(new_trainer)
    assert f"{trainer.checkpoint.path}: a damaged checkpoint" in line
    assert "remove it to start anew" in line


def test_a_diverged_training_ends_with_one_line(new_trainer: Callable[..., Trainer]) -> None:
    trainer = new_trainer(learning_rate=1e30)
    assert "training: the loss is nan at step 10; lower training.learning_rate" in refusal(trainer.run)


def test_a_diverged_training_leaves_no_checkpoint(
    new_trainer: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer_module, "_CHECKPOINT_SECONDS", 0.0)
    trainer = new_trainer(learning_rate=1e30)
    assert "the loss is nan" in refusal(trainer.run)
    if trainer.checkpoint.path.exists():
        saved = torch.load(trainer.checkpoint.path, weights_only=True)
        assert math.isfinite(float(torch.stack(saved["recent"]).mean()))


def test_a_patch_larger_than_the_memory_is_refused_before_anything_is_allocated(tmp_path: Path) -> None:
    plan = small_plan(training={"patch_size": [8192] * 3})
    before = peak_memory_bytes()
    line = refusal(lambda: Trainer(plan, [], [], Checkpoint(tmp_path / "checkpoint.pt")))
    assert "plan: patch 8192x8192x8192, batch 2 needs about" in line
    assert "GiB are free on cpu; lower training.patch_size or batch_size" in line
    assert peak_memory_bytes() - before < 100 * 2**20


def test_a_patch_that_fits_is_not_refused() -> None:
    check_memory(small_plan(), CPU)


def test_an_unknown_device_is_refused(tmp_path: Path) -> None:
    line = refusal(
        lambda: Trainer(small_plan(), [], [], Checkpoint(tmp_path / "checkpoint.pt"), device="gpu")
    )
    assert "device 'gpu': unknown" in line


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_gpu_is_refused(tmp_path: Path) -> None:
    line = refusal(
        lambda: Trainer(small_plan(), [], [], Checkpoint(tmp_path / "checkpoint.pt"), device="cuda")
    )
    assert line.startswith("device cuda: ")
    assert line.endswith("; use cpu")
