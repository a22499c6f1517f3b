"""The plan: the frozen contract between training and inference, one readable JSON with a digest."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    Field,
    ValidationError,
    model_validator,
)

from segline.common.digests import sha256_of_json
from segline.common.documents import first_fault, read_sealed, write_sealed
from segline.common.errors import SeglineError
from segline.plan.ensemble import Ensemble
from segline.plan.gate import Gate
from segline.plan.inference import Inference
from segline.plan.inference.planes import Plane
from segline.plan.layouts import as_first_written, of_today
from segline.plan.names import fault_of_name
from segline.plan.networks import Network
from segline.plan.part import SEGMENTATION, Label, Part, Word
from segline.plan.preprocessing import Preprocessing
from segline.plan.split import Split
from segline.plan.training import Training


class Export(Part):
    """What is made of the trained network besides the float32 graph."""

    int8_patches: int = Field(default=0, ge=0, le=4096)
    """Training patches that calibrate an int8 graph for CPUs; 0 makes none."""
    bfloat16: bool = Field(default=False, exclude_if=lambda asked: not asked)
    """Answer in bfloat16, too, on CPUs with units for it; where that is not asked for, it is in no digest."""


class Plan(Part):
    """Everything that must be the same in training, validation and deployment."""

    version: Literal[1] = 1
    task: Word
    kind: Word = Field(default=SEGMENTATION, exclude_if=lambda kind: kind == SEGMENTATION)
    """What is to be predicted; the first kind that there was is left out of the plan's digest."""
    dataset_digest: Word
    seed: int = Field(default=0, ge=0, lt=2**32)
    channels: tuple[str, ...] = Field(min_length=1, max_length=64)
    labels: dict[Label, str]
    """Value in the label files to name, background included; the network's classes in this order."""
    ignore: int | None = Field(default=None, ge=0, le=255, exclude_if=lambda value: value is None)
    """Value in the label files of voxels of which nothing is known: they are neither learned nor scored."""
    preprocessing: Preprocessing
    network: Network
    ensemble: Ensemble = Field(default=Ensemble(), exclude_if=lambda ensemble: ensemble.count == 1)
    training: Training
    inference: Inference
    export: Export = Export()
    gate: Gate
    split: Split
    pseudonyms: dict[str, str] = Field(default={})
    """What each case is called where its name must not be known; none where the split has no other names."""

    @model_validator(mode="before")
    @classmethod
    def _in_the_layout_of_today(cls, values: Any) -> Any:
        return of_today(values)

    @model_validator(mode="after")
    def _parts_fit(self) -> "Plan":
        if len(self.preprocessing.intensity) != len(self.channels):
            raise ValueError(f"{len(self.channels)} channels need as many intensity rules")
        for name in (*self.channels, *self.labels.values()):
            if fault := fault_of_name(name):
                raise ValueError(f"name {name!r} {fault}")
        for part, size in (
            ("training.patch_size", self.training.patch_size),
            ("inference.smallest_window", self.inference.smallest_window),
            ("inference.largest_window", self.inference.largest_window),
        ):
            if any(n % s for n, s in zip(size, self.network.total_stride, strict=True)):
                raise ValueError(
                    f"{part} {size} must be a multiple of the network's stride {self.network.total_stride}"
                )
        parted = {value for plane in self.inference.planes or () for value in (plane.lower, plane.upper)}
        for part, values in (("keep_largest", {*(self.inference.keep_largest or ())}), ("planes", parted)):
            if unknown := values - {*self.label_values[1:]}:
                raise ValueError(
                    f"inference.{part}: {min(unknown)} is no label's value; there are "
                    + ", ".join(map(str, self.label_values[1:]))
                )
        return self

    @model_validator(mode="after")
    def _sampler_fits(self) -> "Plan":
        if self.network.answers == "classes" and (asked := self.training.of_patches):
            raise ValueError(
                f"training.{asked[0]}: is of patches, and network {self.network.name} sees images whole; "
                "leave it out"
            )
        weighted = getattr(self.training.sampler, "weights", {})
        if unknown := weighted.keys() - {*self.labels}:
            raise ValueError(
                f"training.sampler.weights: {min(unknown)} is no label's value; there are "
                + ", ".join(map(str, self.label_values))
            )
        return self

    @model_validator(mode="after")
    def _network_fits(self) -> "Plan":
        network, inference = self.network, self.inference
        if fault := network.fault_of(len(self.channels)):
            raise ValueError(f"network {network.name}: {len(self.channels)} channels: {fault}")
        patch, windows = self.training.patch_size, {inference.smallest_window, inference.largest_window}
        if network.has_instance_norm and network.total_stride in {patch, *windows}:
            raise ValueError(
                f"network {network.name}: of a window of {network.total_stride} its InstanceNorm sees one "
                "voxel; make an axis of training.patch_size twice as long"
            )
        if network.needs_fixed_window and len(windows) > 1:
            raise ValueError(f"network {network.name} needs one window size: smallest as largest")
        if network.needs_fixed_graph and windows != {patch}:
            raise ValueError(f"network {network.name} needs windows as large as training.patch_size {patch}")
        if network.is_flat and (deep := max(size[2] for size in (*windows, patch))) > 1:
            raise ValueError(
                f"network {network.name} sees images one voxel thick, not {deep}; see spatial_dims"
            )
        return self

    @property
    def digest(self) -> str:
        """SHA-256 of the plan's content, whether or not it names the cases."""
        return sha256_of_json(
            as_first_written(self.pseudonymous().model_dump(mode="json", exclude={"pseudonyms"}))
        )

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
        return self.model_copy(update={"ensemble": self.ensemble.model_copy(update={"members": 1})})

    def of_each_seed(self) -> tuple["Plan", ...]:
        """The plan of each network that a training of this plan makes; itself alone, where it makes one."""
        if self.ensemble.seeds == 1:
            return (self,)
        ensemble = self.ensemble.model_copy(update={"seeds": 1})
        seeds = range(self.seed, self.seed + self.ensemble.seeds)
        return tuple(self.model_copy(update={"ensemble": ensemble, "seed": seed}) for seed in seeds)

    def keeping_largest(self, labels: Sequence[int]) -> "Plan":
        """The plan with which only the largest component of some labels is kept, given by their values."""
        inference = self.inference.model_copy(update={"keep_largest": tuple(labels)})
        return self.model_copy(update={"inference": inference})

    def parting(self, planes: Sequence[Plane]) -> "Plan":
        """The plan with which some labels are parted by planes."""
        inference = self.inference.model_copy(update={"planes": tuple(planes)})
        return self.model_copy(update={"inference": inference})

    @property
    def postprocessing(self) -> str:
        """In words; empty where there is none."""
        name = self.labels.__getitem__
        words = [
            f"a plane across {plane.axis} parts {name(plane.lower)} from {name(plane.upper)}"
            + (f", by {line.share:.0%} where their centre line tells" if (line := plane.centre_line) else "")
            for plane in self.inference.planes or ()
        ]
        if kept := self.inference.keep_largest:
            words.append(f"only the largest component of {', '.join(map(name, kept))} is kept")
        return "; ".join(words)

    @property
    def label_values(self) -> tuple[int, ...]:
        """Values in the label files, the network's class order; background first."""
        return tuple(sorted(self.labels))

    @property
    def foreground(self) -> dict[int, str]:
        """Network class index to name, without the background."""
        return {index: self.labels[value] for index, value in enumerate(self.label_values) if index > 0}

    def scores_shape(self, windows: Sequence[int]) -> tuple[int, ...]:
        """Of what the network makes of windows ``(B, C, x, y, z)``: ``(B, K, x, y, z)``, or ``(B, K)``."""
        batch, _, *spatial = windows
        voxels = self.network.answers == "voxels"
        return (batch, len(self.labels), *spatial) if voxels else (batch, len(self.labels))

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
        otherwise = "a plan is not edited by hand: change the task's YAML and plan again"
        return read_sealed(path, lambda values: cls.parse(values, str(path)), otherwise)

    def write(self, path: Path) -> None:
        """Write the plan as JSON with its digest, atomically."""
        write_sealed(path, self)
