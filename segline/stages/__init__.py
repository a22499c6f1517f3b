"""The stages, as a container runs them: paths in, paths out, the outcome recorded in the run's folder.

Hand each room what it works on, and do nothing of it themselves; they know nothing of Kubeflow.
An error a user can act on ends the process with one line on standard error and status 1.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segline.stages.data import download, intake, plan, preprocess, start, start_run
    from segline.stages.deployment import benchmark, build_tensorrt, export_onnx, merge_engines, quantize
    from segline.stages.folds import assemble, compare_members, pool, split_folds, take_fold, track_folds
    from segline.stages.judging import compare, evaluate
    from segline.stages.learning import train
    from segline.stages.release import register, report

MODULES = {
    "data": ("download", "intake", "plan", "preprocess", "start", "start_run"),
    "deployment": ("benchmark", "build_tensorrt", "export_onnx", "merge_engines", "quantize"),
    "folds": ("assemble", "compare_members", "pool", "split_folds", "take_fold", "track_folds"),
    "judging": ("compare", "evaluate"),
    "learning": ("train",),
    "release": ("register", "report"),
}
"""Each is imported when one of its stages is asked for: half of them do without PyTorch."""

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
    "start",
    "start_run",
    "take_fold",
    "track_folds",
    "train",
]


def __getattr__(name: str) -> Any:
    for module, stages in MODULES.items():
        if name in stages:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
