"""The ``segline`` command: predict, run the stages one by one, and say what this machine can do."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from segline import __version__
from segline.errors import SeglineError, plain_error


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 on success, 2 after a one-line error."""
    options = _parser().parse_args(arguments)
    try:
        options.run_command(options)
    except Exception as error:
        told = plain_error(error)
        if not isinstance(told, SeglineError):
            raise
        sys.stderr.write(f"segline {options.command}: {told}\n")
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="segline", description=__doc__)
    parser.add_argument("--version", action="version", version=f"segline {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    check = commands.add_parser("check", help="what this machine can do, with the reason for each no")
    check.set_defaults(run_command=_check)
    predict = commands.add_parser("predict", help="segment one volume")
    predict.add_argument("model", type=Path, help="model package, or the folder of a run")
    predict.add_argument("image", type=Path, nargs="+", help="NIfTI file; one a channel, or one with all")
    predict.add_argument("-o", "--output", type=Path, required=True, help="mask to write, .nii or .nii.gz")
    predict.add_argument("--backend", default="pytorch", help=_BACKEND_HELP)
    predict.add_argument("--device", default="auto", help="cpu, cuda or auto (default)")
    predict.add_argument("--plan", type=Path, help="insist on this plan.json")
    predict.set_defaults(run_command=_predict)
    for name, (what, command) in _STAGES.items():
        stage = commands.add_parser(name, help=f"stage: {what}")
        stage.add_argument(
            "--run", type=Path, required=True, help="folder that holds what the stages made so far"
        )
        stage.add_argument("--store", type=Path, default=Path("store"), help="cases and checkpoints (store)")
        stage.add_argument("--device", default="auto", help="cpu, cuda or auto (default)")
        stage.set_defaults(run_command=command)
        if name == "download":
            stage.add_argument("--task", type=Path, required=True, help="a task's YAML")
            stage.add_argument("--data", help="where the data come from, instead of the task's source")
        if name == "evaluate":
            stage.add_argument("--backend", default="pytorch", help=_BACKEND_HELP)
    return parser


def _check(_: argparse.Namespace) -> None:
    from segline.machine import abilities

    for ability in abilities():
        sys.stdout.write(f"{'yes' if ability.available else 'no ':3}  {ability.name:18}  {ability.detail}\n")


def _predict(options: argparse.Namespace) -> None:
    from segline.backends import open_backend
    from segline.model import Model
    from segline.plan import Plan
    from segline.prediction import Predictor
    from segline.volumes import read_channels, write_volume

    nested = options.model / "model"
    model = Model.open(nested if nested.is_dir() else options.model)
    if options.plan:
        model.require_plan(Plan.read(options.plan), options.plan)
    volume = read_channels(options.image)
    mask = Predictor(model.plan, open_backend(options.backend, model, options.device))(volume)
    write_volume(options.output, mask)
    shape = "x".join(map(str, mask.grid.shape))
    sys.stdout.write(f"{options.output}: {shape}, {(mask.array > 0).sum()} voxels labelled\n")


def _download(options: argparse.Namespace) -> None:
    from segline import stages
    from segline.task import Task

    task = Task.read(options.task)
    stages.start_run(options.run, task)
    stages.download(options.run, options.store, options.data or task.source, options.run / "manifest.json")


def _plan(options: argparse.Namespace) -> None:
    from segline import stages
    from segline.runs import Run

    task = json.dumps(Run(options.run).info.task.model_dump())
    stages.plan(options.run, task, options.run / "manifest.json", options.run / "plan.json")


def _preprocess(options: argparse.Namespace) -> None:
    from segline import stages

    run = options.run
    stages.preprocess(run, options.store, run / "manifest.json", run / "plan.json", run / "cases.json")


def _train(options: argparse.Namespace) -> None:
    from segline import stages

    run = options.run
    stages.train(run, options.store, run / "plan.json", run / "cases.json", run / "model", options.device)


def _export_onnx(options: argparse.Namespace) -> None:
    from segline import stages

    stages.export_onnx(options.run, options.run / "model", options.run / "cases.json", options.run / "model")


def _build_tensorrt(options: argparse.Namespace) -> None:
    from segline import stages

    stages.build_tensorrt(options.run, options.run / "model", options.run / "engines")


def _evaluate(options: argparse.Namespace) -> None:
    from segline import stages

    run, backend = options.run, options.backend
    folder = run / "predictions" / backend
    stages.evaluate(run, backend, run / "model", run / "manifest.json", folder, options.device)


def _compare(options: argparse.Namespace) -> None:
    from segline import stages

    run = options.run
    folders = [path.parent for path in sorted(run.glob("predictions/*/evaluation.json"))]
    stages.compare(run, run / "plan.json", folders, run / "gate.json")


def _benchmark(options: argparse.Namespace) -> None:
    from segline import stages

    run = options.run
    stages.benchmark(run, run / "model", run / "manifest.json", run / "benchmark.json", options.device)


def _report(options: argparse.Namespace) -> None:
    from segline import stages

    sys.stdout.write(f"{stages.report(options.run)}\n")


_BACKEND_HELP = "pytorch (default), onnxruntime or openvino"

_STAGES = {
    "download": ("fetch and verify a task's data set", _download),
    "plan": ("propose the plan", _plan),
    "preprocess": ("bring the cases into the cache", _preprocess),
    "train": ("find the weights", _train),
    "export_onnx": ("write and check the ONNX graph", _export_onnx),
    "build_tensorrt": ("build an engine for this machine's GPU", _build_tensorrt),
    "evaluate": ("score the test cases with one backend", _evaluate),
    "compare": ("the gate between the backends evaluated so far", _compare),
    "benchmark": ("time every backend", _benchmark),
    "report": ("write report.html and summary.json", _report),
}


if __name__ == "__main__":
    sys.exit(main())
