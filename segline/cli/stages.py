"""``segline STAGE``: the stages one by one, on a run's folder."""

import argparse
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any


def add_stages(commands: Any) -> None:
    find = commands.add_parser("find-lr", help="test which learning rate suits a planned, preprocessed run")
    find.add_argument("--run", type=Path, required=True, help="folder with its plan.json and cases.json")
    find.add_argument("--device", default="auto", help="cpu, cuda or auto (default)")
    find.set_defaults(run_command=_find_lr)
    for name, (what, command) in _STAGES.items():
        stage = commands.add_parser(name, help=f"stage: {what}")
        stage.add_argument(
            "--run", type=Path, required=True, help="folder that holds what the stages made so far"
        )
        stage.add_argument("--store", default="store", help="folder or s3://bucket/prefix (store)")
        stage.add_argument("--device", default="auto", help="cpu, cuda or auto (default)")
        stage.set_defaults(run_command=command)
        if name == "download":
            stage.add_argument("--task", type=Path, required=True, help="a task's YAML")
            stage.add_argument("--data", help="where the data come from, instead of the task's source")
        if name == "evaluate":
            stage.add_argument(
                "--backend",
                default="pytorch",
                help="pytorch (default), onnxruntime, openvino, openvino_bf16, openvino_int8 or tensorrt",
            )


def _download(options: argparse.Namespace) -> None:
    from segline import stages
    from segline.common.documents.names import MANIFEST
    from segline.plan import Task

    task = Task.read(options.task)
    stages.start_run(options.run, task.model_copy(update={"source": options.data or task.source}))
    stages.download(options.run, options.store, options.run / MANIFEST)


def _plan(options: argparse.Namespace) -> None:
    from segline import stages
    from segline.common.documents.names import MANIFEST, PLAN

    stages.plan(options.run, options.run / MANIFEST, options.run / PLAN)


def _preprocess(options: argparse.Namespace) -> None:
    from segline import stages
    from segline.common.documents.names import CASES, MANIFEST, PLAN

    run = options.run
    stages.preprocess(run, options.store, run / MANIFEST, run / PLAN, run / CASES)


def _train(options: argparse.Namespace) -> None:
    from segline import stages
    from segline.common.documents.names import CASES, MODEL, PLAN

    run = options.run
    stages.train(run, options.store, run / PLAN, run / CASES, run / MODEL, options.device)


def _export_onnx(options: argparse.Namespace) -> None:
    from segline import stages
    from segline.common.documents.names import CASES, MODEL

    stages.export_onnx(options.run, options.run / MODEL, options.run / CASES, options.run / MODEL)


def _quantize(options: argparse.Namespace) -> None:
    from segline import stages
    from segline.common.documents.names import CASES, MODEL

    stages.quantize(options.run, options.run / MODEL, options.run / CASES, options.run / MODEL)


def _build_tensorrt(options: argparse.Namespace) -> None:
    from segline import stages
    from segline.common.documents.names import MODEL

    stages.build_tensorrt(options.run, options.store, options.run / MODEL, options.run / MODEL)


def _evaluate(options: argparse.Namespace) -> None:
    from segline import stages
    from segline.common.documents.names import MANIFEST, MODEL, predictions_of

    run, backend = options.run, options.backend
    folder = run / predictions_of(backend)
    stages.evaluate(run, backend, run / MODEL, run / MANIFEST, folder, options.device)


def _register(options: argparse.Namespace) -> None:
    from segline import stages

    stages.register(options.run, options.store, device=options.device)


def _compare(options: argparse.Namespace) -> None:
    from segline import stages
    from segline.common.documents.names import GATE, PLAN, predictions_of

    run = options.run
    folders = sorted(folder for folder in run.glob(predictions_of("[!.]*")) if folder.is_dir())
    stages.compare(run, run / PLAN, folders, run / GATE)


def _benchmark(options: argparse.Namespace) -> None:
    from segline import stages
    from segline.common.documents.names import BENCHMARK, MANIFEST, MODEL

    run = options.run
    stages.benchmark(run, run / MODEL, run / MANIFEST, run / BENCHMARK, options.device)


def _report(options: argparse.Namespace) -> None:
    from segline import stages
    from segline.common.documents.names import REPORT

    stages.report(options.run)
    sys.stdout.write(f"{options.run / REPORT}\n")


_STAGES = {
    "download": ("fetch and verify a task's data set", _download),
    "plan": ("propose the plan", _plan),
    "preprocess": ("bring the cases into the cache", _preprocess),
    "train": ("find the weights", _train),
    "export_onnx": ("write and check the ONNX graph", _export_onnx),
    "quantize": ("add an int8 graph for CPUs, if the plan asks for one", _quantize),
    "build_tensorrt": ("build an engine for this machine's GPU", _build_tensorrt),
    "evaluate": ("score the test cases with one backend", _evaluate),
    "compare": ("the gate between the backends evaluated so far", _compare),
    "benchmark": ("time every backend", _benchmark),
    "register": ("register the model; it becomes champion if it is better", _register),
    "report": ("write report.html and summary.json", _report),
}


def _find_lr(options: argparse.Namespace) -> None:
    from segline.common.documents.names import CASES, PLAN
    from segline.data.cases.index import CaseIndex
    from segline.kinds import kind_of
    from segline.plan import Plan
    from segline.storage.access import Access
    from segline.training.state import Checkpoint
    from segline.training.trainer import Trainer
    from segline.training.tuning.rate_test import MOST_STEPS, as_table, range_test

    plan, index = Plan.read(options.run / PLAN), CaseIndex.read(options.run / CASES)
    index = index.bring(plan.split.train, Access.from_environment(os.environ))
    with TemporaryDirectory() as folder:
        unused = Checkpoint(Path(folder, "none.pt"))
        cases, objective = index.open(plan.split.train), kind_of(plan.kind).objective
        trainer = Trainer(plan, cases, [], unused, options.device, objective=objective)
        test = range_test(trainer, MOST_STEPS)
    usual = plan.training.learning_rate
    sys.stdout.write(f"{as_table(test)}suggestion: {test.suggestion(usual):g}, the plan's is {usual:g}\n")
