"""The workflow from the images in a folder to a table of their classes' probabilities."""

from pathlib import Path

from segline.common.errors import SeglineError
from segline.data.declarations.class_folders import SUFFIXES
from segline.evaluation.records import Evaluation
from segline.export.monai_bundle import places
from segline.export.monai_bundle.inference import data, evaluation_by, network_definition
from segline.export.monai_bundle.metadata import Config, metadata
from segline.export.monai_bundle.transforms import READER, normalisation, preprocessing
from segline.export.monai_bundle.writing import write_bundle
from segline.model.package import Model
from segline.networks.catalogue import Flat
from segline.networks.weights import load_network
from segline.plan import Plan
from segline.plan.preprocessing.normalisation import OUTSIDE

TABLE = "classes.csv"
_WHOLE_MM = 1.0
"""Of a picture's pixel."""


def export_class_bundle(
    model: Model, folder: Path, evaluation: Evaluation | None = None, version: str = "0.1.0"
) -> Path:
    """Write the bundle of a model that answers with classes into a new folder.

    Run by MONAI as :mod:`segline.export.monai_bundle` says, it writes ``classes.csv`` into ``output_dir``: a
    row an image, its path and the probability of each class in the order of the metadata.

    Args:
        model: its weights and plan.
        folder: of the bundle, which does not exist or is empty.
        evaluation: of the model; its mean test figures become part of the metadata.
        version: of the bundle.

    Returns:
        ``folder``.

    Raises:
        SeglineError: something lies at ``folder``, the weights are damaged or of another plan, or the model
            is several networks.
    """
    plan = model.plan
    if plan.ensemble.count > 1:
        raise SeglineError(f"{model.folder}: no bundle of several networks is written of a classification")
    network = load_network(model.weights, plan)
    state = (network.network if isinstance(network, Flat) else network).state_dict()
    words = f"classification into {', '.join(plan.labels.values())}"
    described = metadata(plan, evaluation, version, words, "classification")
    return write_bundle(folder, described, inference(plan), state, (places,))


def inference(plan: Plan) -> Config:
    """The workflow from the images in ``dataset_dir`` to the table in ``output_dir``."""
    return {
        "imports": ["$import math", "$import pathlib", "$import runpy", "$import torch", "$import monai"],
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/images'",
        "output_dir": "$@bundle_root + '/eval'",
        "images": "$sorted(str(path) for path in pathlib.Path(@dataset_dir).iterdir() "
        f"if path.name.lower().endswith({SUFFIXES}))",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "network_def": network_definition(plan),
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": _preprocessing(plan)},
        **data(),
        "inferer": {"_target_": "SimpleInferer"},
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [{"_target_": "Activationsd", "keys": "pred", "softmax": True}],
        },
        **evaluation_by(_saver()),
        "run": ["$@evaluator.run()"],
    }


def _saver() -> Config:
    return {
        "_target_": "ClassificationSaver",
        "output_dir": "@output_dir",
        "filename": TABLE,
        "batch_transform": "$lambda batch: [image['image'].meta for image in batch]",
        "output_transform": "$lambda output: [image['pred'] for image in output]",
    }


def _preprocessing(plan: Plan) -> list[Config]:
    settings, window = plan.preprocessing, list(plan.inference.largest_window)
    flat = window[2] == 1
    fitted = {
        "_target_": "ResizeWithPadOrCropd",
        "keys": "image",
        "spatial_size": window[:2] if flat else window,
        "value": OUTSIDE,
    }
    if not flat:
        return [*preprocessing(settings), fitted]
    return [*_slices(plan), *normalisation(settings.intensity, None), fitted]


def _slices(plan: Plan) -> list[Config]:
    """Pictures as MONAI reads them; of a NIfTI file of one slice the slice, turned as the plan says."""
    turned = f"monai.transforms.Orientation(axcodes='{plan.preprocessing.orientation}')(image)[..., 0]"
    steps: list[Config] = [
        {
            "_target_": "LoadImaged",
            "keys": "image",
            "reader": [READER, "PILReader"],
            "ensure_channel_first": True,
        },
        {
            "_target_": "Lambdad",
            "keys": "image",
            "func": f"$lambda image: {turned} if image.ndim == 4 else image",
        },
    ]
    spacing = list(plan.preprocessing.spacing_mm[:2])
    if spacing == [_WHOLE_MM, _WHOLE_MM]:
        return steps
    resampled = {"mode": "bilinear", "padding_mode": "border"}
    return [*steps, {"_target_": "Spacingd", "keys": "image", "pixdim": spacing, **resampled}]
