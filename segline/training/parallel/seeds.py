"""Training from several seeds at once, a network and a process each; their mean beats any of them."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

from segline.common.progress import Progress, silent
from segline.data.cases.arriving import CaseSource
from segline.machine.devices import usable_device
from segline.machine.memory import keep_freed_memory
from segline.model.history import TrainingPoint
from segline.plan import Plan
from segline.training.listening import Listener, unheard
from segline.training.memory import check_memory
from segline.training.objectives.masks import MASKS
from segline.training.objectives.objective import Objective
from segline.training.ranks import Ranks, Tell, in_ranks
from segline.training.state import Checkpoint
from segline.training.trainer import Trainer


def train_seeds(
    plans: Sequence[Plan],
    source: CaseSource,
    checkpoints: Sequence[Path],
    keys: Sequence[str],
    device: str = "cpu",
    progress: Progress = silent,
    saved: Callable[[int], None] = lambda _: None,
    objective: Objective = MASKS,
    listener: Listener = unheard,
) -> None:
    """Train each plan to the end, all at once; a :class:`Trainer` of each finds the end in its checkpoint.

    They share the cores of the CPU, or the machine's GPUs unless ``device`` has a number. So a schedule in
    minutes takes as long as that of one network, and each makes fewer steps in it.

    ``plans`` are of one network each and differ in their seeds alone, see ``Plan.of_each_seed``; each has its
    checkpoint and its key, as a trainer's. ``progress`` is told of the first; ``saved`` is called with the
    number of the plan after each checkpoint; ``listener`` is told as a trainer's, of all networks.

    Raises:
        SeglineError: a trainer's own; they do not fit into memory at once; one was killed or met a defect.
    """
    devices = _shared_out(len(plans), device)
    check_memory(plans[0], torch.device(devices[0]), networks=devices.count(devices[0]))
    threads = max(1, torch.get_num_threads() // len(plans))

    def heed(news: tuple[int, TrainingPoint | tuple[float, str] | None]) -> None:
        number, done = news
        if isinstance(done, TrainingPoint):
            listener(done.model_copy(update={"network": number}))
        elif done is None:
            saved(number)
        elif number == 0:
            progress(*done)

    given = (plans, source, checkpoints, keys, devices, threads, objective)
    in_ranks("train", len(plans), heed, _train, *given)


def networks_at_once(plan: Plan, device: str) -> int:
    """Count the networks of a training of ``plan`` that share the same cores, or one GPU, on ``device``."""
    devices = _shared_out(plan.ensemble.seeds, device)
    return devices.count(devices[0])


def _shared_out(count: int, wanted: str) -> list[str]:
    """The device of each of ``count`` networks."""
    device = usable_device(wanted)
    gpus = torch.cuda.device_count() if device.type == "cuda" and wanted in ("auto", "cuda") else 0
    return [f"cuda:{number % gpus}" if gpus else str(device) for number in range(count)]


def _train(
    ranks: Ranks,
    tell: Tell,
    plans: Sequence[Plan],
    source: CaseSource,
    checkpoints: Sequence[Path],
    keys: Sequence[str],
    devices: Sequence[str],
    threads: int,
    objective: Objective,
) -> None:
    number = ranks.rank
    torch.set_num_threads(threads)
    plan, device = plans[number], devices[number]
    keep_freed_memory()
    cases = (source.open(plan.split.train), source.open(plan.split.val))
    kept = Checkpoint(checkpoints[number], keys[number], partial(tell, (number, None)))
    listener = partial(_tell_of, tell, number)
    trainer = Trainer(plan, *cases, kept, device, listener=listener, objective=objective)
    trainer.run(lambda done, message: tell((number, (done, message))))


def _tell_of(tell: Tell, number: int, point: TrainingPoint) -> None:
    tell((number, point))
