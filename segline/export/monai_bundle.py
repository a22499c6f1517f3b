"""MONAI bundles: a model package as a folder that ``python -m monai.bundle run`` executes.

The bundle predicts with MONAI's own transforms, inferer and evaluator, without segline. It needs ``fire``
and ``pytorch-ignite`` beside MONAI, and ``scikit-image`` where only the largest component of a label is kept,
and writes a mask of label values for every volume, on its own grid::

    python -m monai.bundle run --bundle_root BUNDLE --config_file BUNDLE/configs/inference.json
        --meta_file BUNDLE/configs/metadata.json --dataset_dir IMAGES --output_dir MASKS
"""

import importlib.metadata
import io
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from segline.common import atomic
from segline.evaluation.records import Evaluation
from segline.model.package import Model
from segline.networks.ensemble import Ensemble
from segline.networks.weights import load_network
from segline.plan import Intensity, IntensityWindow, Plan, Preprocessing
from segline.plan.normalisation import OUTSIDE

METADATA = "configs/metadata.json"
INFERENCE = "configs/inference.json"
WEIGHTS = "models/model.pt"

_SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
)
_NOT_STATED = "not stated"

_WINDOW_ALONG = (
    "$lambda size, shortest, longest, overlap, multiple: ("
    "count := 1 if size <= longest else -(-(size - overlap) // (longest - overlap)), "
    "needed := -(-(size + (count - 1) * overlap) // count), "
    "length := max(shortest, -(-needed // multiple) * multiple), "
    "length if count == 1 else -(-(size - length) // (count - 1)) + 0.5)[2:]"
)
"""Length and step of the windows along an axis; MONAI rounds the step down, and half a voxel guards it."""

Config = dict[str, Any]
"""What names a ``_target_`` is made by calling it with the rest; what starts with ``$`` is evaluated."""


def export_bundle(
    model: Model, folder: Path, evaluation: Evaluation | None = None, version: str = "0.1.0"
) -> Path:
    """Write the bundle of a model package, in place of what lies at ``folder``.

    Args:
        model: its weights and plan.
        folder: of the bundle.
        evaluation: of the model; its mean test Dice and NSD become part of the metadata.
        version: of the bundle.

    Returns:
        ``folder``.

    Raises:
        SeglineError: the weights are damaged or of another plan.
    """
    network = load_network(model.weights, model.plan)
    weights = io.BytesIO()  # given a path, torch would write its name into the file
    torch.save((network.members if isinstance(network, Ensemble) else network).state_dict(), weights)
    shutil.rmtree(folder, ignore_errors=True)
    with atomic.new_folder(folder) as scratch:
        for part in (METADATA, INFERENCE, WEIGHTS):
            (scratch / part).parent.mkdir(exist_ok=True)
        _write_json(scratch / METADATA, metadata(model.plan, evaluation, version))
        _write_json(scratch / INFERENCE, inference(model.plan))
        (scratch / WEIGHTS).write_bytes(weights.getvalue())
    return folder


def _write_json(path: Path, content: Config) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def metadata(plan: Plan, evaluation: Evaluation | None, version: str) -> Config:
    """What the bundle says of itself, in the terms of MONAI's schema."""
    return {
        "schema": _SCHEMA,
        "version": version,
        "changelog": {version: f"plan {plan.digest}"},
        "monai_version": importlib.metadata.version("monai"),
        "pytorch_version": torch.__version__.partition("+")[0],
        "numpy_version": importlib.metadata.version("numpy"),
        "required_packages_version": {"nibabel": importlib.metadata.version("nibabel")},
        "optional_packages_version": {},
        "name": plan.task,
        "task": f"segmentation of {', '.join(plan.foreground.values())}",
        "description": f"A {plan.network.name} trained by segline for the task {plan.task}",
        "authors": _NOT_STATED,
        "copyright": _NOT_STATED,
        "data_source": f"data set with digest {plan.dataset_digest}",
        "data_type": "nibabel",
        "image_classes": ", ".join(plan.channels),
        "label_classes": "label values: "
        + ", ".join(f"{value} {plan.labels[value]}" for value in plan.label_values),
        "pred_classes": "class scores before softmax: " + ", ".join(_classes(plan)),
        "eval_metrics": _figures(evaluation) if evaluation else {},
        "intended_use": "Research only; not a medical device",
        "network_data_format": {
            "inputs": {"image": _format(plan, "image", "magnitude", plan.channels)},
            "outputs": {"pred": _format(plan, "probabilities", "segmentation", _classes(plan))},
        },
    }


