"""The frozen contract between training and inference."""

import json
from pathlib import Path
from typing import Any

import pytest

from segline.common.digests import sha256_of_json
from segline.common.errors import SeglineError
from segline.plan import Agreement, Plan

from ..conftest import small_plan


def content(**changes: Any) -> dict[str, Any]:
    """A plan's JSON, with values replaced by dotted path, dots written as two underscores."""
    values: dict[str, Any] = {
        "task": "spleen",
        "dataset_digest": "0" * 64,
        "channels": ["CT"],
        "labels": {"0": "background", "1": "spleen"},
        "preprocessing": {
            "spacing_mm": [1.5, 1.5, 2.0],
            "intensity": [{"rule": "window", "window": [-57, 164]}],
            "foreground_above": -500,
        },
        "network": {"channels": [16, 32, 64], "strides": [[2, 2, 2], [2, 2, 1]]},
        "training": {"patch_size": [64, 64, 32], "batch_size": 2, "epochs": 10},
        "inference": {
            "smallest_window": [64, 64, 32],
            "largest_window": [64, 64, 32],
            "overlap": [16, 16, 8],
        },
        "gate": {"nsd_tolerance_mm": 2.0},
        "split": {"train": ["a"], "val": ["b"], "test": ["c"]},
    }
    for path, value in changes.items():
        *parents, last = path.split("__")
        part = values
        for key in parents:
            part = part.setdefault(key, {})
        part[last] = value
    return values


def plan(**changes: Any) -> Plan:
    return Plan.parse(content(**changes), "plan.json")


@pytest.fixture
def written(tmp_path: Path) -> Path:
    plan().write(tmp_path / "plan.json")
    return tmp_path / "plan.json"


CHANGES: list[dict[str, Any]] = [
    {"task": "liver"},
    {"seed": 1},
    {"dataset_digest": "1" * 64},
    {"labels": {"0": "background", "1": "liver"}},
    {"preprocessing__spacing_mm": [1.5, 1.5, 2.5]},
    {"preprocessing__intensity": [{"rule": "zscore"}]},
    {"network__norm": "instance"},
    {"training__epochs": 11},
    {"training__augmentation": {"flip": 0.1}},
    {"inference__overlap": [8, 8, 8]},
    {"gate__floor": 0.9},
    {"split__train": ["a", "d"]},
]

FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"surprise": 1}, "surprise"),
    ({"ensemble": 3, "network__members": 2}, "ensemble"),
    ({"gate__float32": {1: 2}}, "gate.float32"),
    ({"training__surprise": 1}, "training.surprise"),
    ({"training__augmentation": {"surprise": 1}}, "training.augmentation.surprise"),
    ({"training__epochs": "many"}, "training.epochs"),
    ({"training__epochs": 0}, "training.epochs"),
    ({"training__batch_size": 1}, "training.batch_size"),
    ({"training__augmentation": {"flip": 1.5}}, "training.augmentation.flip"),
    ({"seed": -1}, "seed"),
    ({"channels": []}, "channels"),
    ({"preprocessing__spacing_mm": [1.5, 1.5]}, "preprocessing.spacing_mm"),
    ({"preprocessing__spacing_mm": [1.5, 1.5, 0]}, "preprocessing.spacing_mm"),
    ({"preprocessing__spacing_mm": [1.5, 1.5, float("inf")]}, "preprocessing.spacing_mm"),
    ({"preprocessing__foreground_above": float("nan")}, "preprocessing.foreground_above"),
    ({"preprocessing__intensity": [{"rule": "magic"}]}, "preprocessing.intensity"),
    ({"preprocessing__intensity": [{"rule": "window", "window": [164, -57]}]}, "preprocessing.intensity"),
    (
        {"preprocessing__intensity": [{"rule": "window", "window": [float("nan"), 1]}]},
        "preprocessing.intensity",
    ),
    ({"preprocessing__intensity": [{"rule": "zscore"}] * 2}, "1 channels need as many intensity rules"),
    ({"network__channels": [16, 32]}, "2 levels need 1 strides"),
    ({"network__strides": [[2, 2, 2], [0, 2, 2]]}, "network.unet.strides"),
    ({"training__patch_size": [64, 64]}, "training.patch_size"),
    ({"training__patch_size": [64, 64, 33]}, r"training.patch_size \(64, 64, 33\) must be a multiple"),
    ({"inference__largest_window": [66, 64, 32]}, r"inference.largest_window \(66, 64, 32\) must be a multi"),
    ({"inference__overlap": [0, 0, -1]}, "inference.overlap"),
    ({"inference__overlap": [0, 0, 32]}, "overlap < smallest_window <= largest_window"),
    ({"inference__largest_window": [64, 32, 32]}, "overlap < smallest_window <= largest_window"),
    ({"inference__keep_largest": [0]}, "inference.keep_largest: 0 is no label's value; there are 1"),
    (
        {"inference__planes": [{"axis": "y", "lower": 1, "upper": 2}]},
        "inference.planes: 2 is no label's value; there are 1",
    ),
    ({"inference__planes": [{"axis": "y", "lower": 1, "upper": 1}]}, "parts two labels, not 1 from itself"),
    (
        {"network__norm": "instance", "inference__largest_window": [128, 64, 32]},
        "network unet needs one window size",
    ),
    ({"split__test": []}, "split.test"),
    ({"split__test": ["a"]}, "case a is in the split more than once"),
    ({"split__train": ["a", "a"]}, "case a is in the split more than once"),
]


