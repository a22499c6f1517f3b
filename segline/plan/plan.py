"""The plan: the frozen contract between training and inference, one readable JSON with a digest."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from segline.common import atomic
from segline.common.digests import sha256_of_json
from segline.common.errors import SeglineError
from segline.plan.task import first_fault

Voxels = tuple[PositiveInt, PositiveInt, PositiveInt]
Spacing = tuple[PositiveFloat, PositiveFloat, PositiveFloat]
Share = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Window(_Part):
    """Clip to ``window`` in the file's own unit (HU for CT) and scale it to 0..1."""

    rule: Literal["window"] = "window"
    window: tuple[float, float]

    @model_validator(mode="after")
    def _ordered(self) -> "Window":
        if self.window[0] >= self.window[1]:
            raise ValueError("the lower end must be below the upper end")
        return self


class ZScore(_Part):
    """Subtract the foreground's mean, divide by its standard deviation, clip at ``clip_sd`` of them."""

    rule: Literal["zscore"] = "zscore"
    clip_sd: PositiveFloat = 5.0


Intensity = Annotated[Window | ZScore, Field(discriminator="rule")]


class Preprocessing(_Part):
    """From a file's grid to the plan's grid. Only this part (and the raw files) decides a cached case."""

    orientation: Literal["RAS"] = "RAS"
    spacing_mm: Spacing
    intensity: tuple[Intensity, ...]
    """One rule a channel."""
    foreground_above: float | None
    """Crop to the box of voxels above this raw value in any channel; ``None`` keeps the whole volume."""
    margin_mm: float = Field(default=10.0, ge=0)
    """Kept around the foreground box."""


class Network(_Part):
    """A MONAI ``UNet`` with residual units."""

    name: Literal["unet"] = "unet"
    channels: tuple[PositiveInt, ...] = Field(min_length=2)
    strides: tuple[Voxels, ...]
    """One down-sampling between two levels each."""
    residual_units: int = Field(default=2, ge=0)
    norm: Literal["batch", "instance"] = "batch"
    members: PositiveInt = Field(default=1, exclude_if=lambda members: bool(members == 1))
    """Networks, each trained on a fold, whose class scores are averaged. One is left out of the digest."""
    seeds: PositiveInt = Field(default=1, exclude_if=lambda seeds: bool(seeds == 1))
    """Networks that one training makes, each from a seed of its own and for the whole schedule.

    Their class scores are averaged too. One is left out of the plan's digest.
    """

    @model_validator(mode="after")
    def _one_stride_between_levels(self) -> "Network":
        if len(self.strides) != len(self.channels) - 1:
            raise ValueError(f"{len(self.channels)} levels need {len(self.channels) - 1} strides")
        return self

    @property
    def count(self) -> int:
        """Networks whose class scores are averaged."""
        return self.members * self.seeds

    @property
    def total_stride(self) -> tuple[int, int, int]:
        """Spatial sizes must be multiples of this, voxels."""
        x = y = z = 1
        for stride in self.strides:
            x, y, z = x * stride[0], y * stride[1], z * stride[2]
        return x, y, z


class Augmentation(_Part):
    """Probabilities and ranges of the random changes of a training patch; 0 switches one off.

    As strong as a training of minutes bears: with less, 20 minutes learn the cases by heart, see
    ``benchmarks/RECIPE.md``.
    """

    flip: Share = 0.0
    """Per axis. Off: left is not right in a body, and hippocampus reached 0.879 against 0.850 without it."""
    affine: Share = 0.8
    rotation_degrees: float = Field(default=30.0, ge=0, le=180)
    """Uniform in plus or minus this, about each axis."""
    scale: float = Field(default=0.25, ge=0, lt=1)
    """Uniform zoom in 1 plus or minus this."""
    noise: Share = 0.15
    noise_sd: float = Field(default=0.1, ge=0)
    """Largest standard deviation, in units of the patch's own standard deviation."""
    blur: Share = 0.15
    blur_voxels: float = Field(default=1.0, ge=0)
    """Largest Gaussian sigma."""
    intensity: Share = 0.5
    """Of scaling the contrast and shifting the brightness."""
    intensity_scale: float = Field(default=0.25, ge=0, lt=1)
    intensity_shift: float = Field(default=0.1, ge=0)
    """In units of the patch's own standard deviation."""
    gamma: Share = 0.3
    gamma_log: float = Field(default=0.35, ge=0)
    """Largest absolute natural logarithm of the exponent."""


