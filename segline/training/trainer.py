"""Training: a plan and its cases to weights."""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segline.common import atomic
from segline.common.errors import SeglineError
from segline.common.progress import Progress, silent
from segline.data.cases.case import Case
from segline.evaluation.equivalence import shown_worse
from segline.machine.devices import half_precision, usable_device
from segline.machine.memory import keep_freed_memory
from segline.model.history import History, TrainingPoint
from segline.networks.catalogue import build_network
from segline.networks.on_cpu import quicken
from segline.networks.running import channels_last
from segline.plan import Plan
from segline.training.averaging import WeightAverage
from segline.training.batches.augmentation import Augmenter
from segline.training.batches.patches import PatchSampler
from segline.training.batches.prefetching import Prefetched
from segline.training.loss import dice_cross_entropy
from segline.training.memory import check_memory
from segline.training.ranks import ALONE, Ranks
from segline.training.schedule import Schedule
from segline.training.validation import inferring, validation_dice

_CHECKPOINT_SECONDS = 30.0
_LOSS_HORIZON = 20
"""Steps over which the reported loss is averaged; the loss leaves the device once in as many steps."""
_NO_WORSE = 0.002
"""Of Dice, by which later weights may be lower on the few validation cases; see ``benchmarks/RECIPE.md``."""