def _classes(plan: Plan) -> list[str]:
    return [plan.labels[value] for value in plan.label_values]


def _figures(evaluation: Evaluation) -> dict[str, float]:
    means = {f"mean_{name}": evaluation.overall[name].mean for name in ("dice", "nsd")}
    return {name: round(mean, 4) for name, mean in means.items() if mean is not None}


def _format(plan: Plan, kind: str, meaning: str, channels: Iterable[str]) -> Config:
    named = {str(number): name for number, name in enumerate(channels)}
    return {
        "type": kind,
        "format": meaning,
        "modality": ", ".join(plan.channels),
        "num_channels": len(named),
        "spatial_shape": list(plan.inference.largest_window),
        "dtype": "float32",
        "value_range": [],
        "is_patch_data": True,
        "channel_def": named,
    }


def inference(plan: Plan) -> Config:
    """The workflow from the volumes in ``dataset_dir`` to the masks in ``output_dir``.

    Where a volume needs three windows or more along an axis, those between the first and the last may lie a
    voxel off segline's: MONAI steps by whole voxels. All else is the same computation.
    """
    return {
        "imports": ["$import math", "$import pathlib", "$import numpy", "$import torch", "$import monai"],
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/images'",
        "output_dir": "$@bundle_root + '/eval'",
        "images": "$sorted(str(path) for path in pathlib.Path(@dataset_dir).glob('*.nii*'))",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "network_def": _network(plan),
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": _preprocessing(plan.preprocessing)},
        "dataset": {
            "_target_": "Dataset",
            "data": "$[{'image': image} for image in @images]",
            "transform": "@preprocessing",
        },
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1, "num_workers": 0},
        **_inferer(plan),
        "postprocessing": {"_target_": "Compose", "transforms": _postprocessing(plan)},
        "handlers": [
            {
                "_target_": "CheckpointLoader",
                "load_path": f"$@bundle_root + '/{WEIGHTS}'",
                "load_dict": {"model": "@network"},
                "map_location": "@device",
            }
        ],
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "val_handlers": "@handlers",
            "amp": False,
        },
        "run": ["$@evaluator.run()"],
    }


def _network(plan: Plan) -> Config:
    if (count := plan.ensemble.count) > 1:
        (one, *_) = plan.of_one_member().of_each_seed()
        return {"_target_": "torch.nn.ModuleList", "modules": [_network(one) for _ in range(count)]}
    name, arguments = plan.network.monai(len(plan.channels), len(plan.labels))
    return {"_target_": name, **arguments}


def _preprocessing(settings: Preprocessing) -> list[Config]:
    return [
        {"_target_": "LoadImaged", "keys": "image", "ensure_channel_first": True},
        {"_target_": "Orientationd", "keys": "image", "axcodes": settings.orientation},
        *_crop(settings),
        {
            "_target_": "Spacingd",
            "keys": "image",
            "pixdim": list(settings.spacing_mm),
            "mode": "bilinear",
            "padding_mode": "border",
        },
        *_normalisation(settings.intensity, settings.foreground_above),
    ]


def _crop(settings: Preprocessing) -> list[Config]:
    """MONAI's margin is in voxels; the mask given to it is any with the box of foreground and margin."""
    if settings.foreground_above is None:
        return []
    box = (
        f"monai.transforms.generate_spatial_bounding_box(image, lambda voxels: voxels > "
        f"{settings.foreground_above!r}, margin=[math.ceil({settings.margin_mm!r} / round(mm, 6)) "
        "for mm in image.pixdim.tolist()], allow_smaller=True)"
    )
    # an empty box ends at 0: its last voxel is the volume's, and the whole volume is kept
    corners = "torch.tensor([first, [end - 1 for end in ends]]).unbind(1)"
    mask = f"torch.zeros(image.shape[1:], dtype=bool).index_put({corners}, torch.tensor(True))[None]"
    return [
        {
            "_target_": "CropForegroundd",
            "keys": "image",
            "source_key": "image",
            "select_fn": f"$lambda image: (lambda first, ends: {mask})(*{box})",
        }
    ]


