"""Tuning: a short probe of the machine that trains picks patch, batch, rate and schedule for a budget.

The patch is the largest, up to the plan's, at which enough steps fit the budget. Where they do not fit, the
batch is halved first, down to 2, and the patch made smaller next. Where they do, the batch is doubled for as
long as that trains on many more patches a second, as on a GPU that a small batch leaves idle. The wall clock
ends the training, and the probe counts: both together keep the budget.
"""

import gc
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from segline.common.documents.names import TUNING
from segline.common.errors import SeglineError
from segline.common.progress import Progress, silent
from segline.common.wording import by
from segline.data.cases.arriving import expect
from segline.data.cases.case import Case
from segline.imaging.geometry import Shape
from segline.machine.devices import usable_device
from segline.networks.catalogue import build_network
from segline.plan import Plan, Training
from segline.planning.proposals import propose_inference
from segline.training.memory import check_memory
from segline.training.objectives.masks import MASKS
from segline.training.objectives.objective import Objective
from segline.training.parallel.seeds import networks_at_once
from segline.training.state import Checkpoint
from segline.training.trainer import Trainer
from segline.training.tuning.ladder import choose
from segline.training.tuning.rate_test import FEWEST_STEPS, MOST_STEPS, RangeTest, range_test
from segline.training.tuning.record import Candidate, Tuning

PROBE_SHARE = 0.05
"""Of the budget, for the probe."""
VALIDATING_SHARE = 0.05
"""Of the budget, for all validations; one takes place in any case."""
_TIMED_SHARE = 1 / 8
"""Of the probe, for the steps of one candidate."""
_MOST_TIMED_STEPS = 16
_WARM_UP_STEPS = 50
_LONGEST_WARM_UP = 0.1
_LONGEST_AVERAGE = 0.05
"""Of the steps; a longer memory would ship weights from before the rate fell."""
_SPARE_EPOCHS = 10
"""Times as many as are expected: a machine that was busy during the probe must not stop early."""
_ALLOWANCE = 1.2
"""For what is not the same each time."""
_CASES_FOR_SHAPES = 50


def tune(
    plan: Plan,
    train: Sequence[Case],
    val: Sequence[Case],
    device: str = "cpu",
    progress: Progress = silent,
    objective: Objective = MASKS,
) -> Tuning:
    """Probe this machine for a plan that asks to be tuned.

    Args:
        plan: its patch is the largest that is considered, its rate the usual one.
        train: cases the patches are cut from.
        val: validation cases, of which one is predicted.
        device: where the training will be; of several GPUs one is probed. There one network is; that others
            will be trained beside it is reckoned with.
        progress: told what is tried.
        objective: of the training.

    Raises:
        SeglineError: no candidate fits into memory, or the budget is too short for anything.
    """
    with TemporaryDirectory() as folder:
        probe = _Probe(plan, train, val, device, Path(folder), progress, objective)
        candidates, chosen = choose(plan, probe.measure, lambda: probe.share_left > 0.5)
        validation_seconds, test = probe.look_closer(chosen)
        _let_go_of_memory(probe.device)
    training, steps = probe.schedule(chosen, test, validation_seconds)
    return Tuning(
        device=str(probe.device),
        budget_minutes=probe.budget_seconds / 60,
        probe_minutes=probe.spent_seconds / 60,
        candidates=tuple(candidates),
        validation_seconds=validation_seconds,
        range_test=test,
        steps=steps,
        training=training,
        inference=probe.plan_of(chosen.patch_size, chosen.batch_size).inference,
    )


