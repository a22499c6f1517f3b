"""The workflow from the volumes in a folder to their masks."""

from segline.common.errors import SeglineError
from segline.export.monai_bundle.metadata import Config
from segline.export.monai_bundle.scripts import taken_from
from segline.export.monai_bundle.transforms import postprocessing, preprocessing
from segline.export.monai_bundle.windows import SCRIPT
from segline.plan import Plan
from segline.plan.preprocessing.normalisation import OUTSIDE

INFERENCE = "configs/inference.json"
WEIGHTS = "models/model.pt"
_BLENDINGS = ("gaussian", "constant")


def inference(plan: Plan) -> Config:
    """The workflow from the volumes in ``dataset_dir`` to the masks in ``output_dir``.

    Where a volume needs three windows or more along an axis, those between the first and the last may lie
    off segline's, by a voxel at most for each window before them: MONAI steps by whole voxels. All
    else is the same computation.
    """
    return {
        "imports": [
            "$import math",
            "$import pathlib",
            "$import runpy",
            "$import numpy",
            "$import torch",
            "$import monai",
        ],
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/images'",
        "output_dir": "$@bundle_root + '/eval'",
        "images": "$sorted(str(path) for path in pathlib.Path(@dataset_dir).glob('*.nii*'))",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "network_def": network_definition(plan),
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": preprocessing(plan.preprocessing)},
        **data(),
        **_inferer(plan),
        "postprocessing": {"_target_": "Compose", "transforms": postprocessing(plan)},
        **evaluation_by(),
        "run": ["$@evaluator.run()"],
    }


def data() -> Config:
    """The images, one at a time."""
    return {
        "dataset": {
            "_target_": "Dataset",
            "data": "$[{'image': image} for image in @images]",
            "transform": "@preprocessing",
        },
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1, "num_workers": 0},
    }


def evaluation_by(*handlers: Config) -> Config:
    """MONAI's evaluator with the bundle's weights, and what else is to be told of its answers."""
    weights = {
        "_target_": "CheckpointLoader",
        "load_path": f"$@bundle_root + '/{WEIGHTS}'",
        "load_dict": {"model": "@network"},
        "map_location": "@device",
    }
    evaluator = {
        "_target_": "SupervisedEvaluator",
        "device": "@device",
        "val_data_loader": "@dataloader",
        "network": "@network",
        "inferer": "@inferer",
        "postprocessing": "@postprocessing",
        "val_handlers": "@handlers",
        "amp": False,
    }
    return {"handlers": [weights, *handlers], "evaluator": evaluator}


def network_definition(plan: Plan) -> Config:
    """The network by MONAI's name, or a list of such where there are several."""
    if (count := plan.ensemble.count) > 1:
        (one, *_) = plan.of_one_member().of_each_seed()
        return {"_target_": "torch.nn.ModuleList", "modules": [network_definition(one) for _ in range(count)]}
    name, arguments = plan.network.monai(len(plan.channels), len(plan.labels))
    return {"_target_": name, **arguments}


def _inferer(plan: Plan) -> Config:
    """MONAI's inferer for the windows that :mod:`segline.inference.tiling` gives a volume of this shape."""
    settings = plan.inference
    if settings.blending not in _BLENDINGS:
        raise SeglineError(
            f"inference.blending {settings.blending}: MONAI's inferer knows {' and '.join(_BLENDINGS)}; "
            "no bundle of this plan is written"
        )
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
        "window_along": f"${taken_from(SCRIPT, 'window_along')}",
        "inferer": f"$lambda image, network: (lambda windows: {scores})({windows})",
    }
