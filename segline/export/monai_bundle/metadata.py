"""What a bundle says of itself, in the terms of MONAI's schema."""

import importlib.metadata
from collections.abc import Iterable
from typing import Any

import torch

from segline.evaluation.records import Evaluation
from segline.plan import Plan

METADATA = "configs/metadata.json"
_SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
)
_NOT_STATED = "not stated"
Config = dict[str, Any]
"""What names a ``_target_`` is made by calling it with the rest; what starts with ``$`` is evaluated."""


def metadata(
    plan: Plan, evaluation: Evaluation | None, version: str, task: str, answers: str = "segmentation"
) -> Config:
    """What the bundle says of itself, in the terms of MONAI's schema; ``task`` and ``answers`` in words."""
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
        "task": task,
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
            "outputs": {"pred": _format(plan, "probabilities", answers, _classes(plan))},
        },
    }


def _classes(plan: Plan) -> list[str]:
    return [plan.labels[value] for value in plan.label_values]


def _figures(evaluation: Evaluation) -> dict[str, float]:
    means = {f"mean_{figure.name}": evaluation.overall[figure.name].mean for figure in evaluation.figures[:2]}
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
