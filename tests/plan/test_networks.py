"""Networks by name: what their settings say, and what they refuse."""

from typing import Any

import pytest

from segline.common.errors import SeglineError
from segline.plan import NETWORKS, Plan
from segline.planning.proposals import propose_network

from .test_plan import content, plan

DYNUNET = {"name": "dynunet", "channels": [8, 16, 32, 64], "strides": [[2, 2, 2]] * 3}
SWIN = {"name": "swin_unetr"}
CLASSIFIERS = [name for name, network in NETWORKS.items() if network.answers == "classes"]


def sized(patch: list[int], window: list[int] | None = None, **more: Any) -> dict[str, Any]:
    """The content of a plan of this patch, and of windows as large unless others are given."""
    return content(
        training__patch_size=patch,
        inference__smallest_window=window or patch,
        inference__largest_window=window or patch,
        inference__overlap=[0, 0, 0],
        **more,
    )


def test_there_is_no_other():
    with pytest.raises(SeglineError, match="network"):
        plan(network={"name": "perceptron"})


@pytest.mark.parametrize("name", NETWORKS)
def test_settings_say_what_they_demand_of_windows(name):
    settings = NETWORKS[name].model_validate(propose_network((64, 64, 64), name))
    assert all(stride >= 1 for stride in settings.total_stride)
    assert settings.words.startswith(name)
    assert settings.answers in ("voxels", "classes")


@pytest.mark.parametrize("name", NETWORKS)
def test_a_plan_of_any_network_is_read_as_it_was_written(name):
    patch = [64, 64, 64]
    made = Plan.parse(sized(patch, network=propose_network((64, 64, 64), name)), "plan")
    assert Plan.parse(made.model_dump(mode="json"), "plan") == made
    assert made.network.name == name


@pytest.mark.parametrize(
    ("network", "told"),
    [
        ({"name": "vnet"}, "network vnet: 3 channels: its first 16 feature maps do not divide by them"),
        ({**SWIN, "feature_size": 16}, "network.swin_unetr.feature_size"),
        ({**SWIN, "depths": [2, 2]}, "network.swin_unetr.depths"),
        ({**DYNUNET, "strides": [[2, 2, 2]]}, "4 levels need 3 strides"),
        ({**DYNUNET, "channels": [8, 16], "strides": [[2, 2, 2]]}, "network.dynunet.channels"),
        ({"name": "attention_unet", "channels": [1, 2]}, "network.attention_unet.channels"),
        ({"name": "resnet18", "spatial_dims": 4}, "network.resnet18.spatial_dims"),
        ({"name": "resnet19"}, "network"),
    ],
    ids=lambda given: given if isinstance(given, str) else given["name"],
)
def test_settings_that_it_cannot_have_are_told(network, told):
    three = {"channels": ["a", "b", "c"], "preprocessing__intensity": [{"rule": "zscore"}] * 3}
    with pytest.raises(SeglineError, match=told) as error:
        Plan.parse(sized([64, 64, 64], network=network, **three), "plan")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", [name for name, network in NETWORKS.items() if network.answers == "voxels"])
def test_a_network_that_answers_voxels_is_of_volumes(name):
    network = {**propose_network((64, 64, 64), name), "spatial_dims": 2}
    with pytest.raises(SeglineError, match=f"{name} answers voxels of volumes, always in 3-D; leave spatial"):
        Plan.parse(sized([64, 64, 64], network=network), "plan")


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_network_of_images_needs_windows_one_voxel_thick(name):
    flat = {"name": name, "spatial_dims": 2}
    assert Plan.parse(sized([64, 64, 1], network=flat), "plan").network.is_flat
    with pytest.raises(SeglineError, match=f"network {name} sees images one voxel thick, not 64"):
        Plan.parse(sized([64, 64, 64], network=flat), "plan")


@pytest.mark.parametrize(
    "network", [SWIN, {"name": "basic_unet", "norm": "instance"}], ids=lambda network: network["name"]
)
def test_instance_norm_needs_more_than_one_voxel_at_the_coarsest_level(network):
    stride = list(NETWORKS[network["name"]].model_validate(network).total_stride)
    with pytest.raises(SeglineError, match="its InstanceNorm sees one voxel; make an axis of"):
        Plan.parse(sized(stride, network=network), "plan")
    Plan.parse(sized([2 * stride[0], *stride[1:]], network=network), "plan")


def test_a_graph_of_one_size_needs_windows_as_large_as_the_patch():
    with pytest.raises(SeglineError, match=r"swin_unetr needs windows as large as training.patch_size \(64,"):
        Plan.parse(sized([64, 64, 64], window=[96, 96, 96], network=SWIN), "plan")


@pytest.mark.parametrize(
    ("levels", "heads"), [(3, 1), (4, 1), (5, 2), (6, 3)], ids=lambda number: str(number)
)
def test_all_levels_but_the_coarsest_are_supervised(levels, heads):
    settings = {"channels": [8] * levels, "strides": [[2, 2, 2]] * (levels - 1), "deep_supervision": True}
    assert NETWORKS["dynunet"].model_validate(settings).heads == heads


def test_without_deep_supervision_the_plan_is_silent_of_it():
    made = Plan.parse(sized([64, 64, 64], network=DYNUNET), "plan")
    assert "deep_supervision" not in made.model_dump(mode="json")["network"]
    supervised = Plan.parse(sized([64, 64, 64], network={**DYNUNET, "deep_supervision": True}), "plan")
    assert supervised.digest != made.digest
    assert supervised.network.words.endswith("trained with 1 more heads")


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_scores_of_classes_have_no_place(name):
    classes = Plan.parse(sized([64, 64, 64], network={"name": name}), "plan")
    assert classes.scores_shape((4, 1, 64, 64, 64)) == (4, 2)
    assert plan().scores_shape((4, 1, 64, 64, 64)) == (4, 2, 64, 64, 64)
