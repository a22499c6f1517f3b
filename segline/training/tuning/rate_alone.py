"""The learning rate alone, found before a training: its range test within a share of the budget, if any."""

import math
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from segline.common.errors import SeglineError
from segline.common.progress import Progress, silent
from segline.data.cases.case import Case
from segline.plan import Plan, Training
from segline.training.objectives.masks import MASKS
from segline.training.objectives.objective import Objective
from segline.training.state import Checkpoint
from segline.training.trainer import Trainer
from segline.training.tuning.rate_test import FEWEST_STEPS, MOST_STEPS, RangeTest, range_test
from segline.training.tuning.record import Tuning

LARGEST_SHARE = 0.1
"""Of the budget, for the test."""


def find_rate(
    plan: Plan,
    train: Sequence[Case],
    device: str = "cpu",
    progress: Progress = silent,
    objective: Objective = MASKS,
) -> Tuning:
    """Test learning rates for a plan that asks for its rate to be found; nothing else of it is changed.

    The test counts towards ``training.max_minutes``. Where that has no time for it, the plan's rate is taken.

    Args:
        plan: its rate is the usual one; of several seeds the first is tested.
        train: cases the patches are cut from.
        device: where the training will be; of several GPUs one is used.
        progress: told that it goes on.
        objective: of the training.

    Raises:
        SeglineError: a step does not fit into memory, or the budget is over after the first ones.
    """
    started = time.monotonic()
    (first, *_) = plan.of_each_seed()
    progress(0.0, "learning rate")
    with TemporaryDirectory() as folder:
        unused = Checkpoint(Path(folder, "none.pt"))
        trainer = Trainer(first, train, [], unused, device, objective=objective)
        steps = _affordable_steps(trainer)
        test = range_test(trainer, steps) if steps >= FEWEST_STEPS else None
    minutes = (time.monotonic() - started) / 60
    return Tuning(
        device=str(trainer.device),
        budget_minutes=plan.training.max_minutes,
        probe_minutes=minutes,
        candidates=(),
        validation_seconds=None,
        range_test=test,
        steps=None,
        training=_training(plan.training, test, minutes),
        inference=plan.inference,
    )


def _affordable_steps(trainer: Trainer) -> int:
    """As many as there may be, without a budget; the first two, at a rate of 0, show how long one takes."""
    minutes = trainer.plan.training.max_minutes
    if minutes is None:
        return MOST_STEPS
    trainer.train_step(0.0)
    started = time.monotonic()
    torch.isfinite(trainer.train_step(0.0)).item()  # a GPU is done once it answers
    seconds = time.monotonic() - started
    return min(MOST_STEPS, int(LARGEST_SHARE * 60 * minutes / max(seconds, 1e-6)))


def _training(usual: Training, test: RangeTest | None, minutes: float) -> Training:
    left = math.inf if usual.max_minutes is None else round(usual.max_minutes - minutes, 4)
    if left <= 0:
        raise SeglineError(
            f"training.max_minutes: {usual.max_minutes:g} leave no time to train; the first steps took "
            f"{60 * minutes:.1f} s; give more"
        )
    found = {
        "find_rate": False,
        "learning_rate": test.suggestion(usual.learning_rate) if test else usual.learning_rate,
        "max_minutes": None if usual.max_minutes is None else left,
    }
    return Training.model_validate({**usual.model_dump(), **found})
