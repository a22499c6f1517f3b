"""What each stage takes of a cluster: the one place that says so, for the compiler and for the check."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal, get_args

from segline.common.errors import SeglineError

Accelerator = Literal["nvidia", "none"]
Profile = Literal["full", "small"]

_UNITS = {"m": 1e-3, "": 1.0, "Mi": 2.0**20, "Gi": 2.0**30}


@dataclass(frozen=True)
class Resources:
    """What one stage gets."""

    cpu: tuple[str, str]
    """Request and limit."""
    memory: tuple[str, str]
    """Request and limit. What lies in ``/dev/shm`` counts."""
    hours: float
    """After which the pod is ended."""
    retries: int
    """How often a pod that was lost, with its node or by an eviction, is made again.

    Kubeflow Pipelines' own Argo settings do not try a stage again that ended with a fault or was killed for
    memory. Every stage may be done twice.
    """
    gpu: bool = False
    gpu_image: str = "base"
    """The image where there are GPUs."""
    shm: str | None = None
    """Size of ``/dev/shm``; by default a pod has 64 MB, too little for workers that send tensors."""
    scratch: str = "20Gi"
    """Most that its working copies of data sets, cases and models may take, on the node's disk."""


STAGES: Mapping[str, Resources] = MappingProxyType(
    {
        "start": Resources(("500m", "1"), ("1Gi", "2Gi"), 0.25, retries=3),
        "download": Resources(("1", "4"), ("2Gi", "8Gi"), 6, retries=3, scratch="200Gi"),
        "intake": Resources(("2", "4"), ("4Gi", "16Gi"), 6, retries=3, scratch="200Gi"),
        "plan": Resources(("2", "4"), ("4Gi", "16Gi"), 2, retries=2, scratch="200Gi"),
        "succeed_plan": Resources(("2", "4"), ("4Gi", "16Gi"), 2, retries=2, scratch="200Gi"),
        "preprocess": Resources(("4", "8"), ("16Gi", "32Gi"), 12, retries=2, shm="4Gi", scratch="200Gi"),
        "split_folds": Resources(("500m", "1"), ("1Gi", "2Gi"), 0.25, retries=3),
        "take_fold": Resources(("500m", "1"), ("1Gi", "2Gi"), 0.25, retries=3),
        # A retried training continues from its checkpoint.
        "train": Resources(
            ("4", "8"),
            ("24Gi", "48Gi"),
            72,
            retries=3,
            gpu=True,
            gpu_image="gpu",
            shm="16Gi",
            scratch="200Gi",
        ),
        "export_onnx": Resources(("2", "4"), ("8Gi", "16Gi"), 1, retries=2),
        "quantize": Resources(("4", "8"), ("16Gi", "32Gi"), 6, retries=2),
        "build_tensorrt": Resources(
            ("2", "4"), ("16Gi", "32Gi"), 3, retries=2, gpu=True, gpu_image="tensorrt"
        ),
        "merge_engines": Resources(("500m", "1"), ("1Gi", "2Gi"), 0.25, retries=2),
        "evaluate": Resources(
            ("4", "8"), ("16Gi", "32Gi"), 12, retries=2, gpu=True, gpu_image="tensorrt", shm="4Gi"
        ),
        "compare": Resources(("500m", "2"), ("1Gi", "4Gi"), 0.5, retries=2),
        # Requests equal limits: only then has a pod its CPUs for itself, and its timings mean something.
        "benchmark": Resources(
            ("4", "4"), ("16Gi", "16Gi"), 2, retries=1, gpu=True, gpu_image="tensorrt", shm="4Gi"
        ),
        # A package is registered once, however often that is begun.
        "register": Resources(
            ("4", "8"), ("16Gi", "32Gi"), 6, retries=3, gpu=True, gpu_image="gpu", shm="4Gi"
        ),
        "pool": Resources(("1", "2"), ("2Gi", "4Gi"), 0.5, retries=2),
        "assemble": Resources(("500m", "1"), ("2Gi", "4Gi"), 0.25, retries=2),
        "compare_members": Resources(
            ("4", "4"), ("16Gi", "16Gi"), 12, retries=1, gpu=True, gpu_image="tensorrt", shm="4Gi"
        ),
        "track_folds": Resources(("500m", "2"), ("2Gi", "4Gi"), 0.5, retries=3),
        "report": Resources(("500m", "2"), ("2Gi", "4Gi"), 0.5, retries=3),
    }
)

LAPTOP = Resources(("100m", "2"), ("1Gi", "8Gi"), hours=0, retries=0, shm="1Gi", scratch="10Gi")
"""The most that a stage gets under the profile ``small``: the phantom task on a cluster of one machine."""


@dataclass(frozen=True)
class Demand:
    """What is asked of a cluster."""

    accelerator: Accelerator = "nvidia"
    profile: Profile = "full"
    gpu_types: tuple[str, ...] = ()
    """``nvidia.com/gpu.product`` of the nodes that engines are built for; where it is empty, any GPU node."""

    @classmethod
    def of(cls, accelerator: str, profile: str = "full", gpu_types: str = "") -> "Demand":
        """From words, ``gpu_types`` between spaces; ``nvidia`` and ``full`` in place of empty ones.

        Raises:
            SeglineError: there is no such accelerator or profile, or types of GPU are named without one.
        """
        for name, given, known in (
            ("ACCELERATOR", accelerator, get_args(Accelerator)),
            ("PROFILE", profile, get_args(Profile)),
        ):
            if given and given not in known:
                raise SeglineError(f"{name}={given}: unknown; give {' or '.join(known)}")
        types = tuple(dict.fromkeys(gpu_types.split()))
        if types and accelerator == "none":
            raise SeglineError(f"GPU_TYPES={gpu_types}: ACCELERATOR=none has no GPU; leave one of them out")
        return cls(
            "none" if accelerator == "none" else "nvidia", "small" if profile == "small" else "full", types
        )

    @property
    def stages(self) -> Mapping[str, Resources]:
        """What each stage gets."""
        return {name: self._given(resources) for name, resources in STAGES.items()}

    def _given(self, resources: Resources) -> Resources:
        given = replace(resources, gpu=resources.gpu and self.accelerator == "nvidia")
        return given if self.profile == "full" else _within(given, LAPTOP)


def quantity(text: str) -> float:
    """A Kubernetes quantity of CPUs or bytes, of the units used here.

    >>> quantity("500m"), quantity("2Gi")
    (0.5, 2147483648.0)
    """
    digits = text.rstrip("mMGi")
    return float(digits) * _UNITS[text[len(digits) :]]


def _within(resources: Resources, most: Resources) -> Resources:
    def least(a: str, b: str) -> str:
        return min(a, b, key=quantity)

    return replace(
        resources,
        cpu=(least(resources.cpu[0], most.cpu[0]), least(resources.cpu[1], most.cpu[1])),
        memory=(least(resources.memory[0], most.memory[0]), least(resources.memory[1], most.memory[1])),
        shm=least(resources.shm, most.shm) if resources.shm and most.shm else None,
        scratch=least(resources.scratch, most.scratch),
    )
