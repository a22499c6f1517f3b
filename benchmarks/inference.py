"""segline against MONAI's own stack: from a CT file to a mask file, with the same weights, in one process.

    python -m benchmarks.inference MODEL DATASET --cases 4 --repeats 3

``MODEL`` is a model package of a CT plan, ``DATASET`` a Decathlon folder (``benchmarks.painted`` makes one of
full size). MONAI's side does what its spleen bundle does: LoadImage, EnsureChannelFirst, Orientation,
Spacing, ScaleIntensityRange, ``sliding_window_inference`` (ROI 96x96x96, overlap 0.5, 4 windows a batch),
softmax, Invert, AsDiscrete, SaveImage. The two take turns, case by case; printed are the medians and ranges
of the times and their ratios, the Dice of both against the labels, and how far their preprocessed images
differ.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from monai.data import decollate_batch, list_data_collate
from monai.inferers import sliding_window_inference
from monai.transforms import (
    Activationsd,
    AsDiscreted,
    Compose,
    EnsureChannelFirstd,
    Invertd,
    LoadImaged,
    Orientationd,
    SaveImaged,
    ScaleIntensityRanged,
    Spacingd,
)

from segline.backends import Backend, open_backend
from segline.common.arrays import as_numpy
from segline.imaging.files import read_volume, write_volume
from segline.imaging.preprocessing import Preprocessor
from segline.inference.predictor import Predictor
from segline.inference.stopwatch import Stopwatch
from segline.machine.processor import processor_name
from segline.model.package import Model
from segline.networks.weights import load_network
from segline.plan import IntensityWindow, Plan

KEY = "image"
ROI = (96, 96, 96)


@dataclass
class MonaiStack:
    """A network between MONAI's transforms."""

    plan: Plan
    network: torch.nn.Module
    watch: Stopwatch = field(default_factory=Stopwatch)

    def __post_init__(self) -> None:
        rule = self.plan.preprocessing.intensity[0]
        assert isinstance(rule, IntensityWindow), "a CT plan is needed: intensity window"
        low, high = rule.window
        self.load = LoadImaged(keys=KEY)
        self.preprocess = Compose(
            [
                EnsureChannelFirstd(keys=KEY),
                Orientationd(keys=KEY, axcodes="RAS", labels=None),
                Spacingd(keys=KEY, pixdim=self.plan.preprocessing.spacing_mm, mode="bilinear"),
                ScaleIntensityRanged(keys=KEY, a_min=low, a_max=high, b_min=0, b_max=1, clip=True),
            ]
        )

    def save_to(self, path: Path) -> SaveImaged:
        """MONAI's writer; the mask is ``path/<name>_mask.nii.gz``."""
        return SaveImaged(
            keys="pred",
            output_dir=str(path),
            output_postfix="mask",
            separate_folder=False,
            print_log=False,
            output_dtype=np.uint8,
            resample=False,
        )

    def __call__(self, image: Path, folder: Path) -> Path:
        """Predict one file; the path of the mask."""
        with self.watch.lap("load"):
            data = self.load({KEY: str(image)})
        with self.watch.lap("preprocess"):
            data = self.preprocess(data)
        batch = list_data_collate([data])
        with self.watch.lap("network"), torch.inference_mode():
            batch["pred"] = sliding_window_inference(batch[KEY], ROI, 4, self.network, overlap=0.5)
        with self.watch.lap("invert"):
            back = Compose(
                [
                    Activationsd(keys="pred", softmax=True),
                    Invertd(keys="pred", transform=self.preprocess, orig_keys=KEY, nearest_interp=False),
                    AsDiscreted(keys="pred", argmax=True),
                ]
            )
            (done,) = [back(item) for item in decollate_batch(batch)]
        with self.watch.lap("save"):
            self.save_to(folder)(done)
        return folder / f"{image.name.removesuffix('.nii.gz')}_mask.nii.gz"


@dataclass
class SeglineStack:
    """A backend in segline's predictor."""

    plan: Plan
    backend: Backend
    watch: Stopwatch = field(default_factory=Stopwatch)

    def __call__(self, image: Path, folder: Path) -> Path:
        """Predict one file; the path of the mask."""
        with self.watch.lap("load"):
            volume = read_volume(image)
        mask = Predictor(self.plan, self.backend, self.watch)(volume)
        path = folder / f"{image.name.removesuffix('.nii.gz')}_{self.backend.name}.nii.gz"
        with self.watch.lap("save"):
            write_volume(path, mask)
        return path