class TestContent:
    @pytest.mark.parametrize(("change", "told"), FAULTS, ids=[told for _, told in FAULTS])
    def test_a_fault_is_told_with_its_file_and_place(self, change, told):
        with pytest.raises(SeglineError, match=f"plan.json: .*{told}"):
            plan(**change)

    @pytest.mark.parametrize("part", ["preprocessing", "network", "training", "inference", "gate", "split"])
    def test_every_part_is_needed(self, part):
        values = content()
        del values[part]
        with pytest.raises(SeglineError, match=f"{part}: Field required"):
            Plan.parse(values, "plan.json")

    @pytest.mark.parametrize("document", [None, [], "plan", 3])
    def test_anything_but_a_mapping_is_refused(self, document):
        with pytest.raises(SeglineError, match=r"plan\.json: document: "):
            Plan.parse(document, "plan.json")

    def test_it_cannot_be_changed(self):
        with pytest.raises(ValueError, match="frozen"):
            plan().training.epochs = 3  # type: ignore[misc]

    def test_classes_are_the_label_values_in_order_background_first(self):
        made = plan(labels={"10": "liver", "0": "background", "2": "spleen"})
        assert made.label_values == (0, 2, 10)
        assert made.foreground == {1: "spleen", 2: "liver"}

    def test_the_network_s_stride_is_the_product_of_its_levels(self):
        assert plan().network.total_stride == (4, 4, 2)


class TestDigest:
    def test_the_same_content_in_another_order_has_the_same_digest(self):
        values = content()
        assert Plan.parse(dict(reversed(values.items())), "plan.json").digest == plan().digest

    def test_a_default_written_out_does_not_change_it(self):
        assert plan(seed=0, training__ema_decay=0.99).digest == plan().digest

    @pytest.mark.parametrize("change", CHANGES, ids=[next(iter(change)) for change in CHANGES])
    def test_any_change_changes_it(self, change):
        assert plan(**change).digest != plan().digest

    def test_a_changed_copy_has_its_own(self):
        original = plan()
        before = original.digest
        assert original.model_copy(update={"seed": 5}).digest == plan(seed=5).digest != before


PSEUDONYMS = {"a": "c0ffee", "b": "beef01", "c": "f00d02"}