class Training(_Part):
    """How the weights are found."""

    patch_size: Voxels
    batch_size: int = Field(ge=2)
    """At least 2: BatchNorm has no statistics of one."""
    epochs: PositiveInt
    """Passes over the training cases, one patch a case."""
    max_minutes: PositiveFloat | None = None
    """Wall-clock budget; the schedule ends with whichever of it and ``epochs`` comes first."""
    tune: bool = Field(default=False, exclude_if=lambda tune: not tune)
    """Let a probe on the machine that trains pick patch, batch, rate and schedule for ``max_minutes``.

    Where that is not asked for, it is left out of the plan's digest.
    """
    learning_rate: PositiveFloat = 3e-3
    weight_decay: float = Field(default=1e-2, ge=0)
    mixed_precision: bool = True
    """Compute in 16-bit floats where the device is faster in them: float16 on a GPU, bfloat16 on a CPU."""
    warmup_share: Share = 0.03
    """Of the schedule, in which the learning rate rises linearly."""
    ema_decay: float = Field(default=0.99, ge=0, lt=1)
    """Of the weights that are validated and shipped, per step; 0 ships the raw weights."""
    foreground_ratio: float = Field(default=3.0, ge=0)
    """Patches centred on a label to patches centred anywhere."""
    validations: PositiveInt = 10
    """Validations spread evenly over the schedule; the last one is at its end."""
    augmentation: Augmentation = Augmentation()

    @model_validator(mode="after")
    def _tuned_for_a_budget(self) -> "Training":
        if self.tune and self.max_minutes is None:
            raise ValueError("tune is for a budget; give max_minutes too")
        return self


class Inference(_Part):
    """How windows become one answer."""

    smallest_window: Voxels
    largest_window: Voxels
    """A volume is cut into the fewest windows of at most this size, or padded to the smallest.

    One and the same for a network with InstanceNorm, whose answer depends on the window.
    """
    overlap: tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt]
    """Least overlap of two windows, voxels."""
    batch_size: int = Field(default=4, ge=1)
    blending: Literal["gaussian", "constant"] = "gaussian"
    keep_largest: tuple[int, ...] | None = Field(default=None, exclude_if=lambda labels: labels is None)
    """Values of the labels of which only the largest connected component is kept.

    ``None`` lets the validation cases say at the end of a training of which, if of any; until then it is left
    out of the plan's digest.
    """

    @model_validator(mode="after")
    def _windows_overlap(self) -> "Inference":
        edges = zip(self.overlap, self.smallest_window, self.largest_window, strict=True)
        if not all(overlap < small <= large for overlap, small, large in edges):
            raise ValueError("each edge: overlap < smallest_window <= largest_window")
        return self


class Agreement(_Part):
    """How near to PyTorch's a backend's answer must be."""

    dice_difference: Share = 0.001
    nsd_difference: Share = 0.005
    """At most, for any one case and label."""
    voxel_agreement: Share = 0.9999
    """Least share of equal voxels of the two masks, any one case."""
    equivalence_margin: Share = 0.002
    """Of the mean Dice: the two must be shown to differ by less, over cases (TOST at 5 %)."""


class Gate(_Part):
    """What must hold before a model may be registered."""

    nsd_tolerance_mm: PositiveFloat
    dice_floor: Share = 0.0
    """On the mean test Dice of every backend."""
    required: tuple[str, ...] = ("pytorch", "onnxruntime", "openvino")
    """Backends that must have been evaluated; any other may be absent, with its reason."""
    float32: Agreement = Agreement()
    reduced: Agreement = Agreement(
        dice_difference=0.003, nsd_difference=0.01, voxel_agreement=0.999, equivalence_margin=0.005
    )
    """Of backends that compute in float16 or int8."""


class Export(_Part):
    """What is made of the trained network besides the float32 graph."""

    int8_patches: int = Field(default=0, ge=0)
    """Training patches that calibrate an int8 graph for CPUs; 0 makes none."""


class Split(_Part):
    """Case names. Validation cases choose the checkpoint; test cases give the reported figures."""

    train: tuple[str, ...] = Field(min_length=1)
    val: tuple[str, ...] = Field(min_length=1)
    test: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _no_case_twice(self) -> "Split":
        names = [*self.train, *self.val, *self.test]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"case {twice[0]} is in the split more than once")
        return self

    def renamed(self, names: Mapping[str, str]) -> "Split":
        """With the case names that ``names`` gives; the others stay."""
        parts = {part: [names.get(case, case) for case in cases] for part, cases in self}
        return Split.model_validate(parts)


