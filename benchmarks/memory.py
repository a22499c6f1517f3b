"""Memory of a training, from few cases to many.

    python -m benchmarks.memory --cases 20 200 2000 --steps 300
    python -m benchmarks.memory --cases 10 200 --shape 320 320 110     # full size, as the heart's: 7 GB

For each number that many phantom-like cases are written as separate files, and a process of its own trains on
them for as many steps. Printed is the most that a sample, every few steps, found of

- private: pages of this process alone that are its own or written to (USS without clean pages of files);
- PSS: private pages and its share of shared ones, mapped files among them. Those can be dropped and read
  again at any time, and count for whoever touched them last.

No file is there twice under two names: their pages would be counted once for many cases.
"""

import argparse
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from segline.common.processes.alone import in_own_process
from segline.data.cases.index import CaseIndex
from segline.imaging.geometry import Shape, as_shape
from segline.imaging.placement import Placement
from segline.plan import Plan
from segline.training.state import Checkpoint
from segline.training.trainer import Trainer

SHAPE = (48, 48, 40)
PATCH = (32, 32, 32)
SAMPLED_EVERY = 10
KIB = 1024


def make_plan(names: Sequence[str]) -> Plan:
    """A small network on a grid of 1 mm; the last two cases are for validation and test."""
    values = {
        "task": "memory",
        "dataset_digest": "0" * 64,
        "channels": ["CT"],
        "labels": {0: "background", 1: "organ", 2: "lesion"},
        "preprocessing": {
            "spacing_mm": [1, 1, 1],
            "intensity": [{"rule": "window", "window": [0, 1]}],
            "foreground_above": None,
        },
        "network": {"channels": [8, 16, 32], "strides": [[2, 2, 2], [2, 2, 2]]},
        "training": {"patch_size": PATCH, "batch_size": 4, "epochs": 100},
        "inference": {"smallest_window": PATCH, "largest_window": PATCH, "overlap": [8, 8, 8]},
        "gate": {"nsd_tolerance_mm": 1},
        "split": {"train": names[:-2], "val": names[-2:-1], "test": names[-1:]},
    }
    return Plan.parse(values, "plan")


def write_case(folder: Path, number: int, shape: Shape = SHAPE) -> None:
    """A noisy image with two balls, as preprocessing would have left it."""
    rng = np.random.default_rng(number)
    label = np.zeros(shape, np.uint8)
    rows = []
    for index, share in ((1, 0.3), (2, 0.225)):
        radius = int(share * min(shape))
        centre = [int(rng.integers(radius, size - radius)) for size in shape]
        axes = np.ogrid[tuple(slice(size) for size in shape)]
        ball = sum((axis - middle) ** 2 for axis, middle in zip(axes, centre, strict=True)) < radius**2
        label[ball] = index
    for index in (1, 2):
        voxels = np.argwhere(label == index)[:4096]
        rows.append(np.column_stack([np.full(len(voxels), index), voxels]).astype(np.int32))
    folder.mkdir(parents=True)
    noise = np.float32(0.3) * rng.standard_normal(shape, np.float32)
    np.save(folder / "image.npy", (label + noise)[None].astype(np.float16))
    np.save(folder / "label.npy", label)
    np.save(folder / "locations.npy", np.concatenate(rows))
    eye = tuple(tuple(map(float, row)) for row in np.eye(4))
    placement = Placement(
        native_shape=shape,
        native_affine=eye,  # type: ignore[arg-type]
        axes=(0, 1, 2),
        flips=(False, False, False),
        crop_start=(0, 0, 0),
        crop_stop=shape,
        shape=shape,
        steps=(1.0, 1.0, 1.0),
    )
    (folder / "placement.json").write_text(placement.model_dump_json())


def memory_now() -> tuple[int, int]:
    """Private bytes and PSS bytes of this process."""
    text = Path("/proc/self/smaps_rollup").read_text()
    kib = {name: int(value) for name, value in re.findall(r"^(\w+): +(\d+) kB", text, re.MULTILINE)}
    return kib["Private_Dirty"] * KIB, kib["Pss"] * KIB


def train(root: Path, names: Sequence[str], steps: int) -> tuple[int, int]:
    """The largest private bytes and PSS of a training."""
    torch.set_num_threads(2)
    plan = make_plan(names)
    index = CaseIndex(
        plan_digest=plan.digest, root=str(root), keys={n: n for n in names}, computed=0, reused=0
    )
    train, val = index.open(plan.split.train), index.open(plan.split.val)
    trainer = Trainer(plan, train, val, Checkpoint(root / "checkpoint.pt"))
    found = [memory_now()]
    for step in range(steps):
        trainer.train_step(1e-3)
        if step % SAMPLED_EVERY == 0:
            found.append(memory_now())
    trainer.validate()
    private, pss = zip(*found, memory_now(), strict=True)
    return max(private), max(pss)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train on each number of cases, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, nargs="+", default=[20, 200, 2000])
    parser.add_argument("--shape", type=int, nargs=3, default=SHAPE, help="of each volume, in voxels")
    parser.add_argument("--steps", type=int, default=300, help="of 4 patches")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        names = [f"case_{number:05}" for number in range(max(options.cases))]
        for number, name in enumerate(names):
            write_case(root / name, number, as_shape(options.shape))
        print("  cases  private MiB  PSS MiB")
        for count in options.cases:
            private, pss = in_own_process("training", train, root, names[:count], options.steps)
            print(f"  {count:5}  {private / 2**20:11.1f}  {pss / 2**20:7.1f}")


if __name__ == "__main__":
    main()