class _Probe:
    """What is tried, and the clock that runs meanwhile."""

    def __init__(
        self,
        plan: Plan,
        train: Sequence[Case],
        val: Sequence[Case],
        device: str,
        folder: Path,
        progress: Progress,
        objective: Objective,
    ) -> None:
        self.plan, self.train, self.val = plan, train, val
        self.progress, self.objective = progress, objective
        self.device, self.checkpoint = usable_device(device), Checkpoint(folder / "none.pt")
        self.at_once = networks_at_once(plan, device)
        self.budget_seconds = 60 * (plan.training.max_minutes or 0.0)
        # what these import takes seconds that every training needs, and that are no probe
        plan.training.optimizer.make(build_network(plan).parameters(), 1e-3, 0.0)
        self._started = time.monotonic()

    @property
    def spent_seconds(self) -> float:
        return time.monotonic() - self._started

    @property
    def share_left(self) -> float:
        """Of the time for the probe; below 0 where that was exceeded."""
        return 1 - self.spent_seconds / (PROBE_SHARE * self.budget_seconds)

    def plan_of(self, patch: Shape, batch: int) -> Plan:
        """The plan with another patch and batch; another patch has other windows."""
        training = {**self.plan.training.model_dump(), "patch_size": patch, "batch_size": batch}
        inference = self.plan.inference.model_dump()
        if patch != self.plan.training.patch_size:
            few = self.train[:_CASES_FOR_SHAPES]
            expect(few, range(len(few)))
            shapes = [case.shape for case in few]
            inference |= propose_inference(shapes, patch, self.plan.network)
        return Plan.parse({**self.plan.model_dump(), "training": training, "inference": inference}, TUNING)

    def measure(self, patch: Shape, batch: int) -> Candidate:
        """Time a few steps."""
        self._tell(f"patch {by(patch)}, batch {batch}")
        try:
            seconds = self.at_once * self._seconds_a_step(self._trainer(patch, batch))
        except (_NoRoomError, torch.OutOfMemoryError):
            return Candidate(patch_size=patch, batch_size=batch, seconds_a_step=None, steps=0, passes=0)
        steps = int((1 - PROBE_SHARE - VALIDATING_SHARE) * self.budget_seconds / seconds)
        passes = steps * batch / len(self.train)
        return Candidate(
            patch_size=patch, batch_size=batch, seconds_a_step=seconds, steps=steps, passes=passes
        )

    def look_closer(self, chosen: Candidate) -> tuple[float, RangeTest | None]:
        """Seconds of a validation; and the range test, where there is time for one."""
        trainer = self._trainer(chosen.patch_size, chosen.batch_size)
        self._tell("validation")
        seconds = self.at_once * self._seconds_a_validation(trainer)
        left = self.at_once * self.share_left * PROBE_SHARE * self.budget_seconds
        steps = min(int(left / (chosen.seconds_a_step or math.inf)), MOST_STEPS)
        if steps < FEWEST_STEPS:
            return seconds, None
        self._tell("learning rate")
        return seconds, range_test(trainer, steps)

    def schedule(
        self, chosen: Candidate, test: RangeTest | None, validation_seconds: float
    ) -> tuple[Training, int]:
        """How to train in what is left of the budget, and the steps to expect."""
        usual, step_seconds = self.plan.training, chosen.seconds_a_step or math.inf
        # the last step, its validation, that of several networks' mean, and the one for post-processing
        validations_then = 3 if self.plan.ensemble.seeds > 1 else 2
        at_the_end = _ALLOWANCE * (step_seconds + validations_then * validation_seconds)
        left = self.budget_seconds - self.spent_seconds - at_the_end
        affordable = int(VALIDATING_SHARE * self.budget_seconds / validation_seconds)
        validations = max(1, min(usual.validations, affordable))
        steps = int((left - (validations - 1) * validation_seconds) / step_seconds)
        if steps < 1:
            raise SeglineError(
                f"training.max_minutes: {usual.max_minutes:g} leave no time to train; the probe took "
                f"{self.spent_seconds:.1f} s, a step takes {step_seconds:.1f} s and a validation "
                f"{validation_seconds:.1f} s; give more"
            )
        tuned = {
            "tune": False,
            "find_rate": False,
            "patch_size": chosen.patch_size,
            "batch_size": chosen.batch_size,
            "epochs": math.ceil(_SPARE_EPOCHS * steps * chosen.batch_size / len(self.train)),
            "max_minutes": round(left / 60, 4),
            "learning_rate": test.suggestion(usual.learning_rate) if test else usual.learning_rate,
            "warmup_share": max(usual.warmup_share, min(_LONGEST_WARM_UP, _WARM_UP_STEPS / steps)),
            "ema_decay": min(usual.ema_decay, max(0.0, 1 - 1 / (_LONGEST_AVERAGE * steps))),
            "validations": validations,
        }
        return Training.model_validate({**usual.model_dump(), **tuned}), steps

    def _trainer(self, patch: Shape, batch: int) -> Trainer:
        """A new one; the memory of the one before is free by then."""
        _let_go_of_memory(self.device)
        (plan, *_) = self.plan_of(patch, batch).of_each_seed()
        try:
            check_memory(plan, self.device, networks=self.at_once)
        except SeglineError as error:
            raise _NoRoomError(str(error)) from error
        median = sorted(self.val, key=lambda case: case.image[0].size)[len(self.val) // 2]
        return Trainer(
            plan, self.train, [median], self.checkpoint, str(self.device), objective=self.objective
        )

    def _seconds_a_step(self, trainer: Trainer) -> float:
        """The first step is the slowest, and counts only where there is no time for another."""
        share = _TIMED_SHARE * PROBE_SHARE * self.budget_seconds
        first = _seconds_of_steps(trainer, 1)
        if first > 0.5 * PROBE_SHARE * self.budget_seconds:
            return first
        count, seconds = 1, _seconds_of_steps(trainer, 1)
        while count < _MOST_TIMED_STEPS and 2 * seconds <= share:
            share -= seconds
            count *= 2
            seconds = _seconds_of_steps(trainer, count)
        return seconds / count

    def _seconds_a_validation(self, trainer: Trainer) -> float:
        """From the second of two on one case, unless that would take long."""
        seconds = _seconds(trainer.validate)
        return len(self.val) * (_seconds(trainer.validate) if seconds < 1 else seconds)

    def _tell(self, what: str) -> None:
        self.progress(min(1 - self.share_left, 0.99), what)


class _NoRoomError(SeglineError):
    """A candidate does not fit into memory."""


def _seconds_of_steps(trainer: Trainer, count: int) -> float:
    """Of all of them, the device's work included."""
    rate = trainer.plan.training.learning_rate
    return _seconds(lambda: torch.stack([trainer.train_step(rate) for _ in range(count)]).tolist())


def _seconds(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def _let_go_of_memory(device: torch.device) -> None:
    """Of earlier trainers: a GPU's counts as taken for as long as torch keeps it."""
    if device.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()
