"""segline's training loop against the one of MONAI's spleen tutorial.

    python -m benchmarks.training RUN --steps 60 --repeats 3
    python -m benchmarks.training RUN --until-dice 0.82 --minutes 4

``RUN`` is a folder in which ``segline download``, ``plan`` and ``preprocess`` have run. The tutorial's side
is CacheDataset with everything cached, RandCropByPosNegLabel, nothing else random, DataLoader with workers,
Adam at 1e-4 and Dice loss; segline's side is its trainer with the plan's augmentation.

By default the two take turns, each time in a new process, with the plan's network, patch and batch; printed
are samples a second and the share of the time in which a step waits for its data. With ``--until-dice`` each
trains by its own recipe, the tutorial's with its own network of five levels and batch of two cases with four
patches each, until the mean Dice of the validation cases, on the plan's grid, gets there. The time is that of
training; validations, every few seconds of it, are not counted.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from monai.data import CacheDataset, DataLoader, decollate_batch
from monai.inferers import sliding_window_inference
from monai.losses import DiceLoss
from monai.metrics import DiceMetric
from monai.networks.nets import UNet
from monai.transforms import (
    AsDiscrete,
    Compose,
    CropForegroundd,
    EnsureChannelFirstd,
    LoadImaged,
    NormalizeIntensityd,
    Orientationd,
    RandCropByPosNegLabeld,
    ScaleIntensityRanged,
    Spacingd,
    SpatialPadd,
)
from torch import nn

from segline.common.documents.names import CASES, MANIFEST, PLAN
from segline.common.processes.alone import in_own_process
from segline.data.cases.index import CaseIndex
from segline.data.manifest import Manifest
from segline.inference.stopwatch import Stopwatch
from segline.machine.devices import default_device
from segline.machine.memory import keep_freed_memory
from segline.machine.processor import processor_name
from segline.networks.catalogue import build_network
from segline.plan import IntensityWindow, Plan, merged
from segline.training.state import Checkpoint
from segline.training.trainer import Trainer

WARM_UP = 40
"""Steps: an epoch of the hippocampus, after which every case is open; the tutorial caches beforehand."""
TUTORIAL_CASES, TUTORIAL_PATCHES_A_CASE, TUTORIAL_STRIDE = 2, 4, 16


@dataclass(frozen=True)
class Pace:
    """How fast a loop was."""

    samples_per_s: float
    waiting: float
    """Share of the time."""


class Loop(Protocol):
    """A training that goes on step by step."""

    watch: Stopwatch
    """Has what was waited for data."""

    @property
    def batch_size(self) -> int:
        """Patches a step."""

    def step(self) -> None:
        """Train one."""

    def dice(self) -> float:
        """Mean over validation cases and labels."""


@dataclass
class TutorialLoop:
    """MONAI's spleen tutorial; a batch is ``cases`` with ``patches_a_case`` each."""

    plan: Plan
    manifest: Manifest
    network: nn.Module
    patch: tuple[int, int, int]
    cases: int
    patches_a_case: int
    workers: int
    device: str
    watch: Stopwatch = field(default_factory=Stopwatch)

    def __post_init__(self) -> None:
        crop = RandCropByPosNegLabeld(
            ["image", "label"], "label", self.patch, pos=1, neg=1, num_samples=self.patches_a_case
        )
        pad = SpatialPadd(["image", "label"], self.patch)
        loader = DataLoader(
            self._cached(self.plan.split.train, [pad, crop]),
            batch_size=self.cases,
            shuffle=True,
            num_workers=self.workers,
            drop_last=True,
            persistent_workers=self.workers > 0,
        )
        self.batches = _endless(loader)
        self.val = DataLoader(self._cached(self.plan.split.val, []), batch_size=1)
        self.network.to(self.device)
        self.loss = DiceLoss(to_onehot_y=True, softmax=True)
        self.optimizer = torch.optim.Adam(self.network.parameters(), 1e-4)

    @property
    def batch_size(self) -> int:
        return self.cases * self.patches_a_case

    def step(self) -> None:
        with self.watch.lap("waiting"):
            batch = next(self.batches)
        self.network.train()
        self.optimizer.zero_grad()
        scores = self.network(batch["image"].to(self.device))
        loss = self.loss(scores, batch["label"].to(self.device))
        loss.backward()
        self.optimizer.step()
        loss.item()

    def dice(self) -> float:
        classes = len(self.plan.labels)
        found, truth = AsDiscrete(argmax=True, to_onehot=classes), AsDiscrete(to_onehot=classes)
        metric = DiceMetric(include_background=False)
        self.network.eval()
        with torch.no_grad():
            for batch in self.val:
                image = batch["image"].to(self.device)
                scores = sliding_window_inference(image, self.patch, 4, self.network).cpu()
                labels = decollate_batch(batch["label"])
                metric([found(one) for one in decollate_batch(scores)], [truth(one) for one in labels])
        return float(metric.aggregate())

    def _cached(self, names: Sequence[str], more: Sequence[Any]) -> CacheDataset:
        root, keys = Path(self.manifest.root), ["image", "label"]
        cases = [self.manifest.case(name) for name in names]
        data = [
            {"image": [str(root / f.path) for f in case.images], "label": str(root / case.label.path)}
            for case in cases
        ]
        rule = self.plan.preprocessing.intensity[0]
        intensity = (
            ScaleIntensityRanged(["image"], *rule.window, 0.0, 1.0, clip=True)
            if isinstance(rule, IntensityWindow)
            else NormalizeIntensityd(["image"], nonzero=True, channel_wise=True)
        )
        transforms = [
            LoadImaged(keys),
            EnsureChannelFirstd(keys),
            Orientationd(keys, axcodes="RAS", labels=None),
            Spacingd(keys, self.plan.preprocessing.spacing_mm, mode=("bilinear", "nearest")),
            intensity,
            CropForegroundd(keys, source_key="image", allow_smaller=True),
            *more,
        ]
        return CacheDataset(data, Compose(transforms), cache_rate=1.0, num_workers=2, progress=False)


