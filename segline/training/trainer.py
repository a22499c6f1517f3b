"""Training: a plan and its cases to weights."""

import math
import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from segline.common.errors import SeglineError
from segline.common.progress import Progress, silent
from segline.data.cases.arriving import expect
from segline.data.cases.case import Case
from segline.evaluation.equivalence import shown_worse
from segline.evaluation.figures import titled
from segline.machine.devices import half_precision, usable_device
from segline.model.history import History, TrainingPoint
from segline.networks.running import windows_channels_last
from segline.plan import Plan
from segline.training.batches.augmentation import Augmenter
from segline.training.batches.prefetching import Prefetched
from segline.training.clock import Clock
from segline.training.listening import Listener, unheard
from segline.training.memory import check_memory
from segline.training.objectives.heads import loss_of_heads
from segline.training.objectives.masks import MASKS
from segline.training.objectives.objective import Objective
from segline.training.ranks import ALONE, Ranks
from segline.training.state import Checkpoint, TrainingState
from segline.training.validation import inferring

_CHECKPOINT_SECONDS = 30.0
_LOSS_HORIZON = 20
"""Steps over which the reported loss is averaged; the loss leaves the device once in as many steps."""
_NO_WORSE = 0.002
"""By which the score of later weights may be lower on few validation cases; see ``benchmarks/RECIPE.md``."""


