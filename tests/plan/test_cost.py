"""Plans whose windows nobody could afford."""

from typing import Any

import pytest

from segline.common.errors import SeglineError
from segline.plan import Plan, require_affordable
from segline.plan.cost import batch_bytes

from .test_plan import content, plan


def windows(edges: list[int], overlap: list[int], **more: Any) -> Plan:
    values = {
        "inference__smallest_window": edges,
        "inference__largest_window": edges,
        "inference__overlap": overlap,
        "training__patch_size": [8, 8, 8],
    }
    return Plan.parse(content(**values, **more), "plan")


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (
            windows([4, 4, 4], [0, 0, 0]),
            "inference.largest_window 4x4x4 has 64 voxels; it must have at least 51",
        ),
        (
            windows([64, 64, 32], [63, 63, 31]),
            "inference.overlap 63x63x31 .* through the network 131072 times",
        ),
        (windows([64, 64, 32], [48, 48, 24]), "inference.overlap .* 64 times; at most 8 are allowed"),
        (windows([4096, 4096, 4096], [0, 0, 0]), "inference.largest_window 4096x4096x4096 .* GB; at most 32"),
        (windows([64, 64, 64], [0, 0, 0], inference__batch_size=4096), "inference.batch_size of 4096 takes"),
        (
            windows([64, 64, 64], [0, 0, 0], network={"channels": [4096] * 9, "strides": [[1, 1, 1]] * 8}),
            "takes about",
        ),
    ],
    ids=["tiny", "all but one voxel", "three quarters", "huge", "many at once", "wide"],
)
def test_what_it_comes_to_is_told_with_the_setting(asked: Plan, told: str) -> None:
    with pytest.raises(SeglineError, match=rf"model/plan\.json: .*{told}"):
        require_affordable(asked, "model/plan.json")


@pytest.mark.parametrize(
    "overlap", [[16, 16, 8], [32, 32, 16], [56, 0, 0]], ids=["as proposed", "half", "seven eighths of one"]
)
def test_windows_may_well_overlap(overlap: list[int]) -> None:
    require_affordable(windows([64, 64, 32], overlap), "plan")


def test_whole_abdomens_of_a_hundred_labels_are_affordable() -> None:
    labels = {str(value): f"label {value}" for value in range(118)}
    flagship = {"channels": [16, 32, 64, 128, 256], "strides": [[2, 2, 2]] * 4}
    large = plan(
        labels=labels,
        network=flagship,
        training__patch_size=[96, 96, 96],
        inference__smallest_window=[96, 96, 96],
        inference__largest_window=[192, 352, 240],
        inference__batch_size=1,
    )
    require_affordable(large, "plan")
    assert 15e9 < batch_bytes(large) < 17e9