class SeglineLoop:
    """The trainer, with its data timed; its schedule ends after ``max_minutes`` of training, if given."""

    def __init__(self, plan: Plan, index: CaseIndex, device: str, max_minutes: float | None = None) -> None:
        over = {"training": {"max_minutes": max_minutes}}
        plan = Plan.parse(merged(plan.model_dump(mode="json"), over), "plan") if max_minutes else plan
        train, val = index.open(plan.split.train), index.open(plan.split.val)
        with (
            tempfile.TemporaryDirectory() as folder
        ):  # nothing is saved in it: steps are asked for one by one
            self.trainer = Trainer(plan, train, val, Checkpoint(Path(folder, "checkpoint.pt")), device)
        keep_freed_memory()
        self.watch = Stopwatch()
        self.begun = time.perf_counter()
        self.validating_s = 0.0
        next_batch = self.trainer.next_batch

        def timed() -> Any:
            with self.watch.lap("waiting"):
                return next_batch()

        self.trainer.next_batch = timed  # type: ignore[method-assign]

    @property
    def batch_size(self) -> int:
        return self.trainer.plan.training.batch_size

    def step(self) -> None:
        minutes = (time.perf_counter() - self.begun - self.validating_s) / 60
        schedule = self.trainer.clock
        self.trainer.train_step(schedule.learning_rate(schedule.progress(self.trainer.step, minutes)))

    def dice(self) -> float:
        begun = time.perf_counter()
        found = self.trainer.validate()
        self.validating_s += time.perf_counter() - begun
        return float(found.mean())


def _endless(loader: DataLoader) -> Iterator[Any]:
    while True:
        yield from loader


def pace(loop: Loop, steps: int) -> Pace:
    """Of so many steps, after a few to warm up."""
    for _ in range(WARM_UP):
        loop.step()
    loop.watch.seconds.clear()
    started = time.perf_counter()
    for _ in range(steps):
        loop.step()
    seconds = time.perf_counter() - started
    return Pace(steps * loop.batch_size / seconds, loop.watch.seconds["waiting"] / seconds)


def seconds_to_dice(
    loop: Loop, wanted: float, every_s: float, most_s: float
) -> Iterator[tuple[float, float]]:
    """Train until the Dice is there or ``most_s`` are spent; yields seconds of training and Dice."""
    spent = 0.0
    while spent < most_s:
        started = time.perf_counter()
        while (lap := time.perf_counter() - started) < every_s:
            loop.step()
        spent += lap
        dice = loop.dice()
        yield spent, dice
        if dice >= wanted:
            return


