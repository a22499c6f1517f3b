"""No number of a plan that comes with a package is out of all reason."""

from typing import Any

import pytest

from segline.common.errors import SeglineError
from segline.plan import Plan

from .test_plan import content

SEGRESNET = {"name": "segresnet", "first_channels": 8, "blocks_down": [1, 1]}
HUGE = 10**400

OUT_OF_BOUNDS: list[tuple[str, Any]] = [
    ("seed", 2**32),
    ("seed", HUGE),
    ("task", "t" * 1000),
    ("kind", "k" * 1000),
    ("dataset_digest", "0" * 1000),
    ("channels", ["CT"] * 65),
    ("labels", {"0": "background", "300": "spleen"}),
    ("labels", {"0": "background", "-5": "spleen"}),
    ("labels", {"0": "background", "1e30": "spleen"}),
    ("preprocessing.spacing_mm", [1e-300, 1, 1]),
    ("preprocessing.spacing_mm", [1, 1, 1e-3]),
    ("preprocessing.spacing_mm", [1, 1000, 1]),
    ("preprocessing.margin_mm", 1e6),
    ("preprocessing.intensity", [{"rule": "window", "window": [-1e30, 1e30]}]),
    ("preprocessing.intensity", [{"rule": "window", "window": [0, 1e-300]}]),
    ("preprocessing.intensity", [{"rule": "zscore", "clip_sd": 1e30}]),
    ("network", {"channels": [16] * 11, "strides": [[1, 1, 1]] * 10}),
    ("network", {"channels": [16, 10**6], "strides": [[2, 2, 2]]}),
    ("network", {"channels": [16, 32], "strides": [[1000, 2, 2]]}),
    ("network", {"channels": [16, 32], "strides": [[2, 2, 2]], "residual_units": 10**6}),
    ("network", {**SEGRESNET, "first_channels": 8 * 10**5}),
    ("network", {**SEGRESNET, "blocks_down": [1, 10**6]}),
    ("network", {**SEGRESNET, "blocks_down": [1] * 20}),
    ("ensemble.members", 10**6),
    ("ensemble.seeds", 10**6),
    ("ensemble", {"members": 50, "seeds": 50}),
    ("training.patch_size", [2**30, 64, 32]),
    ("training.batch_size", 10**6),
    ("training.epochs", HUGE),
    ("training.max_minutes", 1e30),
    ("training.weight_decay", 1e30),
    ("training.validations", 10**9),
    ("training.sampler", {"name": "label", "ratio": 1e30}),
    ("training.schedule", {"name": "polynomial", "power": 1e30}),
    ("training.augmentation.noise_sd", 1e30),
    ("training.augmentation.blur_voxels", 1e6),
    ("training.augmentation.intensity_shift", 1e30),
    ("training.augmentation.gamma_log", 1e30),
    ("inference.smallest_window", [2**30, 64, 32]),
    ("inference.largest_window", [2**30, 64, 32]),
    ("inference.batch_size", 10**6),
    ("inference.keep_largest", [1] * 1000),
    ("export", {"int8_patches": 10**6}),
    ("gate.nsd_tolerance_mm", 1e30),
    ("gate.required", ["pytorch"] * 1000),
    ("gate.float32", {f"figure{number}_difference": 0.1 for number in range(100)}),
]


def changed(path: str, value: Any) -> dict[str, Any]:
    return content(**{path.replace(".", "__"): value})


@pytest.mark.parametrize(
    ("path", "value"), OUT_OF_BOUNDS, ids=[f"{path}={str(value)[:40]}" for path, value in OUT_OF_BOUNDS]
)
def test_a_number_out_of_all_reason_is_refused_with_its_place(path: str, value: Any) -> None:
    with pytest.raises(SeglineError) as error:
        Plan.parse(changed(path, value), "plan.json")
    line = str(error.value)
    assert line.startswith(f"plan.json: {path}")
    assert len(line) < 400


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("preprocessing.spacing_mm", [0.3, 0.3, 0.3]),
        ("preprocessing.spacing_mm", [0.01, 100, 10]),
        ("labels", {str(value): f"label {value}" for value in range(256)}),
        ("ensemble", {"members": 10, "seeds": 10}),
        ("training.patch_size", [65536, 64, 32]),
        ("training.epochs", 1_000_000),
        ("preprocessing.intensity", [{"rule": "window", "window": [0, 32767]}]),
        ("network", {"channels": [32, 64, 128, 256, 512, 1024], "strides": [[2, 2, 2]] * 5}),
    ],
    ids=str,
)
def test_what_somebody_may_well_train_passes(path: str, value: Any) -> None:
    sizes = {f"inference__{name}": [64, 64, 32] for name in ("smallest_window", "largest_window")}
    Plan.parse(changed(path, value) | content(**{path.replace(".", "__"): value}, **sizes), "plan.json")


def test_bounds_are_no_part_of_a_digest() -> None:
    """Of a plan as it was written before there were any."""
    assert (
        Plan.parse(content(), "plan").digest
        == "3588a94627003aec0ba95df5529a78b623c2027340f0233ee31906e6063c4324"
    )
