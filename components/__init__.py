"""The container interface: one component a stage, each a signature, a docstring and one call into segline."""

from components.benchmark import benchmark
from components.build_tensorrt import build_tensorrt
from components.compare import compare
from components.download import download
from components.evaluate import evaluate
from components.export_onnx import export_onnx
from components.intake import intake
from components.plan import plan
from components.preprocess import preprocess
from components.quantize import quantize
from components.register import register
from components.report import report
from components.succeed_plan import succeed_plan
from components.train import train

__all__ = [
    "benchmark",
    "build_tensorrt",
    "compare",
    "download",
    "evaluate",
    "export_onnx",
    "intake",
    "plan",
    "preprocess",
    "quantize",
    "register",
    "report",
    "succeed_plan",
    "train",
]
