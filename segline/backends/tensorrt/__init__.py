"""TensorRT: engines built for one GPU from the exported graph, and refused everywhere else."""

from segline.backends.tensorrt.building import build_engine
from segline.backends.tensorrt.engine import EngineSidecar, read_engine
from segline.backends.tensorrt.merging import merge_engines
from segline.backends.tensorrt.target import Target

__all__ = ["EngineSidecar", "Target", "build_engine", "merge_engines", "read_engine"]
