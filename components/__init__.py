"""The container interface: one component a stage, each a signature, a docstring and one call into segline."""

from components.assemble import assemble
from components.benchmark import benchmark
from components.build_tensorrt import build_tensorrt
from components.compare import compare
from components.compare_members import compare_members
from components.download import download
from components.evaluate import evaluate
from components.export_onnx import export_onnx
from components.intake import intake
from components.merge_engines import merge_engines
from components.plan import plan
from components.pool import pool
from components.preprocess import preprocess
from components.quantize import quantize
from components.register import register
from components.report import report
from components.split_folds import split_folds
from components.succeed_plan import succeed_plan
from components.take_fold import take_fold
from components.track_folds import track_folds
from components.train import train

__all__ = [
    "assemble",
    "benchmark",
    "build_tensorrt",
    "compare",
    "compare_members",
    "download",
    "evaluate",
    "export_onnx",
    "intake",
    "merge_engines",
    "plan",
    "pool",
    "preprocess",
    "quantize",
    "register",
    "report",
    "split_folds",
    "succeed_plan",
    "take_fold",
    "track_folds",
    "train",
]
