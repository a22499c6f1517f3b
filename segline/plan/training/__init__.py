"""The training part of a plan."""

from typing import Any, Literal

from pydantic import Field, PositiveFloat, model_validator

from segline.plan.layouts import training_of_today
from segline.plan.part import Part, Share, Strength, Voxels
from segline.plan.training.optimizers import AdamW, Optimizer
from segline.plan.training.samplers import LabelledSampler, LabelSampler, Sampler
from segline.plan.training.schedules import Cosine, Schedule

Padding = Literal["constant", "reflect", "edge"]
"""As NumPy's ``pad`` calls them."""


class Augmentation(Part):
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
    noise_sd: Strength = 0.1
    """Largest standard deviation, in units of the patch's own standard deviation."""
    blur: Share = 0.15
    blur_voxels: Strength = 1.0
    """Largest Gaussian sigma."""
    intensity: Share = 0.5
    """Of scaling the contrast and shifting the brightness."""
    intensity_scale: float = Field(default=0.25, ge=0, lt=1)
    intensity_shift: Strength = 0.1
    """In units of the patch's own standard deviation."""
    gamma: Share = 0.3
    gamma_log: float = Field(default=0.35, ge=0, le=10)
    """Largest absolute natural logarithm of the exponent."""
    bias_field: Share = Field(default=0.0, exclude_if=lambda share: share == 0.0)
    """Of a brightness that changes slowly over the patch, as coils make it in MR; 0 is in no digest."""
    bias_field_log: float = Field(default=0.5, ge=0, le=10, exclude_if=lambda most: most == 0.5)
    """Largest absolute coefficient of the natural logarithm of the field, a polynomial of third order."""


class Training(Part):
    """How the weights are found."""

    patch_size: Voxels
    batch_size: int = Field(ge=2, le=4096)
    """At least 2: BatchNorm has no statistics of one."""
    epochs: int = Field(ge=1, le=10_000_000)
    """Passes over the training cases, one patch a case or ``samples_per_volume``."""
    max_minutes: float | None = Field(default=None, gt=0, le=525_600)
    """Wall-clock budget; the schedule ends with whichever of it and ``epochs`` comes first."""
    tune: bool = Field(default=False, exclude_if=lambda tune: not tune)
    """Let a probe on the machine that trains pick patch, batch, rate and schedule for ``max_minutes``.

    Where that is not asked for, it is left out of the plan's digest.
    """
    find_rate: bool = Field(default=False, exclude_if=lambda find: not find)
    """Let a range test before the training take another learning rate, around ``learning_rate``."""
    learning_rate: PositiveFloat = 3e-3
    weight_decay: float = Field(default=1e-2, ge=0, le=100)
    optimizer: Optimizer = Field(default=AdamW(), exclude_if=lambda optimizer: optimizer == AdamW())
    """AdamW is left out of the plan's digest, as is a cosine below, and a gradient clipped at 12."""
    schedule: Schedule = Field(default=Cosine(), exclude_if=lambda schedule: schedule == Cosine())
    """Of the learning rate, after the warm-up."""
    gradient_clip: PositiveFloat = Field(default=12.0, exclude_if=lambda norm: norm == 12.0)
    """Largest norm of a step's gradient; nnU-Net's, see its trainer."""
    mixed_precision: bool = True
    """Compute in 16-bit floats where the device is faster in them: float16 on GPUs, bfloat16 on some CPUs."""
    warmup_share: Share = 0.03
    """Of the schedule, in which the learning rate rises linearly."""
    ema_decay: float = Field(default=0.99, ge=0, lt=1)
    """Of the weights that are validated and shipped, per step; 0 ships the raw weights."""
    sampler: Sampler = LabelSampler()
    """Where patches are centred."""
    samples_per_volume: int = Field(default=1, ge=1, le=10_000, exclude_if=lambda samples: samples == 1)
    """Patches that come from one case in turn, as from TorchIO's ``Queue``; one is left out of the digest."""
    padding: Padding = Field(default="constant", exclude_if=lambda padding: padding == "constant")
    """What is beyond a volume that is smaller than the patch: 0 after normalisation, left out of the digest,
    the volume mirrored, or its outermost voxels repeated; the label alike."""
    validations: int = Field(default=10, ge=1, le=100_000)
    """Validations spread evenly over the schedule; the last one is at its end."""
    augmentation: Augmentation = Augmentation()

    @model_validator(mode="before")
    @classmethod
    def _in_the_layout_of_today(cls, values: Any) -> Any:
        return training_of_today(values)

    @model_validator(mode="after")
    def _tuned_for_a_budget(self) -> "Training":
        if self.tune and self.max_minutes is None:
            raise ValueError("tune is for a budget; give max_minutes too")
        return self

    @property
    def of_patches(self) -> tuple[str, ...]:
        """What is asked for that means nothing where an image is seen whole."""
        asked = {
            "sampler labelled": isinstance(self.sampler, LabelledSampler),
            "samples_per_volume": self.samples_per_volume > 1,
            "padding": self.padding != "constant",
        }
        return tuple(name for name, is_asked in asked.items() if is_asked)
