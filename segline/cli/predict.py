"""``segline predict``: one volume by a package, the model of a run, or a registered one."""

import argparse
import sys
from pathlib import Path
from typing import Any

from segline.cli.registry import chosen_model

BACKEND_HELP = "pytorch (default), onnxruntime, openvino, openvino_int8 or tensorrt"


def add_predict(commands: Any) -> argparse.ArgumentParser:
    """The parser of ``predict``, with all but what it shares with the other readers of the registry."""
    predict: argparse.ArgumentParser = commands.add_parser("predict", help="segment one volume")
    predict.add_argument("model", help="model package, folder of a run, or reference as for pull")
    predict.add_argument("image", type=Path, nargs="+", help="NIfTI or DICOM folder; one a channel, or all")
    predict.add_argument("-o", "--output", type=Path, required=True, help="mask to write, .nii or .nii.gz")
    predict.add_argument("--backend", default="pytorch", help=BACKEND_HELP)
    predict.add_argument("--device", default="auto", help="cpu, cuda or auto (default)")
    predict.add_argument("--plan", type=Path, help="insist on this plan.json")
    predict.set_defaults(run_command=_predict)
    return predict


def _predict(options: argparse.Namespace) -> None:
    from segline.backends import open_backend
    from segline.common.wording import by
    from segline.imaging.files import read_channels, write_volume
    from segline.inference.predictor import Predictor
    from segline.plan import Plan

    model = chosen_model(options)
    if options.plan:
        model.require_plan(Plan.read(options.plan), options.plan)
    volume = read_channels(options.image)
    mask = Predictor(model.plan, open_backend(options.backend, model, options.device))(volume)
    write_volume(options.output, mask)
    shape = by(mask.grid.shape)
    sys.stdout.write(f"{options.output}: {shape}, {(mask.array > 0).sum()} voxels labelled\n")
