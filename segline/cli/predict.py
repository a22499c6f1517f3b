"""``segline predict``: one volume by a package, the model of a run, or a registered one."""

import argparse
import sys
from pathlib import Path
from typing import Any

from segline.cli.registry import chosen_model

BACKEND_HELP = "pytorch (default), onnxruntime, openvino, openvino_int8 or tensorrt"


def add_predict(commands: Any) -> argparse.ArgumentParser:
    """The parser of ``predict``, with all but what it shares with the other readers of the registry."""
    predict: argparse.ArgumentParser = commands.add_parser(
        "predict", help="segment one volume, or what else the model is for"
    )
    predict.add_argument("model", help="model package, folder of a run, or reference as for pull")
    predict.add_argument("image", type=Path, nargs="+", help="NIfTI or DICOM folder; one a channel, or all")
    predict.add_argument(
        "-o", "--output", type=Path, required=True, help="what to write; a mask is .nii or .nii.gz"
    )
    predict.add_argument("--backend", default="pytorch", help=BACKEND_HELP)
    predict.add_argument("--device", default="auto", help="cpu, cuda or auto (default)")
    predict.add_argument("--plan", type=Path, help="insist on this plan.json")
    predict.set_defaults(run_command=_predict)
    return predict


def _predict(options: argparse.Namespace) -> None:
    from segline.backends import open_backend
    from segline.imaging.files import read_channels
    from segline.kinds import kind_of
    from segline.plan import Plan

    model = chosen_model(options)
    answers = kind_of(model.plan.kind).answers
    if options.plan:
        model.require_plan(Plan.read(options.plan), options.plan)
    volume = read_channels(options.image)
    answer = answers.predictor(model.plan, open_backend(options.backend, model, options.device))(volume)
    answers.write(options.output, answer)
    sys.stdout.write(f"{options.output}: {answers.told(answer)}\n")
