"""How near a prediction comes to what the machine could do: a limit for each stage, measured in the same run.

    python -m benchmarks.limits MODEL DATASET --backends openvino openvino_int8

``MODEL`` is a model package of a CT plan, ``DATASET`` a Decathlon folder (``benchmarks.painted`` makes one of
full size). What no program that reads such a file and runs such a network on all cores can do without:

- load: one gunzip of the file that is in memory already, by isal, the fastest there is for Python
- preprocess: one pass over its voxels, a copy
- network: the multiplications and additions for the body's voxels, each seen once, at the rate of the
  fastest product of two float32 matrices; int8 has the same limit, and may beat it
- invert: one pass over the mask, a copy
- save: one gzip of the mask, by isal at its quickest

Limits and predictions take turns, case by case, each backend in a process of its own; of each case the median
counts. The product of matrices is taken anew for each case, and its fastest rate is that of all.
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
from segline.common.processes.alone import in_own_process
from segline.imaging.files import read_volume
from segline.imaging.preprocessing import Preprocessor
from segline.imaging.volume import Volume
from segline.machine.memory import keep_freed_memory
from segline.machine.processor import processor_name
from segline.model.package import Model
from segline.networks.folding import folded
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


def work_of(image: Path, volume: Volume, mask: Path) -> dict[str, Callable[[], object]]:
    """What a prediction of one case cannot do without, but the network; its mask is there already."""
    packed, labels = image.read_bytes(), read_volume(mask).array.copy()
    return {
        "load": partial(igzip.decompress, packed),
        "preprocess": torch.from_numpy(volume.array.copy()).clone,
        "invert": torch.from_numpy(labels).clone,
        "save": partial(igzip.compress, labels.tobytes(), 0),
    }


def flops_of(model: Model, volume: Volume) -> int:
    """Multiplications and additions of the folded network over one case in one window, which is not run.

    The window has the case's shape on the plan's grid, rounded up to the network's stride.
    """
    shape, strides = (
        Preprocessor(model.plan.preprocessing).place(volume).shape,
        model.plan.network.total_stride,
    )
    sizes = [-(-size // stride) * stride for size, stride in zip(shape, strides, strict=True)]
    network = folded(load_network(model.weights, model.plan)).to("meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.empty(1, len(volume.array), *sizes, device="meta"))
    return counter.get_total_flops()


@dataclass(frozen=True)
class Measured:
    """Seconds of one case by stage."""

    limits: Mapping[str, float]
    """But of the network, and so of the whole."""
    taken: Mapping[str, float]
    network_flops: int
    peak_flops: float
    """A second, at the time."""

    def limits_at(self, peak: float) -> dict[str, float]:
        """Seconds of all stages, where the machine makes so many multiplications and additions a second."""
        limits = {**self.limits, "network and stitching": self.network_flops / peak}
        return {**limits, "end to end": sum(limits.values())}


def measured(model: Model, stack: SeglineStack, image: Path, repeats: int) -> Measured:
    """One case, after a prediction that is not counted."""
    limits: dict[str, list[float]] = {}
    taken: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        volume, mask = read_volume(image), timed(stack, image, Path(folder)).mask
        work, flops, peak = work_of(image, volume, mask), flops_of(model, volume), peak_flops()
        for _ in range(repeats):
            for stage, least in work.items():
                limits.setdefault(stage, []).append(seconds_of(least))
            run = timed(stack, image, Path(folder))
            for stage, seconds in STAGES.items():
                taken.setdefault(stage, []).append(seconds(run))
    of_limits, of_taken = (
        {stage: statistics.median(values) for stage, values in each.items()} for each in (limits, taken)
    )
    return Measured(of_limits, of_taken, flops, peak)


def all_measured(folder: Path, backend: str, images: Sequence[Path], repeats: int) -> list[Measured]:
    """Every case; in a process of its own, where no other backend's threads wait."""
    keep_freed_memory()  # as the command does that predicts
    model = Model.open(folder)
    stack = SeglineStack(model.plan, open_backend(backend, model, "cpu"))
    return [measured(model, stack, image, repeats) for image in images]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print a table of each backend."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--backends", nargs="+", default=["openvino"])
    options = parser.parse_args(arguments)
    images = sorted((options.dataset / "imagesTr").glob("*.nii.gz"))
    print(f"{processor_name()}, {torch.get_num_threads()} threads, {len(images)} cases")
    for name in options.backends:
        given = options.model, name, images, options.repeats
        cases = in_own_process(name, all_measured, *given)
        peak = max(case.peak_flops for case in cases)
        print(f"\n{name}; {peak / 1e9:.0f} GFLOP/s in float32")
        print("seconds a case, median (range): the limit, what is taken; times the limit")
        for stage in STAGES:
            limits = [case.limits_at(peak)[stage] for case in cases]
            taken = [case.taken[stage] for case in cases]
            ratios = [b / a for a, b in zip(limits, taken, strict=True)]
            print(f"  {stage:22} {spread(limits):22} {spread(taken):22} {spread(ratios)}")


if __name__ == "__main__":
    main()