class TestPseudonyms:
    @pytest.fixture
    def named(self) -> Plan:
        return plan(pseudonyms=PSEUDONYMS)

    def test_without_names_it_is_the_same_plan(self, named):
        hidden = named.pseudonymous()
        assert hidden.split.model_dump() == {"train": ("c0ffee",), "val": ("beef01",), "test": ("f00d02",)}
        assert hidden.pseudonyms == {}
        assert hidden.digest == named.digest
        assert hidden.pseudonymous() == hidden

    def test_who_knows_the_cases_can_name_them(self, named):
        assert named.pseudonymous().named(PSEUDONYMS) == named

    def test_another_case_makes_another_plan(self, named):
        assert plan(pseudonyms={**PSEUDONYMS, "a": "deed03"}).digest != named.digest

    def test_another_name_of_the_same_case_does_not(self, named):
        renamed = plan(split__train=["z"], pseudonyms={**PSEUDONYMS, "z": "c0ffee"})
        assert renamed.digest == named.digest

    def test_it_is_written_and_read_either_way(self, named, tmp_path):
        for each in (named, named.pseudonymous()):
            each.write(tmp_path / "plan.json")
            assert Plan.read(tmp_path / "plan.json") == each


class TestFile:
    def test_it_comes_back_as_it_was_written(self, written):
        assert Plan.read(written) == plan()
        assert Plan.read(written).digest == plan().digest

    def test_the_same_plan_is_the_same_bytes(self, written, tmp_path):
        Plan.read(written).write(tmp_path / "again.json")
        assert (tmp_path / "again.json").read_bytes() == written.read_bytes()

    @pytest.mark.parametrize(
        ("old", "new"), [('"epochs": 10', '"epochs": 12'), ('"b"', '"z"'), ("-57.0", "-60.0")]
    )
    def test_one_edited_by_hand_is_refused(self, written, old, new):
        text = written.read_text()
        assert old in text
        written.write_text(text.replace(old, new))
        with pytest.raises(SeglineError, match=r"plan\.json: its digest .* does not fit .* plan again"):
            Plan.read(written)

    def test_one_without_a_digest_is_refused(self, tmp_path):
        path = tmp_path / "plan.json"
        path.write_text(json.dumps(content()))
        with pytest.raises(SeglineError, match="does not fit its content"):
            Plan.read(path)

    @pytest.mark.parametrize("payload", [b"", b"{", b"spacing: 3", b"\xff\xfe\x00"])
    def test_what_is_not_json_is_refused(self, tmp_path, payload):
        path = tmp_path / "plan.json"
        path.write_bytes(payload)
        with pytest.raises(SeglineError, match=r"plan\.json: (not JSON|not UTF-8|the file is empty)"):
            Plan.read(path)

    @pytest.mark.parametrize("text", ["[]", "3", "null"])
    def test_json_that_is_not_a_plan_is_refused(self, tmp_path, text):
        path = tmp_path / "plan.json"
        path.write_text(text)
        with pytest.raises(SeglineError, match=r"plan\.json: a JSON object is needed"):
            Plan.read(path)

    def test_an_unknown_field_is_refused(self, written):
        values = json.loads(written.read_text())
        written.write_text(json.dumps({**values, "surprise": 1}))
        with pytest.raises(SeglineError, match=r"plan\.json: surprise: Extra inputs"):
            Plan.read(written)

    def test_a_missing_file_is_told(self, tmp_path):
        with pytest.raises(SeglineError, match=r"none\.json: cannot be read \(No such file"):
            Plan.read(tmp_path / "none.json")


