"""A model package written as a bundle."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from segline.common import atomic
from segline.common.errors import SeglineError
from segline.evaluation.records import Evaluation
from segline.export.monai_bundle import places, planes, windows
from segline.export.monai_bundle.inference import INFERENCE, WEIGHTS, inference
from segline.export.monai_bundle.metadata import METADATA, Config, metadata
from segline.export.monai_bundle.scripts import Carried
from segline.model.package import Model
from segline.networks.ensemble import Ensemble
from segline.networks.weights import load_network


def export_bundle(
    model: Model, folder: Path, evaluation: Evaluation | None = None, version: str = "0.1.0"
) -> Path:
    """Write the bundle of a model package into a new folder.

    Args:
        model: its weights and plan.
        folder: of the bundle, which does not exist or is empty.
        evaluation: of the model; its mean test Dice and NSD become part of the metadata.
        version: of the bundle.

    Returns:
        ``folder``.

    Raises:
        SeglineError: something lies at ``folder``, or the weights are damaged or of another plan.
    """
    plan, network = model.plan, load_network(model.weights, model.plan)
    state = (network.members if isinstance(network, Ensemble) else network).state_dict()
    words = f"segmentation of {', '.join(plan.foreground.values())}"
    described = metadata(plan, evaluation, version, words)
    carried = (places, windows, *([planes] if plan.inference.planes else []))
    return write_bundle(folder, described, inference(plan), state, carried)


def write_bundle(
    folder: Path,
    described: Config,
    workflow: Config,
    state: Mapping[str, Tensor],
    scripts: Sequence[Carried],
) -> Path:
    """Write the parts of a bundle into a new folder, whole or not at all.

    Raises:
        SeglineError: something lies at ``folder``.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise SeglineError(f"{folder}: there is something already; give a new folder for the bundle")
    weights = io.BytesIO()  # given a path, torch would write its name into the file
    torch.save(state, weights)
    with atomic.new_folder(folder) as scratch:
        for part in (METADATA, INFERENCE, WEIGHTS, places.SCRIPT):
            (scratch / part).parent.mkdir(exist_ok=True)
        _write_json(scratch / METADATA, described)
        _write_json(scratch / INFERENCE, workflow)
        for carried in scripts:
            (scratch / carried.SCRIPT).write_text(carried.script(), encoding="utf-8")
        (scratch / WEIGHTS).write_bytes(weights.getvalue())
    return folder


def _write_json(path: Path, content: Config) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
