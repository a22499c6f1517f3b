"""The ``segline`` command: predict, run the stages one by one, and say what this machine can do."""

import argparse
import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from segline import __version__
from segline.common.errors import SeglineError, plain_error

if TYPE_CHECKING:
    from segline.model.package import Model
    from segline.storage.depot import Depot
    from segline.tracking.mlflow_connection import Registry


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
    predict.add_argument("model", help="model package, folder of a run, or reference: spleen@champion")
    predict.add_argument("image", type=Path, nargs="+", help="NIfTI or DICOM folder; one a channel, or all")
    predict.add_argument("-o", "--output", type=Path, required=True, help="mask to write, .nii or .nii.gz")
    predict.add_argument("--backend", default="pytorch", help=_BACKEND_HELP)
    predict.add_argument("--device", default="auto", help="cpu, cuda or auto (default)")
    predict.add_argument("--plan", type=Path, help="insist on this plan.json")
    predict.set_defaults(run_command=_predict)
    _add_registry_commands(commands, predict)
    _add_cache_commands(commands)
    find = commands.add_parser("find-lr", help="test which learning rate suits a planned, preprocessed run")
    find.add_argument("--run", type=Path, required=True, help="folder with its plan.json and cases.json")
    find.add_argument("--device", default="auto", help="cpu, cuda or auto (default)")
    find.set_defaults(run_command=_find_lr)
    _add_stages(commands)
    return parser


def _add_registry_commands(commands: Any, predict: argparse.ArgumentParser) -> None:
    models = commands.add_parser("models", help="the registered versions")
    models.add_argument("task", nargs="?", help="of this task only")
    models.set_defaults(run_command=_models)
    pull = commands.add_parser("pull", help="bring a registered model to a folder")
    pull.add_argument("reference", help="spleen@champion, spleen/3, or spleen for its champion")
    pull.add_argument("-o", "--output", type=Path, help="new folder (TASK-VERSION)")
    pull.set_defaults(run_command=_pull)
    rollback = commands.add_parser("rollback", help="make the champion's predecessor the champion again")
    rollback.add_argument("task")
    rollback.set_defaults(run_command=_rollback)
    bundle = commands.add_parser("bundle", help="write a model as a MONAI bundle")
    bundle.add_argument("model", help="model package, folder of a run, or reference as for pull")
    bundle.add_argument("-o", "--output", type=Path, required=True, help="new folder")
    bundle.set_defaults(run_command=_bundle)
    for asker in (models, pull, rollback, predict, bundle):
        asker.add_argument("--store", type=Path, default=Path("store"), help="with the registry (store)")
        asker.add_argument("--tracking", default="", help="URI of an MLflow server instead")


def _add_cache_commands(commands: Any) -> None:
    cache = commands.add_parser("cache", help="the preprocessed cases that are kept")
    asked = cache.add_subparsers(dest="asked", required=True, metavar="WHAT")
    listed = asked.add_parser("ls", help="size, age and use of each")
    listed.set_defaults(run_command=_cache_ls)
    verify = asked.add_parser("verify", help="read every byte again; status 2 if one is damaged")
    verify.add_argument("--remove", action="store_true", help="remove what is damaged")
    verify.set_defaults(run_command=_cache_verify)
    collect = asked.add_parser("gc", help="remove what no run has used for a while")
    collect.add_argument("--unused-days", type=float, default=30, help="for how long (30)")
    collect.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    collect.set_defaults(run_command=_cache_gc)
    for what in (listed, verify, collect):
        what.add_argument("--store", default="store", help="folder or s3://bucket/prefix (store)")


def _add_stages(commands: Any) -> None:
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
            stage.add_argument("--backend", default="pytorch", help=_BACKEND_HELP)


def _check(_: argparse.Namespace) -> None:
    from segline.machine.devices import abilities

    for ability in abilities():
        sys.stdout.write(f"{'yes' if ability.available else 'no ':3}  {ability.name:18}  {ability.detail}\n")


def _predict(options: argparse.Namespace) -> None:
    from segline.backends import open_backend
    from segline.imaging.files import read_channels, write_volume
    from segline.inference.predictor import Predictor
    from segline.plan.plan import Plan

    model = _model(options)
    if options.plan:
        model.require_plan(Plan.read(options.plan), options.plan)
    volume = read_channels(options.image)
    mask = Predictor(model.plan, open_backend(options.backend, model, options.device))(volume)
    write_volume(options.output, mask)
    shape = "x".join(map(str, mask.grid.shape))
    sys.stdout.write(f"{options.output}: {shape}, {(mask.array > 0).sum()} voxels labelled\n")


def _find_lr(options: argparse.Namespace) -> None:
    from segline.data.cases.index import CaseIndex
    from segline.plan.plan import Plan
    from segline.storage.depot import Access
    from segline.training.trainer import Trainer
    from segline.training.tuning.rate_test import MOST_STEPS, as_table, range_test

    plan, index = Plan.read(options.run / "plan.json"), CaseIndex.read(options.run / "cases.json")
    index = index.bring(plan.split.train, Access.from_environment(os.environ))
    with TemporaryDirectory() as folder:
        unused = Path(folder, "none.pt")
        trainer = Trainer(plan, index.open(plan.split.train), [], unused, "", options.device)
        test = range_test(trainer, MOST_STEPS)
    usual = plan.training.learning_rate
    sys.stdout.write(f"{as_table(test)}suggestion: {test.suggestion(usual):g}, the plan's is {usual:g}\n")