def preprocessing_difference(monai: MonaiStack, image: Path) -> float:
    """Largest absolute difference of the two preprocessed images, whose range is 0 to 1.

    segline's crop to the body is left out: it moves the first voxel, and with it the grid.
    """
    whole = monai.plan.preprocessing.model_copy(update={"foreground_above": None})
    preprocessor, volume = Preprocessor(whole), read_volume(image)
    ours = preprocessor.image(volume, preprocessor.place(volume))
    theirs = monai.preprocess(monai.load({KEY: str(image)}))[KEY].as_tensor()
    x, y, z = (min(a, b) for a, b in zip(ours.shape[1:], theirs.shape[1:], strict=True))
    return float(np.abs(ours[:, :x, :y, :z] - as_numpy(theirs[:, :x, :y, :z])).max())


def dice(mask: Path, truth: Path) -> float:
    """Of all foreground labels together."""
    found, wanted = read_volume(mask).array > 0, read_volume(truth).array > 0
    return 2 * float((found & wanted).sum()) / float(found.sum() + wanted.sum())


@dataclass
class Timed:
    """One prediction."""

    seconds: Mapping[str, float]
    mask: Path

    @property
    def total(self) -> float:
        """Seconds from file to file."""
        return sum(self.seconds.values())


def timed(stack: MonaiStack | SeglineStack, image: Path, folder: Path) -> Timed:
    """Predict one file with a fresh watch."""
    stack.watch = Stopwatch()
    mask = stack(image, folder)
    return Timed(stack.watch.seconds, mask)


def spread(values: Sequence[float]) -> str:
    """Median and range."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--cases", nargs="+", help="names; all labelled ones by default")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--backends", nargs="+", default=["pytorch", "onnxruntime", "openvino"])
    options = parser.parse_args(arguments)
    model = Model.open(options.model)
    stacks: dict[str, MonaiStack | SeglineStack] = {
        "monai": MonaiStack(model.plan, load_network(model.weights, model.plan))
    }
    for name in options.backends:
        stacks[name] = SeglineStack(model.plan, open_backend(name, model, "cpu"))
    names = options.cases or [path.name.split(".")[0] for path in (options.dataset / "labelsTr").glob("*.gz")]
    images = [options.dataset / "imagesTr" / f"{name}.nii.gz" for name in sorted(names)]
    print(f"{processor_name()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        runs = _take_turns(stacks, images, Path(folder), options.repeats)
        _print_times(runs)
        _print_dice(runs, images, options.dataset / "labelsTr")
    monai = stacks["monai"]
    assert isinstance(monai, MonaiStack)
    differences = [preprocessing_difference(monai, image) for image in images]
    print(f"largest difference of the preprocessed images, range 0..1: {max(differences):.1e}")


Runs = dict[str, dict[Path, list[Timed]]]


def _take_turns(
    stacks: Mapping[str, MonaiStack | SeglineStack], images: Sequence[Path], folder: Path, repeats: int
) -> Runs:
    """After one prediction each that is not counted."""
    runs: Runs = {name: {image: [] for image in images} for name in stacks}
    for stack in stacks.values():
        timed(stack, images[0], folder)
    for _ in range(repeats):
        for image in images:
            for name, stack in stacks.items():
                runs[name][image].append(timed(stack, image, folder))
    return runs


STAGES: dict[str, Callable[[Timed], float]] = {
    "load": lambda run: run.seconds["load"],
    "preprocess": lambda run: run.seconds["preprocess"],
    "network and stitching": lambda run: run.seconds["network"] + run.seconds.get("stitch", 0.0),
    "invert": lambda run: run.seconds["invert"],
    "save": lambda run: run.seconds["save"],
    "end to end": lambda run: run.total,
}


def _print_times(runs: Runs) -> None:
    print("\nseconds a case, median of the cases' medians (range); times faster than monai")
    for stage, seconds in STAGES.items():
        print(stage)
        of_case = {
            name: {image: statistics.median(map(seconds, timings)) for image, timings in by_image.items()}
            for name, by_image in runs.items()
        }
        for name, by_image in of_case.items():
            ratios = [of_case["monai"][image] / by_image[image] for image in by_image]
            print(f"  {name:12} {spread(list(by_image.values())):24} {spread(ratios)}")


def _print_dice(runs: Runs, images: Sequence[Path], labels: Path) -> None:
    print("\nDice against the labels, mean; largest difference from monai's in one case")
    found = {
        name: [dice(by_image[image][-1].mask, labels / image.name) for image in images]
        for name, by_image in runs.items()
    }
    for name, values in found.items():
        apart = max(abs(a - b) for a, b in zip(values, found["monai"], strict=True))
        print(f"  {name:12} {statistics.mean(values):.4f} {apart:.5f}")


if __name__ == "__main__":
    main()
