"""What a user writes in YAML."""

from pathlib import Path
from typing import Any

import pytest

from segline.common.errors import SeglineError
from segline.plan import Task, merged

YAML = """
name: spleen
source: Task09_Spleen
description: Spleen in CT
plan:
  preprocessing:
    spacing_mm: [1.5, 1.5, 2.0]
"""


def file_of(folder: Path, text: str | bytes) -> Path:
    path = folder / "task.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


class TestReading:
    def test_a_task_is_its_yaml(self, tmp_path):
        task = Task.read(file_of(tmp_path, YAML))
        assert (task.name, task.source, task.kind) == ("spleen", "Task09_Spleen", "segmentation")
        assert task.plan == {"preprocessing": {"spacing_mm": [1.5, 1.5, 2.0]}}

    def test_name_and_source_are_enough(self, tmp_path):
        assert Task.read(file_of(tmp_path, "name: a\nsource: b")).plan == {}

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("source: b", "name: Field required"),
            ("name: a", "source: Field required"),
            ("name: a\nsource: b\nplam: {}", "plam: Extra inputs are not permitted"),
            ("name: My Task\nsource: b", "name: String should match pattern"),
            ("name: a\nsource: b\nplan: [1]", "plan: Input should be a valid dictionary"),
            ("name: a\nsource: b\nplan: {1: 2}", "plan"),
            ("name: a\nsource:", "source: Input should be a valid string"),
            ("", "document: "),
            ("- a", "document: "),
        ],
    )
    def test_a_fault_is_told_with_its_file_and_key(self, tmp_path, text, told):
        with pytest.raises(SeglineError, match=r"task\.yaml: ") as error:
            Task.read(file_of(tmp_path, text))
        assert told in str(error.value)

    def test_more_than_one_fault_is_counted(self, tmp_path):
        with pytest.raises(SeglineError, match=r"name: .* \(and 1 more\)"):
            Task.read(file_of(tmp_path, "plan: {}"))

    @pytest.mark.parametrize(
        "payload",
        [
            b"name: [",
            b"a: b: c",
            b"name: \xff\xfe",
            b"name: !!python/object:a.B {}",
            b"name: !!bool x",
            b"plan: " + b"[" * 5000,
            b"plan: &a {a: *a}",
            b'name: "\\ud800"',
        ],
    )
    def test_what_is_not_yaml_is_refused_in_one_line(self, tmp_path, payload):
        with pytest.raises(SeglineError, match=r"task\.yaml: not YAML") as error:
            Task.read(file_of(tmp_path, payload))
        assert "\n" not in str(error.value)

    def test_one_that_is_too_large_is_refused_unread(self, tmp_path):
        with pytest.raises(SeglineError, match=r"task\.yaml: larger than 1 MB"):
            Task.read(file_of(tmp_path, YAML + "#" * 1_000_000))

    def test_a_missing_file_is_told(self, tmp_path):
        with pytest.raises(SeglineError, match=r"none\.yaml: cannot be read"):
            Task.read(tmp_path / "none.yaml")


class TestOverride:
    def task(self) -> Task:
        return Task(name="a", source="b", plan={"training": {"epochs": 3, "batch_size": 2}, "seed": 1})

    @pytest.mark.parametrize(
        ("path", "value", "expected"),
        [
            ("seed", 5, {"training": {"epochs": 3, "batch_size": 2}, "seed": 5}),
            ("training.epochs", 9, {"training": {"epochs": 9, "batch_size": 2}, "seed": 1}),
            (
                "training.augmentation.flip",
                0.5,
                {"training": {"epochs": 3, "batch_size": 2, "augmentation": {"flip": 0.5}}, "seed": 1},
            ),
            (
                "gate.floor",
                0.9,
                {"training": {"epochs": 3, "batch_size": 2}, "seed": 1, "gate": {"floor": 0.9}},
            ),
        ],
    )
    def test_one_value_is_replaced_and_its_neighbours_stay(self, path: str, value: Any, expected: Any):
        assert self.task().override(path, value).plan == expected

    @pytest.mark.parametrize("before", ["gate.floor", "gate.dice_floor"])
    @pytest.mark.parametrize("after", ["gate.floor", "gate.dice_floor"])
    def test_a_setting_may_go_by_its_name_of_before(self, before: str, after: str):
        task = Task.parse({"name": "a", "source": "b", "plan": {"gate": {before[5:]: 0.5}}}, "task")
        assert task.override(after, 0.9).plan == {"gate": {"floor": 0.9}}

    def test_the_task_itself_is_left_alone(self):
        task = self.task()
        task.override("training.epochs", 9)
        assert task == self.task()


class TestMerged:
    def test_a_list_takes_the_place_of_a_list(self):
        assert merged({"a": [1, 2]}, {"a": [3]}) == {"a": [3]}

    def test_a_value_takes_the_place_of_a_mapping(self):
        assert merged({"a": {"b": 1}}, {"a": 2}) == {"a": 2}

    def test_nested_mappings_are_merged_key_by_key(self):
        assert merged({"a": {"b": {"c": 1, "d": 2}}}, {"a": {"b": {"d": 3}}}) == {
            "a": {"b": {"c": 1, "d": 3}}
        }
