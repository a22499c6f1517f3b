"""TensorRT: engines built for one GPU from the exported graph, and refused everywhere else."""

from segline.tensorrt.building import build_engine
from segline.tensorrt.engine import EngineSidecar, read_engine
from segline.tensorrt.target import Target

__all__ = ["EngineSidecar", "Target", "build_engine", "read_engine"]