def tutorial_pace(plan: Plan, manifest: Manifest, options: argparse.Namespace) -> Pace:
    """With the plan's network, patch and batch."""
    training = plan.training
    loop = TutorialLoop(
        plan,
        manifest,
        build_network(plan),
        training.patch_size,
        training.batch_size,
        1,
        options.workers,
        options.device,
    )
    return pace(loop, options.steps)


def segline_pace(plan: Plan, index: CaseIndex, options: argparse.Namespace) -> Pace:
    """Of the trainer."""
    return pace(SeglineLoop(plan, index, options.device), options.steps)


def compare_paces(plan: Plan, manifest: Manifest, index: CaseIndex, options: argparse.Namespace) -> None:
    """The two loops with the plan's network, patch and batch, taking turns."""
    patch, batch = plan.training.patch_size, plan.training.batch_size
    paces: dict[str, list[Pace]] = {"tutorial": [], "segline": []}
    for _ in range(options.repeats):
        paces["tutorial"].append(in_own_process("tutorial", tutorial_pace, plan, manifest, options))
        paces["segline"].append(in_own_process("segline", segline_pace, plan, index, options))
    size = "x".join(map(str, patch))
    print(f"patch {size}, batch {batch}, {options.steps} steps, {options.repeats} times")
    for name, found in paces.items():
        speeds = [one.samples_per_s for one in found]
        waiting = statistics.median(one.waiting for one in found)
        spread = f"{statistics.median(speeds):.2f} ({min(speeds):.2f} to {max(speeds):.2f})"
        print(f"  {name:9} {spread} samples/s, waiting for data {100 * waiting:.1f} %")
    ratios = [b.samples_per_s / a.samples_per_s for a, b in zip(*paces.values(), strict=True)]
    print(f"  segline / tutorial {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


def race(plan: Plan, manifest: Manifest, index: CaseIndex, options: argparse.Namespace) -> None:
    """The two recipes, one after the other, to the same validation Dice."""
    torch.manual_seed(plan.seed)
    network = UNet(
        spatial_dims=3,
        in_channels=len(plan.channels),
        out_channels=len(plan.labels),
        channels=(16, 32, 64, 128, 256),
        strides=(2, 2, 2, 2),
        num_res_units=2,
        norm="batch",
    )
    x, y, z = (-(-n // TUTORIAL_STRIDE) * TUTORIAL_STRIDE for n in plan.training.patch_size)
    cases, patches = TUTORIAL_CASES, TUTORIAL_PATCHES_A_CASE
    loops: dict[str, Loop] = {
        "segline": SeglineLoop(plan, index, options.device, options.minutes),
        "tutorial": TutorialLoop(
            plan, manifest, network, (x, y, z), cases, patches, options.workers, options.device
        ),
    }
    needed: dict[str, float] = {}
    for name, loop in loops.items():
        for seconds, dice in seconds_to_dice(
            loop, options.until_dice, options.every, options.most_minutes * 60
        ):
            print(f"  {name:9} {seconds:6.0f} s  Dice {dice:.4f}", flush=True)
            if dice >= options.until_dice:
                needed[name] = seconds
    if len(needed) == len(loops):
        print(f"  tutorial / segline {needed['tutorial'] / needed['segline']:.1f}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2, help="of the tutorial's DataLoader")
    parser.add_argument("--device", default=default_device())
    parser.add_argument("--until-dice", type=float, help="race to this validation Dice")
    parser.add_argument("--minutes", type=float, default=4.0, help="segline's schedule in a race")
    parser.add_argument("--most-minutes", type=float, default=30.0, help="end of a race that is not won")
    parser.add_argument("--every", type=float, default=10.0, help="seconds of training between validations")
    options = parser.parse_args(arguments)
    plan = Plan.read(options.run / PLAN)
    manifest = Manifest.read(options.run / MANIFEST)
    index = CaseIndex.read(options.run / CASES)
    threads = torch.get_num_threads()
    print(f"{processor_name()}, {threads} threads, {options.device}, torch {torch.__version__}")
    (race if options.until_dice else compare_paces)(plan, manifest, index, options)


if __name__ == "__main__":
    main()
