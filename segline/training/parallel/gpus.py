"""Training on every GPU of a machine, a process each."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

from segline.common.progress import Progress, silent
from segline.data.cases.arriving import CaseSource
from segline.machine.memory import keep_freed_memory
from segline.model.history import TrainingPoint
from segline.plan import Plan
from segline.training.listening import Listener, unheard
from segline.training.objectives.masks import MASKS
from segline.training.objectives.objective import Objective
from segline.training.ranks import Ranks, Tell, in_ranks
from segline.training.state import Checkpoint
from segline.training.trainer import Trainer


def gpus_to_share(plan: Plan, device: str) -> list[str]:
    """The GPUs among which a training on ``device`` divides its batches evenly; none if there is one at most.

    A device with a number is that one alone.
    """
    count = torch.cuda.device_count() if device in ("auto", "cuda") else 0
    return [f"cuda:{number}" for number in range(_equal_parts(plan.training.batch_size, count))]


def train_on(
    devices: Sequence[str],
    plan: Plan,
    source: CaseSource,
    checkpoint: Path,
    key: str,
    progress: Progress = silent,
    saved: Callable[[], None] = lambda: None,
    objective: Objective = MASKS,
    listener: Listener = unheard,
) -> None:
    """Train to the end, a rank on each device; a :class:`Trainer` then finds the end in its checkpoint.

    ``listener`` is told as a trainer's.

    Raises:
        SeglineError: as the trainer's; or a rank was killed or met a defect.
    """

    def heed(news: TrainingPoint | tuple[float, str] | None) -> None:
        if isinstance(news, TrainingPoint):
            listener(news)
        else:
            progress(*news) if news else saved()

    in_ranks("train", len(devices), heed, _train, devices, plan, source, checkpoint, key, objective)


def _equal_parts(batch_size: int, most: int) -> int:
    """Into how many equal parts a batch goes, if at least two.

    >>> [_equal_parts(4, gpus) for gpus in (0, 1, 2, 3, 8)]
    [0, 0, 2, 2, 4]
    """
    return max((n for n in range(2, most + 1) if batch_size % n == 0), default=0)


def _train(
    ranks: Ranks,
    tell: Tell,
    devices: Sequence[str],
    plan: Plan,
    source: CaseSource,
    checkpoint: Path,
    key: str,
    objective: Objective,
) -> None:
    device = torch.device(devices[ranks.rank])
    if device.type == "cuda":
        torch.cuda.set_device(device)
    keep_freed_memory()
    cases = (source.open(plan.split.train), source.open(plan.split.val))
    kept = Checkpoint(checkpoint, key, partial(tell, None))
    first = ranks.rank == 0
    trainer = Trainer(plan, *cases, kept, str(device), ranks, tell if first else unheard, objective)
    trainer.run((lambda done, message: tell((done, message))) if first else silent)
