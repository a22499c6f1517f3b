"""How near a prediction comes to what the machine could do: a limit for each stage, measured in the same run.

    python -m benchmarks.limits MODEL DATASET --backend openvino openvino_int8

``MODEL`` is a model package of a CT plan, ``DATASET`` a Decathlon folder (``benchmarks.painted`` makes one of
full size). What no program that reads such a file and runs such a network on all cores can do without:

- load: one gunzip of the file that is in memory already, by isal, the fastest there is for Python
- preprocess: one pass over its voxels, a copy
- network: the multiplications and additions for the body's voxels, each seen once, at the rate of the
  fastest product of two float32 matrices; int8 has the same limit, and may beat it
- invert: one pass over the mask, a copy
- save: one gzip of the mask, by isal at its quickest

Limits and predictions take turns, case by case; of each case the median counts.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from isal import igzip
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.inference import STAGES, SeglineStack, spread, timed
from segline.backends import open_backend
from segline.imaging.files import read_volume
from segline.imaging.preprocessing import Preprocessor
from segline.machine.abilities import processor_name
from segline.machine.memory import keep_freed_memory
from segline.model.package import Model
from segline.networks.folding import fold_batch_norm
from segline.networks.weights import load_network

PRODUCT_EDGE = 4096


def seconds_of(work: Callable[[], object]) -> float:
    """How long it takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def peak_flops() -> float:
    """Multiplications and additions a second of the fastest of a few products of float32 matrices."""
    a, b = torch.rand(2, PRODUCT_EDGE, PRODUCT_EDGE)
    return 2 * PRODUCT_EDGE**3 / min(seconds_of(partial(torch.mm, a, b)) for _ in range(5))


@dataclass(frozen=True)
class Work:
    """What a prediction of one case cannot do without."""

    stages: Mapping[str, Callable[[], object]]
    """But the network."""
    flops: int
    """Of the network, over the voxels on the plan's grid, rounded up to its stride."""


def work_of(model: Model, image: Path, mask: Path) -> Work:
    """Of one case, whose mask is there already."""
    packed, volume = image.read_bytes(), read_volume(image)
    labels = torch.from_numpy(read_volume(mask).array)
    voxels, written = torch.from_numpy(volume.array), labels.numpy().tobytes()
    return Work(
        {
            "load": lambda: gzip_less(packed),
            "preprocess": voxels.clone,
            "invert": labels.clone,
            "save": lambda: igzip.compress(written, 0),
        },
        flops_of(model, image),
    )


def gzip_less(packed: bytes) -> bytes:
    """A file's content, whether it is zipped or not."""
    return igzip.decompress(packed) if packed[:2] == b"\x1f\x8b" else packed


def flops_of(model: Model, image: Path) -> int:
    """Multiplications and additions of the folded network over one case in one window, which is not run."""
    preprocessor, volume = Preprocessor(model.plan.preprocessing), read_volume(image)
    shape = preprocessor.image(volume, preprocessor.place(volume)).shape
    sizes = [
        -(-size // stride) * stride
        for size, stride in zip(shape[1:], model.plan.network.total_stride, strict=True)
    ]
    network = fold_batch_norm(load_network(model.weights, model.plan)).to("meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.empty(1, shape[0], *sizes, device="meta"))
    return counter.get_total_flops()


@dataclass(frozen=True)
class Measured:
    """Seconds of one case by stage: the limits, and those of a prediction by each backend."""

    limits: Mapping[str, float]
    taken: Mapping[str, Mapping[str, float]]


def measured(
    model: Model, stacks: Mapping[str, SeglineStack], image: Path, peak: float, repeats: int
) -> Measured:
    """One case, after a prediction by each that is not counted."""
    limits: dict[str, list[float]] = {}
    taken: dict[str, dict[str, list[float]]] = {name: {} for name in stacks}
    with tempfile.TemporaryDirectory() as folder:
        masks = [timed(stack, image, Path(folder)).mask for stack in stacks.values()]
        work = work_of(model, image, masks[0])
        for _ in range(repeats):
            for stage, least in work.stages.items():
                limits.setdefault(stage, []).append(seconds_of(least))
            for name, stack in stacks.items():
                run = timed(stack, image, Path(folder))
                for stage, seconds in STAGES.items():
                    taken[name].setdefault(stage, []).append(seconds(run))
    of_limits = {stage: statistics.median(values) for stage, values in limits.items()}
    of_limits["network and stitching"] = work.flops / peak
    of_limits["end to end"] = sum(of_limits.values())
    medians = {
        name: {stage: statistics.median(values) for stage, values in by_stage.items()}
        for name, by_stage in taken.items()
    }
    return Measured(of_limits, medians)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--backends", nargs="+", default=["openvino"])
    options = parser.parse_args(arguments)
    keep_freed_memory()  # as the command does that predicts
    model, peak = Model.open(options.model), peak_flops()
    stacks = {name: SeglineStack(model.plan, open_backend(name, model, "cpu")) for name in options.backends}
    images = sorted((options.dataset / "imagesTr").glob("*.nii.gz"))
    print(f"{processor_name()}, {torch.get_num_threads()} threads, {peak / 1e9:.0f} GFLOP/s in float32")
    cases = [measured(model, stacks, image, peak, options.repeats) for image in images]
    print(f"\nseconds a case, median (range) of {len(cases)} cases; times the limit")
    for stage in STAGES:
        print(f"{stage}\n  {'limit':14} {spread([case.limits[stage] for case in cases])}")
        for name in stacks:
            seconds = [case.taken[name][stage] for case in cases]
            ratios = [case.taken[name][stage] / case.limits[stage] for case in cases]
            print(f"  {name:14} {spread(seconds):24} {spread(ratios)}")


if __name__ == "__main__":
    main()