def _models(options: argparse.Namespace) -> None:
    from segline.registry.versions import as_table, versions

    sys.stdout.write(as_table(versions(_registry(options), options.task)))


def _pull(options: argparse.Namespace) -> None:
    from segline.registry.versions import Reference, pull, resolve

    registry = _registry(options)
    version = resolve(registry, Reference.parse(options.reference))
    folder = options.output or Path(version.name.replace("/", "-"))
    pull(registry, version.reference, folder)
    sys.stdout.write(f"{folder}: {version.name}\n")


def _rollback(options: argparse.Namespace) -> None:
    from segline.registry.versions import rollback

    sys.stdout.write(f"{rollback(_registry(options), options.task).name} is the champion again\n")


def _bundle(options: argparse.Namespace) -> None:
    from segline.export.monai_bundle import export_bundle

    export_bundle(_model(options), options.output)
    sys.stdout.write(f"{options.output}: a MONAI bundle, run by python -m monai.bundle run\n")


def _cache_ls(options: argparse.Namespace) -> None:
    from segline.data.cases import upkeep

    sys.stdout.write(upkeep.as_table(upkeep.entries(_depot(options))))


def _cache_verify(options: argparse.Namespace) -> None:
    from segline.common.progress import ConsoleProgress
    from segline.data.cases import upkeep

    depot, bad = _depot(options), []
    for key, fault in upkeep.damaged(depot, ConsoleProgress("[verify]")):
        sys.stdout.write(f"{key}: {fault}\n")
        bad.append(key)
    if not bad:
        sys.stdout.write("every case is sound\n")
    elif not options.remove:
        raise SeglineError(f"{len(bad)} damaged; with --remove they are removed, and computed when needed")
    for key in bad:
        upkeep.remove(depot, key)


def _cache_gc(options: argparse.Namespace) -> None:
    from datetime import timedelta

    from segline.data.cases import upkeep

    unused = timedelta(days=options.unused_days)
    old = upkeep.collect_garbage(_depot(options), unused, remove_them=not options.dry_run)
    size = sum(entry.size_bytes for entry in old) / 2**20
    what = "would be removed" if options.dry_run else "removed"
    sys.stdout.write(f"{len(old)} cases, {size:.1f} MiB {what}\n")


def _depot(options: argparse.Namespace) -> "Depot":
    from segline.storage.depot import Access

    return Access.from_environment(os.environ).depot(options.store)


def _model(options: argparse.Namespace) -> "Model":
    """A package, the one of a run, or a registered one, which is kept in the store."""
    from segline.model.package import Model
    from segline.registry.versions import Reference, pull, resolve

    folder = Path(options.model)
    if folder.is_dir() or not _REFERENCE.fullmatch(options.model):
        return Model.open(folder / "model" if (folder / "model").is_dir() else folder)
    registry = _registry(options)
    version = resolve(registry, Reference.parse(options.model))
    return pull(registry, version.reference, options.store / "models" / version.package_digest)


def _registry(options: argparse.Namespace) -> "Registry":
    from segline.tracking.mlflow_connection import Registry, quiet_mlflow, tracking_uri

    quiet_mlflow(os.environ)
    return Registry(tracking_uri(options.store, options.tracking))


def _download(options: argparse.Namespace) -> None:
    from segline import stages
    from segline.plan.task import Task

    task = Task.read(options.task)
    stages.start_run(options.run, task)
    stages.download(options.run, options.store, options.data or task.source, options.run / "manifest.json")


def _plan(options: argparse.Namespace) -> None:
    from segline import stages
    from segline.runs.run import Run

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


def _quantize(options: argparse.Namespace) -> None:
    from segline import stages

    stages.quantize(options.run, options.run / "model", options.run / "cases.json", options.run / "model")


def _build_tensorrt(options: argparse.Namespace) -> None:
    from segline import stages

    stages.build_tensorrt(options.run, options.store, options.run / "model", options.run / "model")


def _evaluate(options: argparse.Namespace) -> None:
    from segline import stages

    run, backend = options.run, options.backend
    folder = run / "predictions" / backend
    stages.evaluate(run, backend, run / "model", run / "manifest.json", folder, options.device)


def _register(options: argparse.Namespace) -> None:
    from segline import stages

    stages.register(options.run, options.store, device=options.device)


def _compare(options: argparse.Namespace) -> None:
    from segline import stages

    run = options.run
    folders = sorted(folder for folder in run.glob("predictions/[!.]*") if folder.is_dir())
    stages.compare(run, run / "plan.json", folders, run / "gate.json")


def _benchmark(options: argparse.Namespace) -> None:
    from segline import stages

    run = options.run
    stages.benchmark(run, run / "model", run / "manifest.json", run / "benchmark.json", options.device)


def _report(options: argparse.Namespace) -> None:
    from segline import stages

    stages.report(options.run)
    sys.stdout.write(f"{options.run / 'report.html'}\n")


_REFERENCE = re.compile(r"[\w-]+(@[\w-]+|/\d+)")
"""``spleen@champion`` or ``spleen/3``; anything else is a folder."""
_BACKEND_HELP = "pytorch (default), onnxruntime, openvino, openvino_int8 or tensorrt"

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
