"""The stages, as a container runs them: paths in, paths out, the outcome recorded in the run's folder.

An error a user can act on ends the process with one line on standard error and status 1.
"""

from segline.stages.bodies import (
    assemble,
    benchmark,
    build_tensorrt,
    compare,
    compare_members,
    download,
    evaluate,
    export_onnx,
    intake,
    merge_engines,
    plan,
    pool,
    preprocess,
    quantize,
    register,
    report,
    split_folds,
    start_run,
    take_fold,
    track_folds,
    train,
)

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
    "start_run",
    "take_fold",
    "track_folds",
    "train",
]
