"""How a stage of the DAG becomes a pod on a cluster: image, resources, node, secrets, retries."""

import ast
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from kfp import dsl, kubernetes

from pipelines.cluster.footprint import Demand, Resources
from pipelines.cluster.names import (
    GPU,
    GPU_LABEL,
    GPU_PRODUCT,
    S3_KEYS,
    S3_PLACE,
    S3_SECRET,
    SETTINGS,
    STAGE_LABEL,
    TRACKED,
    TRACKER_SETTINGS,
    TRACKERS,
    TRACKING,
    WANDB_KEY,
    WANDB_SECRET,
)
from segline import __version__
from segline.common.errors import SeglineError

SCRATCH = "/segline"
"""Where a stage keeps working copies of what lies in the bucket: a volume that ends with its pod."""
USER_ID = 10001
"""The user and group of the images."""
DIGESTS = Path(__file__).parents[1] / "images" / "digests.json"
"""Image name to reference, written when the images are built."""
_PINNED = re.compile(r"@sha256:[0-9a-f]{64}$|:[\w.]+-[0-9a-f]{12}$")
"""By digest from a registry; an image that is only on this machine by a tag that names its content."""


@dataclass(frozen=True)
class Variant:
    """The cluster that a pipeline is compiled for."""

    demand: Demand
    images: Mapping[str, str]
    """Image name to reference; those that are not named go by version."""

    @classmethod
    def of(cls, demand: Demand, digests: Path = DIGESTS) -> "Variant":
        """With the images built last, by digest.

        Raises:
            SeglineError: the file of digests is damaged.
        """
        return cls(demand, _read_digests(digests))

    def image(self, name: str) -> str:
        """The reference of ``base``, ``gpu`` or ``tensorrt``."""
        return self.images.get(name, f"segline-{name}:{__version__}")


def apply(task: dsl.PipelineTask, target: Variant) -> None:
    """Give a task of the DAG, while it is compiled, what its stage gets on ``target``.

    Raises:
        SeglineError: nothing is said of its stage.
    """
    stage = stage_of(task)
    stages = target.demand.stages
    if stage not in stages:
        raise SeglineError(
            f"stage {stage}: pipelines/cluster/footprint.py does not say what it gets on a cluster"
        )
    given = stages[stage]
    gpu = given.gpu and _constant(task, "device") != "cpu"
    task.set_container_image(target.image(given.gpu_image if gpu else "base"))
    task.set_cpu_request(given.cpu[0]).set_cpu_limit(given.cpu[1])
    task.set_memory_request(given.memory[0]).set_memory_limit(given.memory[1])
    # What a stage publishes into the run's folder would be missing after a hit in the cache.
    task.set_caching_options(False)
    task.set_retry(given.retries, backoff_duration="30s", backoff_factor=2.0, backoff_max_duration="600s")
    kubernetes.set_timeout(task, round(given.hours * 3600))
    _shorten(task)
    _secure(task, stage)
    if gpu:
        own = _constant(task, "gpu")
        _take_gpu(task, (own,) if own else target.demand.gpu_types)
    elif target.demand.accelerator != "none":
        _avoid_gpus(task)
    _mount(task, given)
    _connect(task)


def stage_of(task: dsl.PipelineTask) -> str:
    """The name of the component that a task calls."""
    return str(task.component_spec.name).replace("-", "_")


def _shorten(task: dsl.PipelineTask) -> None:
    """Take the words out of the source that every node of the workflow carries, several times over."""
    container = task.container_spec
    assert container is not None and container.command is not None
    *shell, program, source = container.command
    tree = ast.parse(source)
    for part in ast.walk(tree):
        if isinstance(part, ast.FunctionDef) and ast.get_docstring(part) is not None:
            part.body = part.body[1:]
    container.command = [*shell, re.sub(r"\s*\n\s*", "\n", re.sub(" +", " ", program)), ast.unparse(tree)]


def _secure(task: dsl.PipelineTask, stage: str) -> None:
    kubernetes.set_security_context(task, USER_ID, USER_ID, run_as_non_root=True)
    kubernetes.add_pod_label(task, "app.kubernetes.io/part-of", "segline")
    kubernetes.add_pod_label(task, STAGE_LABEL, stage)


def _constant(task: dsl.PipelineTask, name: str) -> Any:
    """What the DAG itself says of an input: ``device="cpu"`` holds no GPU, ``gpu`` names the one to hold."""
    given = task.inputs.get(name)
    return given if isinstance(given, str) else None


def _avoid_gpus(task: dsl.PipelineTask) -> None:
    """On a node without a GPU, if there is any."""
    kubernetes.add_node_affinity(
        task, match_expressions=[{"key": GPU_LABEL, "operator": "DoesNotExist"}], weight=50
    )


def _take_gpu(task: dsl.PipelineTask, types: tuple[str, ...]) -> None:
    """One GPU, of any of ``types`` if there are such."""
    task.set_accelerator_type(GPU).set_accelerator_limit(1)
    kubernetes.add_toleration(task, key=GPU, operator="Exists", effect="NoSchedule")
    wanted = [{"key": GPU_LABEL, "operator": "In", "values": ["true"]}]
    if types:
        wanted.append({"key": GPU_PRODUCT, "operator": "In", "values": list(types)})
    kubernetes.add_node_affinity(task, match_expressions=wanted)


def _mount(task: dsl.PipelineTask, given: Resources) -> None:
    kubernetes.empty_dir_mount(task, volume_name="scratch", mount_path=SCRATCH, size_limit=given.scratch)
    task.set_env_variable("SEGLINE_SCRATCH", SCRATCH)
    if given.shm:
        kubernetes.empty_dir_mount(
            task, volume_name="shm", mount_path="/dev/shm", medium="Memory", size_limit=given.shm
        )


def _connect(task: dsl.PipelineTask) -> None:
    """Where runs, store and registry are, and the keys to them, are the cluster's to say, and no shell's."""
    kubernetes.use_secret_as_env(task, S3_SECRET, {key: key for key in S3_KEYS})
    told = (*S3_PLACE, *([TRACKING] if "tracking" in task.inputs else []))
    if TRACKING in told:  # a registry that starts again must not cost a training
        task.set_env_variable("MLFLOW_PATIENCE_S", "300")
    kubernetes.use_config_map_as_env(task, SETTINGS, {key: key for key in told})
    if stage_of(task) in TRACKED:
        chosen = {key: key for key in TRACKER_SETTINGS}
        kubernetes.use_config_map_as_env(task, TRACKERS, chosen, optional=True)
        kubernetes.use_secret_as_env(task, WANDB_SECRET, {WANDB_KEY: WANDB_KEY}, optional=True)


def _read_digests(path: Path) -> Mapping[str, str]:
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SeglineError(f"{path}: damaged ({error}); run `make images`") from error
    if not all(_PINNED.search(str(image)) for image in found.values()):
        raise SeglineError(f"{path}: every image must be given by digest, name@sha256:…; run `make images`")
    return MappingProxyType(found)
