"""segline's training loop against the one of MONAI's spleen tutorial: same network, patch and batch.

    python -m benchmarks.training RUN --steps 60 --repeats 3

``RUN`` is a folder in which ``segline download``, ``plan`` and ``preprocess`` have run. The tutorial's side
is CacheDataset with everything cached, one random crop a case (RandCropByPosNegLabel), nothing else random,
DataLoader with workers, Adam; segline's side augments as its plan says. The two take turns in one process;
printed are samples a second and the share of the time in which the step waits for data.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from monai.data import CacheDataset, DataLoader
from monai.losses import DiceLoss
from monai.transforms import (
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

from segline.cases import CaseIndex
from segline.dataset import Manifest
from segline.machine import default_device, processor_name
from segline.networks import build_network
from segline.plan import Plan, Window
from segline.sampling import PatchSampler
from segline.stopwatch import Stopwatch
from segline.training import Trainer

WARM_UP = 5


@dataclass(frozen=True)
class Pace:
    """How fast a loop was."""

    samples_per_s: float
    waiting: float
    """Share of the time."""


class TutorialLoop:
    """MONAI's spleen tutorial, with the plan's network, patch and batch."""

    def __init__(self, plan: Plan, manifest: Manifest, workers: int, device: str) -> None:
        self.plan, self.device = plan, torch.device(device)
        root = Path(manifest.root)
        cases = [manifest.case(name) for name in plan.split.train]
        data = [
            {"image": [str(root / f.path) for f in case.images], "label": str(root / case.label.path)}
            for case in cases
        ]
        dataset = CacheDataset(data, self._transforms(), cache_rate=1.0, num_workers=2, progress=False)
        batch = plan.training.batch_size
        self.loader = DataLoader(
            dataset,
            batch_size=batch,
            shuffle=True,
            num_workers=workers,
            drop_last=True,
            persistent_workers=workers > 0,
        )
        self.network = build_network(plan).to(self.device)
        self.loss = DiceLoss(to_onehot_y=True, softmax=True)
        self.optimizer = torch.optim.Adam(self.network.parameters(), 1e-4)

    def _transforms(self) -> Compose:
        keys, patch = ["image", "label"], self.plan.training.patch_size
        rule = self.plan.preprocessing.intensity[0]
        intensity = (
            ScaleIntensityRanged(["image"], *rule.window, 0.0, 1.0, clip=True)
            if isinstance(rule, Window)
            else NormalizeIntensityd(["image"], nonzero=True, channel_wise=True)
        )
        return Compose(
            [
                LoadImaged(keys),
                EnsureChannelFirstd(keys),
                Orientationd(keys, axcodes="RAS", labels=None),
                Spacingd(keys, self.plan.preprocessing.spacing_mm, mode=("bilinear", "nearest")),
                intensity,
                CropForegroundd(keys, source_key="image", allow_smaller=True),
                SpatialPadd(keys, patch),
                RandCropByPosNegLabeld(keys, "label", patch, pos=1, neg=1, num_samples=1),
            ]
        )

    def run(self, steps: int) -> Pace:
        """Train for so many steps."""
        batches, watch = self._endless(), Stopwatch()
        for step in range(WARM_UP + steps):
            if step == WARM_UP:
                watch, started = Stopwatch(), time.perf_counter()
            with watch.lap("waiting"):
                batch = next(batches)
            self.optimizer.zero_grad()
            scores = self.network(batch["image"].to(self.device))
            loss = self.loss(scores, batch["label"].to(self.device))
            loss.backward()
            self.optimizer.step()
            loss.item()
        seconds = time.perf_counter() - started
        return Pace(steps * self.plan.training.batch_size / seconds, watch.seconds["waiting"] / seconds)

    def _endless(self) -> Iterator[Any]:
        while True:
            yield from self.loader


class SeglineLoop:
    """The trainer, with its data timed."""

    def __init__(self, plan: Plan, index: CaseIndex, device: str) -> None:
        self.plan, self.device = plan, device
        self.cases = index.open(plan.split.train)

    def run(self, steps: int) -> Pace:
        """Train for so many steps, without a validation."""
        watch = Stopwatch()
        with tempfile.TemporaryDirectory() as folder:
            trainer = Trainer(self.plan, self.cases, self.cases[:1], Path(folder, "c.pt"), "k", self.device)
            trainer.sampler = _TimedSampler(trainer.sampler, watch)  # type: ignore[assignment]
            trainer.augment = _timed(trainer.augment, watch)  # type: ignore[assignment]
            for _ in range(WARM_UP):
                trainer.train_step(self.plan.training.learning_rate)
            watch.seconds.clear()
            started = time.perf_counter()
            for _ in range(steps):
                trainer.train_step(self.plan.training.learning_rate)
            seconds = time.perf_counter() - started
        return Pace(steps * self.plan.training.batch_size / seconds, watch.seconds["waiting"] / seconds)


@dataclass(frozen=True)
class _TimedSampler:
    sampler: PatchSampler
    watch: Stopwatch

    def batch(self, step: int) -> Any:
        with self.watch.lap("waiting"):
            return self.sampler.batch(step)


def _timed(work: Callable[..., Any], watch: Stopwatch) -> Callable[..., Any]:
    def timed(*given: Any) -> Any:
        with watch.lap("waiting"):
            return work(*given)

    return timed


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
    options = parser.parse_args(arguments)
    plan = Plan.read(options.run / "plan.json")
    loops: dict[str, TutorialLoop | SeglineLoop] = {
        "tutorial": TutorialLoop(
            plan, Manifest.read(options.run / "manifest.json"), options.workers, options.device
        ),
        "segline": SeglineLoop(plan, CaseIndex.read(options.run / "cases.json"), options.device),
    }
    paces: dict[str, list[Pace]] = {name: [] for name in loops}
    for _ in range(options.repeats):
        for name, loop in loops.items():
            paces[name].append(loop.run(options.steps))
    size = "x".join(map(str, plan.training.patch_size))
    print(
        f"{processor_name()}, {torch.get_num_threads()} threads, {options.device}, torch {torch.__version__}"
    )
    print(f"patch {size}, batch {plan.training.batch_size}, {options.steps} steps, {options.repeats} times")
    for name, found in paces.items():
        speeds = [pace.samples_per_s for pace in found]
        waiting = statistics.median(pace.waiting for pace in found)
        spread = f"{statistics.median(speeds):.2f} ({min(speeds):.2f} to {max(speeds):.2f})"
        print(f"  {name:9} {spread} samples/s, waiting for data {100 * waiting:.1f} %")
    ratios = [b.samples_per_s / a.samples_per_s for a, b in zip(*paces.values(), strict=True)]
    print(f"  segline / tutorial {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
