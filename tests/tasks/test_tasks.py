"""Tasks by name, by path and as JSON, with overrides in a line."""

from pathlib import Path

import pytest

from segline.common.errors import SeglineError
from segline.data.fingerprint import take_fingerprint
from segline.data.manifest import Manifest
from segline.planning.plans import make_plan
from segline.tasks import names, read_task, split_overrides


@pytest.mark.parametrize("name", names())
def test_every_task_that_comes_along_can_be_had_by_its_name(name: str) -> None:
    assert read_task(name).name == name


@pytest.mark.parametrize("name", sorted({*names()} - {"brain", "iseg", "mednist"}))
def test_a_plan_is_made_of_every_task_of_masks_in_one_channel(name: str, phantoms: Manifest) -> None:
    plan = make_plan(phantoms, take_fingerprint(phantoms), read_task(name, ["export.int8_patches=0"]))
    assert plan.task == name


def test_the_tutorials_recipe_is_its_own() -> None:
    """https://github.com/Project-MONAI/tutorials, 3d_segmentation/spleen_segmentation_3d."""
    plan = read_task("spleen-tutorial").plan
    assert plan["training"]["patch_size"] == [96, 96, 96] and plan["training"]["learning_rate"] == 1e-4
    assert plan["network"]["channels"] == [16, 32, 64, 128, 256]


def test_a_task_is_the_same_by_name_by_path_and_as_json() -> None:
    from segline import tasks

    by_name = read_task("phantom")
    assert read_task(str(Path(tasks.__file__).parent / "phantom.yaml")) == by_name
    assert read_task(f"  {by_name.model_dump_json()}\n") == by_name


def test_overrides_and_data_take_the_place_of_what_the_task_says() -> None:
    task = read_task("phantom", split_overrides("training.epochs=3 gate.floor=0.5"), "s3://bucket/data")
    assert (task.plan["training"]["epochs"], task.plan["gate"]["floor"]) == (3, 0.5)
    assert task.source == "s3://bucket/data" and read_task("phantom").source == "phantom:30"


@pytest.mark.parametrize(
    ("asked", "overrides", "told"),
    [
        (
            "liver",
            "",
            "task 'liver': no such task; there are brain, heart, hippocampus, iseg, mednist, phantom, spleen",
        ),
        ("../tasks/phantom", "", "no such task"),
        ("", "", "task '': no such task"),
        ("none.yaml", "", "no such task"),
        ('{"name": ', "", "task: not JSON"),
        ('{"name": "a"}', "", "task: source: Field required"),
        ('{"name": "a", "source": "b", "plan": ' + "[" * 100_000, "", "task: not JSON (nested deeper"),
        (r'{"name": "a", "source": "\ud800"}', "", "task: not JSON"),
        ("phantom", "training.epochs", "key=value is needed"),
        ("phantom", "a='b", "close the quote"),
    ],
)
def test_what_cannot_be_read_is_one_line(asked: str, overrides: str, told: str) -> None:
    with pytest.raises(SeglineError) as error:
        read_task(asked, split_overrides(overrides))
    assert told in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("training.epochs=[", "override 'training.epochs=[': the value is not YAML (while parsing"),
        ("training.epochs=!!python/object:os.system x", "could not determine a constructor"),
        ("training.epochs=!!int x", "the value is not YAML (invalid literal"),
        ("training.epochs=" + "9" * 5000, "the value is not YAML (Exceeds the limit"),
        ("training=" + "[" * 100_000, "the value is not YAML (nested deeper"),
        ("training=&a [*a]", "more than 100,000 values"),
        ("=1", "override '=1': key=value is needed, such as training.epochs=50"),
        ("a..b=1", "override 'a..b=1': key=value is needed"),
        ("training.=1", "key=value is needed"),
        ("training .epochs=1", "key=value is needed"),
        ("training.epochs=\udcff", r"override 'training.epochs=\udcff': the value is not YAML"),
        ("\udcff=1", r"override '\udcff=1': key=value is needed"),
    ],
    ids=lambda value: value[:30].encode("ascii", "replace").decode(),
)
def test_an_override_that_cannot_be_one_is_named_in_one_line(override: str, told: str) -> None:
    with pytest.raises(SeglineError) as error:
        read_task("phantom", [override])
    line = str(error.value)
    assert told in line and "\n" not in line and line.isascii() and len(line) < 400
