"""TensorRT: engines built for one GPU from the exported graph, and refused everywhere else."""

from segline.tensorrt.building import build_engine
from segline.tensorrt.engine import EngineSidecar, read_engine
from segline.tensorrt.merging import merge_engines
from segline.tensorrt.target import Target

__all__ = ["EngineSidecar", "Target", "build_engine", "merge_engines", "read_engine"]