class TestLayouts:
    """Plans as they were first written are read and digested to this day."""

    @pytest.mark.parametrize("count", [1, 2])
    def test_members_and_seeds_of_the_network_are_the_ensembles(self, count):
        old = plan(network__members=3, network__seeds=count)
        new = plan(ensemble={"members": 3, "seeds": count})
        assert old == new and old.digest == new.digest
        assert (new.ensemble.count, "members" in new.model_dump()["network"]) == (3 * count, False)

    def test_the_digest_is_that_of_the_first_layout(self):
        values = plan(gate__floor=0.5).model_dump(mode="json", exclude={"pseudonyms"})
        values["gate"]["dice_floor"] = values["gate"].pop("floor")
        values["training"]["foreground_ratio"] = values["training"].pop("sampler")["ratio"]
        assert plan(gate__floor=0.5).digest == sha256_of_json(values)
        assert {"ensemble", "name", "kind"} & values.keys() == set()
        values["network"] |= {"seeds": 2}
        assert plan(gate__floor=0.5, ensemble={"seeds": 2}).digest == sha256_of_json(values)
        assert plan(gate__dice_floor=0.5) == plan(gate__floor=0.5)
        ratio = plan(training__foreground_ratio=2)
        assert ratio == plan(training__sampler={"name": "label", "ratio": 2})
        assert ratio.digest not in (plan().digest, plan(training__sampler={"name": "uniform"}).digest)
        with pytest.raises(SeglineError, match=r"gate\.dice_floor: Extra inputs"):
            plan(gate__floor=0.5, gate__dice_floor=0.5)

    def test_another_kind_is_another_plan(self):
        assert plan(kind="segmentation").digest == plan().digest != plan(kind="volumetry").digest

    @pytest.mark.parametrize(
        "part", [{"optimizer": {"name": "adamw"}}, {"schedule": {"name": "cosine"}}, {"gradient_clip": 12}]
    )
    def test_what_every_plan_had_before_it_could_be_chosen_changes_no_digest(self, part):
        assert plan(training=plan().training.model_dump() | part).digest == plan().digest

    def test_what_the_gate_asks_of_backends_is_written_flat(self):
        reduced = {
            "dice_difference": 0.003,
            "nsd_difference": 0.01,
            "voxel_agreement": 0.999,
            "equivalence_margin": 0.005,
        }
        gate = plan().model_dump(mode="json")["gate"]
        assert list(gate["reduced"].items()) == list(reduced.items())
        assert plan(gate=gate).gate.reduced.differences == {"dice": 0.003, "nsd": 0.01}
        assert plan(gate=gate).digest == plan().digest


class TestGate:
    @pytest.mark.parametrize(
        "asked", [{"surprise": 1}, {"dice_difference": 2}, {"voxel_agreement": -1}, {"equivalence_margin": 2}]
    )
    def test_what_is_asked_of_backends_is_known_and_a_share(self, asked):
        with pytest.raises(SeglineError, match=r"gate\.float32"):
            plan(gate__float32=asked)

    def test_a_figure_that_is_misspelt_is_refused(self):
        flat = Agreement().model_dump()
        with pytest.raises(SeglineError, match=r"gate: .* dcie_difference: float32 and reduced must ask"):
            plan(gate__float32={**flat, "dcie_difference": 0.1})


def test_a_plan_that_comes_with_a_package_has_no_name_that_is_code() -> None:
    with pytest.raises(SeglineError, match=r"name '\$exit\(\)' begins with '\$'"):
        plan(labels={"0": "background", "1": "$exit()"})


def test_weights_of_labels_that_there_are_not_are_refused() -> None:
    sampler = {"name": "weighted", "weights": {0: 0.2, 7: 0.8}}
    with pytest.raises(SeglineError, match=r"sampler.weights: 7 is no label's value; there are 0, 1"):
        small_plan(training={"sampler": sampler})
    with pytest.raises(SeglineError, match="weights must add up to more than 0"):
        small_plan(training={"sampler": {"name": "weighted", "weights": {1: 0}}})


@pytest.mark.parametrize(
    ("overlap", "voxels"), [(0.5, (8, 8, 16)), ([0.25, 4, 0.5], (4, 4, 16)), ([1, 2, 3], (1, 2, 3))]
)
def test_an_overlap_may_be_a_share_of_the_window(overlap: Any, voxels: tuple[int, int, int]) -> None:
    windows = {"smallest_window": [16, 16, 32], "largest_window": [16, 16, 32], "overlap": overlap}
    assert small_plan(inference=windows).inference.overlap == voxels


def test_a_bias_field_that_is_off_is_not_in_the_digest() -> None:
    assert "bias_field" not in json.dumps(small_plan().model_dump(mode="json"))
    on = small_plan(training={"augmentation": {"bias_field": 0.5}})
    assert on.training.augmentation.bias_field == 0.5 and on.digest != small_plan().digest


def test_samples_and_padding_are_in_the_digest_where_they_are_asked_for() -> None:
    written = small_plan().model_dump(mode="json")["training"]
    assert not {"samples_per_volume", "padding"} & written.keys()
    digests = {
        small_plan(training=part).digest
        for part in ({}, {"samples_per_volume": 1}, {"samples_per_volume": 4}, {"padding": "edge"})
    }
    assert len(digests) == 3