def _normalisation(rules: tuple[Intensity, ...], foreground_above: float | None) -> list[Config]:
    first = rules[0]
    if isinstance(first, IntensityWindow) and set(rules) == {first}:
        low, high = first.window
        scale = {"a_min": low, "a_max": high, "b_min": 0.0, "b_max": 1.0, "clip": True}
        return [{"_target_": "ScaleIntensityRanged", "keys": "image", **scale}]
    channels = ", ".join(_channel(number, rule, foreground_above) for number, rule in enumerate(rules))
    return [{"_target_": "Lambdad", "keys": "image", "func": f"$lambda image: torch.cat([{channels}])"}]


def _channel(number: int, rule: Intensity, foreground_above: float | None) -> str:
    """An expression of ``image``: one channel by its rule. MONAI's own z-score would spare the background."""
    channel = f"image[{number}:{number + 1}]"
    if isinstance(rule, IntensityWindow):
        low, high = rule.window
        return f"(({channel} - {low!r}) / {high - low!r}).clamp(0, 1)"
    above = "-math.inf" if foreground_above is None else repr(foreground_above)
    scaled = "((c - v.mean()) / v.std(correction=0).clamp(min=1e-8))"
    body = f"{scaled}.clamp({-rule.clip_sd!r}, {rule.clip_sd!r})"
    chosen = f"(lambda c, v: v if v.numel() > 1 else c)({channel}, {channel}[{channel} > {above}])"
    return f"(lambda c, v: {body})({channel}, {chosen})"


def _inferer(plan: Plan) -> Config:
    """MONAI's inferer for the windows that :mod:`segline.inference.tiling` gives a volume of this shape."""
    settings = plan.inference
    axes = list(
        zip(
            settings.smallest_window,
            settings.largest_window,
            settings.overlap,
            plan.network.total_stride,
            strict=True,
        )
    )
    windows = f"[@window_along(size, *axis) for size, axis in zip(image.shape[2:], {axes})]"
    inferer = (
        f"monai.inferers.SlidingWindowInferer([length for length, _ in windows], {settings.batch_size}, "
        f"[1 - step / length for length, step in windows], '{settings.blending}', cval={OUTSIDE})"
    )
    scores = f"{inferer}(image, network)"
    if plan.ensemble.count > 1:  # averaged once stitched, which is the same to rounding
        scores = f"sum({inferer}(image, member) for member in network) / len(network)"
    return {
        "window_along": _WINDOW_ALONG,
        "inferer": f"$lambda image, network: (lambda windows: {scores})({windows})",
    }


def _postprocessing(plan: Plan) -> list[Config]:
    return [
        {"_target_": "Activationsd", "keys": "pred", "softmax": True},
        {
            "_target_": "Invertd",
            "keys": "pred",
            "transform": "@preprocessing",
            "orig_keys": "image",
            "nearest_interp": False,
        },
        {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
        *_largest_components(plan),
        {
            "_target_": "MapLabelValued",
            "keys": "pred",
            "orig_labels": list(range(len(plan.labels))),
            "target_labels": list(plan.label_values),
        },
        {
            "_target_": "SaveImaged",
            "keys": "pred",
            "output_dir": "@output_dir",
            "output_postfix": "",
            "output_dtype": "$numpy.uint8",
            "resample": False,
            "separate_folder": False,
        },
    ]


def _largest_components(plan: Plan) -> list[Config]:
    if not plan.inference.keep_largest:
        return []
    classes = [plan.label_values.index(value) for value in plan.inference.keep_largest]
    return [
        {
            "_target_": "KeepLargestConnectedComponentd",
            "keys": "pred",
            "applied_labels": classes,
            "is_onehot": False,
        }
    ]
