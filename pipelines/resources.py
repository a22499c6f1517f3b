"""What each stage gets on a cluster: the one place that says so."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal, get_args

from kfp import dsl, kubernetes

from segline import __version__
from segline.cluster import CLAIM, GPU, GPU_LABEL, S3_KEYS, S3_PLACE, S3_SECRET, SETTINGS
from segline.errors import SeglineError

Accelerator = Literal["nvidia", "none"]

WORKSPACE = "/segline"
"""Where the volume that all stages share is mounted; runs and store lie in it."""
USER_ID = 10001
"""The user and group of the images: files in the workspace belong to it, whichever stage wrote them."""
DIGESTS = Path(__file__).parents[1] / "images" / "digests.json"
"""Image name to reference by digest, written when the images are built."""


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
    """After the first try; 0 where doing it twice is not the same as once."""
    gpu: bool = False
    gpu_image: str = "base"
    """The image where there are GPUs."""
    shm: str | None = None
    """Size of ``/dev/shm``; by default a pod has 64 MB, too little for workers that send tensors."""
    s3: bool = False
    """Whether it may use the object store's keys; Kubeflow's launcher has its own for artifacts."""


STAGES: Mapping[str, Resources] = MappingProxyType(
    {
        "start": Resources(("500m", "1"), ("1Gi", "2Gi"), 0.25, retries=3),
        "download": Resources(("1", "4"), ("2Gi", "8Gi"), 6, retries=3, s3=True),
        "intake": Resources(("2", "4"), ("4Gi", "16Gi"), 6, retries=3, s3=True),
        "plan": Resources(("2", "4"), ("4Gi", "16Gi"), 2, retries=2),
        "succeed_plan": Resources(("2", "4"), ("4Gi", "16Gi"), 2, retries=2),
        "preprocess": Resources(("4", "8"), ("16Gi", "32Gi"), 12, retries=2, shm="4Gi"),
        # A retried training continues from its checkpoint.
        "train": Resources(
            ("4", "8"), ("24Gi", "48Gi"), 72, retries=3, gpu=True, gpu_image="gpu", shm="16Gi"
        ),
        "export_onnx": Resources(("2", "4"), ("8Gi", "16Gi"), 1, retries=2),
        "quantize": Resources(("4", "8"), ("16Gi", "32Gi"), 6, retries=2),
        "build_tensorrt": Resources(
            ("2", "4"), ("16Gi", "32Gi"), 3, retries=2, gpu=True, gpu_image="tensorrt"
        ),
        "evaluate": Resources(
            ("4", "8"), ("16Gi", "32Gi"), 12, retries=2, gpu=True, gpu_image="tensorrt", shm="4Gi"
        ),
        "compare": Resources(("500m", "2"), ("1Gi", "4Gi"), 0.5, retries=2),
        # Requests equal limits: only then has a pod its CPUs for itself, and its timings mean something.
        "benchmark": Resources(
            ("4", "4"), ("16Gi", "16Gi"), 2, retries=1, gpu=True, gpu_image="tensorrt", shm="4Gi"
        ),
        # Tried again, it could register the same model as another version.
        "register": Resources(
            ("4", "8"), ("16Gi", "32Gi"), 6, retries=0, gpu=True, gpu_image="gpu", shm="4Gi"
        ),
        "report": Resources(("500m", "2"), ("2Gi", "4Gi"), 0.5, retries=3),
    }
)


@dataclass(frozen=True)
class Target:
    """The cluster that a pipeline is compiled for."""

    accelerator: Accelerator
    images: Mapping[str, str]
    """Image name to reference; those that are not named go by version."""

    @classmethod
    def of(cls, accelerator: str, digests: Path = DIGESTS) -> "Target":
        """With the images built last, by digest.

        Raises:
            SeglineError: no such kind of accelerator, or the file of digests is damaged.
        """
        if accelerator not in get_args(Accelerator):
            raise SeglineError(f"ACCELERATOR={accelerator}: unknown; give nvidia or none")
        return cls("none" if accelerator == "none" else "nvidia", _read_digests(digests))

    def image(self, stage: str) -> str:
        """The image that a stage runs in."""
        name = STAGES[stage].gpu_image if self.accelerator == "nvidia" else "base"
        return self.images.get(name, f"segline-{name}:{__version__}")


def apply(task: dsl.PipelineTask, target: Target) -> None:
    """Give a task of the DAG, while it is compiled, what its stage gets on ``target``.

    Raises:
        SeglineError: nothing is said of its stage.
    """
    stage = stage_of(task)
    if stage not in STAGES:
        raise SeglineError(f"stage {stage}: pipelines/resources.py does not say what it gets on a cluster")
    given = STAGES[stage]
    task.set_container_image(target.image(stage))
    task.set_cpu_request(given.cpu[0]).set_cpu_limit(given.cpu[1])
    task.set_memory_request(given.memory[0]).set_memory_limit(given.memory[1])
    # What a stage publishes into the run's folder would be missing after a hit in the cache.
    task.set_caching_options(False)
    if given.retries:
        task.set_retry(given.retries, backoff_duration="30s", backoff_factor=2.0, backoff_max_duration="600s")
    kubernetes.set_timeout(task, round(given.hours * 3600))
    _secure(task, stage)
    _place(task, given.gpu and target.accelerator == "nvidia")
    _mount(task, given)
    _connect(task, given)


def stage_of(task: dsl.PipelineTask) -> str:
    """The name of the component that a task calls."""
    return str(task.component_spec.name).replace("-", "_")


def _secure(task: dsl.PipelineTask, stage: str) -> None:
    kubernetes.set_security_context(task, USER_ID, USER_ID, run_as_non_root=True)
    kubernetes.add_pod_label(task, "app.kubernetes.io/part-of", "segline")
    kubernetes.add_pod_label(task, "app.kubernetes.io/component", stage)


def _place(task: dsl.PipelineTask, gpu: bool) -> None:
    """On a node with a GPU; or, if there is any other, on one without."""
    if not gpu:
        kubernetes.add_node_affinity(
            task, match_expressions=[{"key": GPU_LABEL, "operator": "DoesNotExist"}], weight=50
        )
        return
    task.set_accelerator_type(GPU).set_accelerator_limit(1)
    kubernetes.add_toleration(task, key=GPU, operator="Exists", effect="NoSchedule")
    kubernetes.add_node_affinity(
        task, match_expressions=[{"key": GPU_LABEL, "operator": "In", "values": ["true"]}]
    )


def _mount(task: dsl.PipelineTask, given: Resources) -> None:
    kubernetes.mount_pvc(task, CLAIM, WORKSPACE)
    if given.shm:
        kubernetes.empty_dir_mount(
            task, volume_name="shm", mount_path="/dev/shm", medium="Memory", size_limit=given.shm
        )


def _connect(task: dsl.PipelineTask, given: Resources) -> None:
    if given.s3:
        kubernetes.use_secret_as_env(task, S3_SECRET, {key: key for key in S3_KEYS})
        kubernetes.use_config_map_as_env(task, SETTINGS, {key: key for key in S3_PLACE})


def _read_digests(path: Path) -> Mapping[str, str]:
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SeglineError(f"{path}: damaged ({error}); run `make images`") from error
    if not all("@sha256:" in str(image) for image in found.values()):
        raise SeglineError(f"{path}: every image must be given by digest, name@sha256:…; run `make images`")
    return MappingProxyType(found)