class Trainer:
    """Finds the weights of a plan; the whole state fits a checkpoint.

    Batches depend on the seed and the step alone, so that a resumed training continues as if unbroken. No
    step waits for a GPU.

    Args:
        plan: what to train.
        train: cases the patches are cut from.
        val: cases whose Dice, on the plan's grid, chooses the weights: later ones, unless they are shown to
            be worse by 0.002. Of few cases the highest mean is a matter of luck, and most often of weights
            that were not trained to the end.
        checkpoint: file that keeps the state during the training.
        key: digest of everything the state depends on; a checkpoint of another key is an error.
        saved: called after each checkpoint.
        ranks: the processes that train together, each calling the same methods; the first one keeps the
            checkpoint. Any number of ranks can continue it.

    Raises:
        SeglineError: the plan is an ensemble's, the device cannot be used here, the patch does not fit into
            memory, or the checkpoint is damaged or of another training.
    """

    def __init__(
        self,
        plan: Plan,
        train: Sequence[Case],
        val: Sequence[Case],
        checkpoint: Path,
        key: str,
        device: str = "cpu",
        saved: Callable[[], None] = lambda: None,
        ranks: Ranks = ALONE,
    ) -> None:
        _require_one_network(plan)
        self.device, self.ranks = usable_device(device), ranks
        check_memory(plan, self.device, ranks.size)
        self.plan, self.val, self.checkpoint, self.key, self.saved = plan, val, checkpoint, key, saved
        settings = plan.training
        self.sampler = PatchSampler(
            train,
            settings.patch_size,
            settings.batch_size,
            settings.foreground_ratio,
            plan.seed,
            part=(ranks.rank, ranks.size),
        )
        self.augment = Augmenter(settings.augmentation, plan.seed, plan.preprocessing.spacing_mm)
        self.schedule = Schedule(settings, settings.epochs * self.sampler.steps_per_epoch)
        self.pinned = Prefetched(self._pinned)
        keep_freed_memory()
        self.network = self._new_network()
        self.average = WeightAverage(self.network, settings.ema_decay)
        self.parallel = ranks.join(self.network)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            fused=True,
        )
        self.half = half_precision(self.device) if settings.mixed_precision else None
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.half == torch.float16)
        self.step = 0
        self.minutes = 0.0
        self.recent: list[Tensor] = []
        self.points: list[TrainingPoint] = []
        self.best: dict[str, Any] = {"cases": None, "dice": -1.0, "step": 0, "weights": {}}
        self.resumed_from: int | None = None
        self._resume()

    def run(self, progress: Progress = silent) -> History:
        """Train to the end of the schedule, from wherever the checkpoint stands.

        Raises:
            SeglineError: the loss is no longer finite.
        """
        started = saved = time.monotonic()
        minutes_before = self.minutes

        def look_at_clock() -> float:
            self.minutes = self.ranks.agree(minutes_before + (time.monotonic() - started) / 60)
            return self.schedule.progress(self.step, self.minutes)

        done = self.schedule.progress(self.step, self.minutes)
        while done < 1:
            rate = self.schedule.learning_rate(done)
            self.recent = [*self.recent[-_LOSS_HORIZON + 1 :], self.train_step(rate)]
            before, done = done, look_at_clock()
            due = self.schedule.validations_due(done) > self.schedule.validations_due(before)
            told = due or self.step % _LOSS_HORIZON == 0
            if told:
                self._record(rate, validate=due)
            if due:  # what came due while validating is not made up for: it would leave no time to train
                done = look_at_clock()
            if due or time.monotonic() - saved > _CHECKPOINT_SECONDS:
                self._save()
                saved = time.monotonic()
            if told:
                progress(done, self._describe(done))
        return self.history()

    def history(self) -> History:
        """What has been done so far."""
        return History(
            device=str(self.device),
            seed=self.plan.seed,
            resumed_from_step=self.resumed_from,
            steps=self.step,
            minutes=self.minutes,
            kept_steps=(self.best["step"],),
            best_val_dice=self.best["dice"],
            points=tuple(self.points),
        )

    @property
    def best_weights(self) -> dict[str, Tensor]:
        """State dict of the validations' choice, on the CPU."""
        weights: dict[str, Tensor] = self.best["weights"]
        return weights

    def train_step(self, learning_rate: float) -> Tensor:
        """One step on the next batch; its loss, a scalar on the device, which nothing waits for."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        image, label = self.next_batch()
        self.network.train()
        with torch.autocast(self.device.type, self.half, enabled=self.half is not None):
            scores = self.parallel(image.contiguous(memory_format=torch.channels_last_3d))
        loss = dice_cross_entropy(scores.float(), label, self.ranks.add_up)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 12.0)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.average.update(earlier=self.step)
        self.step += 1
        return loss.detach()

    def next_batch(self) -> tuple[Tensor, Tensor]:
        """The augmented image and label of this step, on the device.

        A GPU's are cut a step ahead. On a CPU a thread beside the step would take more from it than it saves.
        """
        if self.device.type == "cpu":
            image, label = self.sampler.batch(self.step)
        else:
            image, label = (part.to(self.device, non_blocking=True) for part in self.pinned[self.step])
        return self.augment(image, label, self.step, self.sampler.first)

    def validate(self) -> Tensor:
        """Dice ``(cases, labels)`` of the averaged weights over the validation cases."""
        network = inferring(self.average.network, self.plan, self.device)
        return validation_dice(network, self.plan, self.val, self.device, self.ranks)

    def _new_network(self) -> torch.nn.Module:
        torch.manual_seed(self.plan.seed)
        network = channels_last(build_network(self.plan).to(self.device))
        return quicken(network) if self.device.type == "cpu" else self.ranks.synchronise(network)

    def _pinned(self, step: int) -> tuple[Tensor, Tensor]:
        image, label = self.sampler.batch(step)
        return image.pin_memory(), label.pin_memory()

    def _mean_loss(self) -> float:
        loss = float(torch.stack(self.recent).mean())
        if not math.isfinite(loss):
            raise SeglineError(
                f"training: the loss is {loss} at step {self.step}; lower training.learning_rate "
                f"(now {self.plan.training.learning_rate}) in the task's YAML"
            )
        return loss

    def _record(self, learning_rate: float, validate: bool) -> None:
        loss = self._mean_loss()
        dice = self.validate() if validate else None
        names = self.plan.foreground.values()
        self.points.append(
            TrainingPoint(
                step=self.step,
                epoch=self.step / self.sampler.steps_per_epoch,
                minutes=self.minutes,
                loss=loss,
                learning_rate=learning_rate,
                val_dice=None if dice is None else dict(zip(names, dice.mean(0).tolist(), strict=True)),
            )
        )
        if dice is not None:
            self._keep_unless_worse(dice.mean(1))

    def _keep_unless_worse(self, dice: Tensor) -> None:
        """Keep these weights, whose Dice ``(cases,)`` is, in place of those kept before."""
        before = self.best["cases"]
        if before is None or not shown_worse(dice, before, _NO_WORSE):
            state = self.average.network.state_dict()
            weights = {name: value.detach().cpu().clone() for name, value in state.items()}
            self.best = {"cases": dice, "dice": float(dice.mean()), "step": self.step, "weights": weights}

    def _describe(self, done: float) -> str:
        latest = self.points[-1]
        left = self.minutes * (1 - done) / done
        best = f", Dice {self.best['dice']:.3f}" if self.best["dice"] >= 0 else ""
        return f"epoch {latest.epoch:.0f}, loss {latest.loss:.3f}{best}, {left:.1f} min left"

    def _save(self) -> None:
        if self.ranks.rank > 0:
            return
        self._mean_loss()  # a checkpoint of a diverged training could never end well
        with atomic.new_file(self.checkpoint) as scratch:
            torch.save(
                {
                    "key": self.key,
                    "network": self.network.state_dict(),
                    "average": self.average.network.state_dict(),
                    "optimizer": self.optimizer.state_dict(),
                    "scaler": self.scaler.state_dict(),
                    "step": self.step,
                    "minutes": self.minutes,
                    "recent": self.recent,
                    "points": [point.model_dump() for point in self.points],
                    "best": self.best,
                    "resumed_from": self.resumed_from,
                },
                scratch,
            )
        self.saved()

    def _resume(self) -> None:
        if not self.checkpoint.is_file():
            return
        try:
            state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
            if same := state["key"] == self.key:
                self._restore(state)
        except Exception as error:  # torch raises anything from OSError to UnpicklingError here
            raise SeglineError(
                f"{self.checkpoint}: a damaged checkpoint, or one of another version of segline "
                f"({type(error).__name__}); remove it to start anew"
            ) from error
        if not same:
            raise SeglineError(f"{self.checkpoint}: checkpoint of another training; remove it to start anew")

    def _restore(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.average.network.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.step, self.minutes = state["step"], state["minutes"]
        ended = self.schedule.progress(self.step, self.minutes) >= 1
        self.resumed_from = state["resumed_from"] if ended else self.step
        self.recent = [loss.to(self.device) for loss in state["recent"]]
        self.points = [TrainingPoint(**point) for point in state["points"]]
        self.best = state["best"]


def _require_one_network(plan: Plan) -> None:
    if plan.network.members > 1:
        raise SeglineError(
            f"plan: network.members is {plan.network.members}, and a training is of one fold; "
            f"make run FOLDS={plan.network.members} ENSEMBLE=1 trains each on a fold and puts them together"
        )
    if plan.network.seeds > 1:
        raise SeglineError(
            f"plan: network.seeds is {plan.network.seeds}, and a trainer makes one network; "
            "train each plan of Plan.of_each_seed(), and segline.shipping.ship puts them together"
        )