class Trainer:
    """Finds the weights of a plan; the whole state fits a checkpoint.

    Batches depend on the seed and the step alone, so that a resumed training continues as if unbroken. No
    step waits for a GPU.

    Args:
        plan: what to train.
        train: cases the patches are cut from.
        val: cases whose score, such as Dice on the plan's grid, chooses the weights: later ones, unless they
            are shown to be worse by 0.002. Of few cases the highest mean is a matter of luck, and most
            often of weights that were not trained to the end.
        checkpoint: keeps the state during the training; what it holds is taken up.
        device: ``cpu``, ``cuda``, ``cuda:<number>`` or ``auto``.
        ranks: the processes that train together, each calling the same methods; the first one keeps the
            checkpoint. Any number of ranks can continue it.
        listener: is told of each point of the curves as it is reached; of those before an interruption again.
        objective: what is learned, and what is validated.

    Raises:
        SeglineError: the plan is an ensemble's, the device cannot be used here, the patch does not fit into
            memory, or the checkpoint is damaged or of another training.
    """

    def __init__(
        self,
        plan: Plan,
        train: Sequence[Case],
        val: Sequence[Case],
        checkpoint: Checkpoint,
        device: str = "cpu",
        ranks: Ranks = ALONE,
        listener: Listener = unheard,
        objective: Objective = MASKS,
    ) -> None:
        _require_one_network(plan)
        self.plan, self.val, self.checkpoint, self.objective = plan, val, checkpoint, objective
        self.device, self.ranks, self.listener = usable_device(device), ranks, listener
        check_memory(plan, self.device, ranks.size)
        settings = plan.training
        self.sampler = objective.sampler(plan, train, part=(ranks.rank, ranks.size))
        self.augment = Augmenter(settings.augmentation, plan.seed, plan.preprocessing.spacing_mm)
        self.clock = Clock(settings, settings.epochs * self.sampler.steps_per_epoch)
        self.pinned = Prefetched(self._pinned)
        self.half = half_precision(self.device) if settings.mixed_precision else None
        self.state = TrainingState.fresh(plan, self.device, ranks, self.half)
        self.parallel = ranks.join(self.state.network)
        self._resume()
        self._expect_cases(train)

    @property
    def step(self) -> int:
        """Steps done."""
        return self.state.step

    @property
    def best_weights(self) -> dict[str, Tensor]:
        """State dict of the validations' choice, on the CPU; empty before the first."""
        return self.state.best.weights if self.state.best else {}

    def run(self, progress: Progress = silent) -> History:
        """Train to the end of the schedule, from wherever the checkpoint stands.

        Raises:
            SeglineError: the loss is no longer finite.
        """
        state = self.state
        for point in state.points:
            self.listener(point)
        started = saved = time.monotonic()
        minutes_before = state.minutes

        def look_at_clock() -> float:
            state.minutes = self.ranks.agree(minutes_before + (time.monotonic() - started) / 60)
            return self.clock.progress(state.step, state.minutes)

        done = self.clock.progress(state.step, state.minutes)
        while done < 1:
            rate = self.clock.learning_rate(done)
            state.recent = [*state.recent[-_LOSS_HORIZON + 1 :], self.train_step(rate)]
            before, done = done, look_at_clock()
            due = self.clock.validations_due(done) > self.clock.validations_due(before)
            report = due or state.step % _LOSS_HORIZON == 0
            if report:
                self._record(rate, validate=due)
            if due:  # what came due while validating is not made up for: it would leave no time to train
                done = look_at_clock()
            if due or time.monotonic() - saved > _CHECKPOINT_SECONDS:
                self._save()
                saved = time.monotonic()
            if report:
                progress(done, self._describe(done))
        return self.history()

    def history(self) -> History:
        """What has been done so far."""
        state = self.state
        return History(
            device=str(self.device),
            seed=self.plan.seed,
            resumed_from_step=state.resumed_from,
            steps=state.step,
            minutes=state.minutes,
            kept_steps=(state.best.step if state.best else 0,),
            best_score=state.best.score if state.best else None,
            points=tuple(state.points),
        )

    def train_step(self, learning_rate: float) -> Tensor:
        """One step on the next batch; its loss, a scalar on the device, which nothing waits for."""
        state = self.state
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate
        image, target = self.next_batch()
        state.network.train()
        self._seed_dropout()
        with torch.autocast(self.device.type, self.half, enabled=self.half is not None):
            scores = self.parallel(windows_channels_last(image))
        loss = loss_of_heads(self.objective, self.plan, scores.float(), target, self.ranks.add_up)
        state.optimizer.zero_grad(set_to_none=True)
        state.scaler.scale(loss).backward()
        state.scaler.unscale_(state.optimizer)
        torch.nn.utils.clip_grad_norm_(state.network.parameters(), self.plan.training.gradient_clip)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.average.update(earlier=state.step)
        state.step += 1
        return loss.detach()

    def _seed_dropout(self) -> None:
        """What a network drops at random depends on the seed and the step alone, as its batch does."""
        rng = np.random.default_rng((self.plan.seed, 3, self.step, self.sampler.first))
        torch.manual_seed(int(rng.integers(2**62)))

    def next_batch(self) -> tuple[Tensor, Tensor]:
        """The augmented image and target of this step, on the device.

        A GPU's are cut a step ahead. On a CPU a thread beside the step would take more from it than it saves.
        """
        step = self.state.step
        if self.device.type == "cpu":
            image, target = self.sampler.batch(step)
        else:
            image, target = (part.to(self.device, non_blocking=True) for part in self.pinned[step])
        return self.augment(image, target, step, self.sampler.first)

    def validate(self) -> Tensor:
        """The objective's figures ``(cases, names and details)`` of the averaged weights, on ``val``."""
        network = inferring(self.state.average.network, self.plan, self.device)
        return self.objective.validate(network, self.plan, self.val, self.device, self.ranks)

    def _expect_cases(self, train: Sequence[Case]) -> None:
        """Cases that are elsewhere are to come in the order in which they are needed first."""
        steps = range(self.step, self.step + self.sampler.steps_per_epoch + 1)
        expect(train, (number for step in steps for number in self.sampler.cases_of(step)))
        expect(self.val, range(len(self.val)))

    def _pinned(self, step: int) -> tuple[Tensor, Tensor]:
        image, target = self.sampler.batch(step)
        return image.pin_memory(), target.pin_memory()

    def _mean_loss(self) -> float:
        loss = float(torch.stack(self.state.recent).mean())
        if not math.isfinite(loss):
            raise SeglineError(
                f"training: the loss is {loss} at step {self.step}; lower training.learning_rate "
                f"(now {self.plan.training.learning_rate}) in the task's YAML"
            )
        return loss

    def _record(self, learning_rate: float, validate: bool) -> None:
        loss = self._mean_loss()
        names, details = self.objective.names(self.plan), self.objective.details(self.plan)
        figures = self.validate() if validate else None
        scores = None if figures is None else figures[:, : len(names)]
        point = TrainingPoint(
            step=self.step,
            epoch=self.step / self.sampler.steps_per_epoch,
            minutes=self.state.minutes,
            loss=loss,
            learning_rate=learning_rate,
            figure=self.objective.figure,
            scores=None if scores is None else dict(zip(names, scores.mean(0).tolist(), strict=True)),
            details={} if figures is None else _known(details, figures[:, len(names) :].nanmean(0)),
        )
        self.state.points.append(point)
        self.listener(point)
        if scores is not None:
            self._keep_unless_worse(scores.mean(1))

    def _keep_unless_worse(self, scores: Tensor) -> None:
        """Keep these weights, of scores ``(cases,)``, in place of those kept before."""
        before = self.state.best
        if before is None or not shown_worse(scores, before.cases, _NO_WORSE):
            self.state.choose(scores)

    def _describe(self, done: float) -> str:
        latest, best = self.state.points[-1], self.state.best
        left = self.state.minutes * (1 - done) / done
        kept = f", {titled(self.objective.figure)} {best.score:.3f}" if best else ""
        return f"epoch {latest.epoch:.0f}, loss {latest.loss:.3f}{kept}, {left:.1f} min left"

    def _save(self) -> None:
        if self.ranks.rank > 0:
            return
        self._mean_loss()  # a checkpoint of a diverged training could never end well
        self.checkpoint.write(self.state.content())

    def _resume(self) -> None:
        content = self.checkpoint.read()
        if content is None:
            return
        try:
            self.state.restore(content, self.device)
        except Exception as error:  # torch raises anything here
            raise self.checkpoint.damaged(error) from error
        if self.clock.progress(self.state.step, self.state.minutes) < 1:
            self.state.resumed_from = self.state.step


def _known(names: Sequence[str], figures: Tensor) -> dict[str, float]:
    """By name, without those of which no case says anything."""
    return {
        name: figure for name, figure in zip(names, figures.tolist(), strict=True) if math.isfinite(figure)
    }


def _require_one_network(plan: Plan) -> None:
    if plan.ensemble.members > 1:
        raise SeglineError(
            f"plan: ensemble.members is {plan.ensemble.members}, and a training is of one fold; "
            f"make run FOLDS={plan.ensemble.members} ENSEMBLE=1 trains each on a fold and puts them together"
        )
    if plan.ensemble.seeds > 1:
        raise SeglineError(
            f"plan: ensemble.seeds is {plan.ensemble.seeds}, and a trainer makes one network; "
            "train each plan of Plan.of_each_seed(), and segline.training.shipping.outcome.ship "
            "puts them together"
        )