class Plan(_Part):
    """Everything that must be the same in training, validation and deployment."""

    version: Literal[1] = 1
    task: str
    dataset_digest: str
    seed: int = Field(default=0, ge=0)
    channels: tuple[str, ...] = Field(min_length=1)
    labels: dict[int, str]
    """Value in the label files to name, background included; the network's classes in this order."""
    preprocessing: Preprocessing
    network: Network
    training: Training
    inference: Inference
    export: Export = Export()
    gate: Gate
    split: Split
    pseudonyms: dict[str, str] = {}
    """What each case is called where its name must not be known; none where the split has no other names."""

    @model_validator(mode="after")
    def _parts_fit(self) -> "Plan":
        if len(self.preprocessing.intensity) != len(self.channels):
            raise ValueError(f"{len(self.channels)} channels need as many intensity rules")
        for part, size in (
            ("training.patch_size", self.training.patch_size),
            ("inference.smallest_window", self.inference.smallest_window),
            ("inference.largest_window", self.inference.largest_window),
        ):
            if any(n % s for n, s in zip(size, self.network.total_stride, strict=True)):
                raise ValueError(
                    f"{part} {size} must be a multiple of the network's stride {self.network.total_stride}"
                )
        if unknown := {*(self.inference.keep_largest or ())} - {*self.label_values[1:]}:
            raise ValueError(
                f"inference.keep_largest: {min(unknown)} is no label's value; there are "
                + ", ".join(map(str, self.label_values[1:]))
            )
        windows = {self.inference.smallest_window, self.inference.largest_window}
        if self.network.norm == "instance" and len(windows) > 1:
            raise ValueError("a network with InstanceNorm needs one window size: smallest as largest")
        return self

    @property
    def digest(self) -> str:
        """SHA-256 of the plan's content, whether or not it names the cases."""
        return sha256_of_json(self.pseudonymous().model_dump(mode="json", exclude={"pseudonyms"}))

    def pseudonymous(self) -> "Plan":
        """The same plan, of the same digest, without the names of its cases."""
        if not self.pseudonyms:
            return self
        return self.model_copy(update={"split": self.split.renamed(self.pseudonyms), "pseudonyms": {}})

    def named(self, pseudonyms: Mapping[str, str]) -> "Plan":
        """The inverse, where somebody knows what each case is called; ``pseudonyms`` by name."""
        names = {pseudonym: name for name, pseudonym in pseudonyms.items()}
        split = self.split.renamed(names)
        return self.model_copy(update={"split": split, "pseudonyms": dict(pseudonyms)})

    def of_one_member(self) -> "Plan":
        """The plan of each of an ensemble's trainings; itself, where there is one."""
        return self.model_copy(update={"network": self.network.model_copy(update={"members": 1})})

    def of_each_seed(self) -> tuple["Plan", ...]:
        """The plan of each network that a training of this plan makes; itself alone, where it makes one."""
        if self.network.seeds == 1:
            return (self,)
        network = self.network.model_copy(update={"seeds": 1})
        seeds = range(self.seed, self.seed + self.network.seeds)
        return tuple(self.model_copy(update={"network": network, "seed": seed}) for seed in seeds)

    def keeping_largest(self, labels: Sequence[int]) -> "Plan":
        """The plan with which only the largest component of some labels is kept, given by their values."""
        inference = self.inference.model_copy(update={"keep_largest": tuple(labels)})
        return self.model_copy(update={"inference": inference})

    @property
    def postprocessing(self) -> str:
        """In words; empty where there is none."""
        kept = [self.labels[value] for value in self.inference.keep_largest or ()]
        return f"only the largest component of {', '.join(kept)} is kept" if kept else ""

    @property
    def label_values(self) -> tuple[int, ...]:
        """Values in the label files, the network's class order; background first."""
        return tuple(sorted(self.labels))

    @property
    def foreground(self) -> dict[int, str]:
        """Network class index to name, without the background."""
        return {index: self.labels[value] for index, value in enumerate(self.label_values) if index > 0}

    @classmethod
    def parse(cls, values: Any, name: str) -> "Plan":
        """Check a parsed JSON document; ``name`` says in which file.

        Raises:
            SeglineError: a field is missing, unknown or wrong.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise SeglineError(f"{name}: {first_fault(error)}") from error

    @classmethod
    def read(cls, path: Path) -> "Plan":
        """Read a plan and check that its digest still fits its content.

        Raises:
            SeglineError: no such file, not JSON, not a plan, or edited after it was made.
        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise SeglineError(f"{path}: cannot be read ({error.strerror})") from error
        except ValueError as error:
            raise SeglineError(f"{path}: not JSON ({error})") from error
        written = values.pop("digest", None) if isinstance(values, dict) else None
        plan = cls.parse(values, str(path))
        if written != plan.digest:
            raise SeglineError(
                f"{path}: its digest {str(written)[:12]} does not fit its content ({plan.digest[:12]}); "
                "a plan is not edited by hand: change the task's YAML and plan again"
            )
        return plan

    def write(self, path: Path) -> None:
        """Write the plan as JSON with its digest, atomically."""
        document = {"digest": self.digest, **self.model_dump(mode="json")}
        atomic.write_text(path, json.dumps(document, indent=2) + "\n")
