"""From a data set's fingerprint to a plan, and what a task may say against it."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from segline.common.errors import SeglineError
from segline.data.fingerprint import Fingerprint, take_fingerprint
from segline.data.manifest import CaseEntry, FileEntry, Manifest
from segline.networks.catalogue import build_without_memory
from segline.networks.memory import training_bytes
from segline.plan import (
    NETWORKS,
    IntensityWindow,
    Maximum,
    Mean,
    MinMax,
    Plan,
    Task,
    ZScore,
    require_affordable,
)
from segline.planning.folds import fold_tasks, resplit
from segline.planning.plans import make_plan
from segline.planning.proposals import (
    BATCH_VOXELS,
    LARGEST_BATCH,
    PATCH_VOXELS,
    SMALLEST_FEATURE_MAP,
    VOXELS_AT_ONCE,
    cheapest_window,
    propose_network,
    propose_patch,
    propose_preprocessing,
    propose_training,
)
from segline.planning.splits import SplitRule, split_cases
from segline.tasks import read_task

Spacing = tuple[float, float, float]

BRAIN = ("T1", "T2", "FLAIR")
NAMES = [f"case_{number:02d}" for number in range(10)]


def fingerprint(
    modalities: Sequence[str] = ("CT",),
    spacings_mm: Sequence[Spacing] = ((0.8, 0.8, 1.5),) * 10,
    shapes: Sequence[tuple[int, int, int]] = ((300, 280, 200),) * 10,
    foreground_above: float | None = -500.0,
) -> Fingerprint:
    return Fingerprint(
        modalities=tuple(modalities),
        spacings_mm=tuple(spacings_mm),
        shapes=tuple(shapes),
        foreground_percentiles=((-40.5, 100.0, 190.25),) * len(modalities),
        foreground_above=foreground_above,
    )


def manifest(names: Sequence[str] = NAMES, modalities: Sequence[str] = ("CT",)) -> Manifest:
    cases = [
        CaseEntry(
            name=name,
            images=(FileEntry(path=f"imagesTr/{name}.nii.gz", sha256="0" * 64),),
            label=FileEntry(path=f"labelsTr/{name}.nii.gz", sha256="1" * 64),
            shape=(300, 280, 200),
            spacing_mm=(0.8, 0.8, 1.5),
            orientation="RAS",
            label_voxels={0: 100, 1: 10},
        )
        for name in names
    ]
    return Manifest(
        name="Test",
        licence="none",
        modalities=tuple(modalities),
        labels={0: "background", 1: "organ"},
        root="/nowhere",
        cases=tuple(cases),
    )


def brain(preprocessing: dict[str, Any]) -> Plan:
    task = Task(name="organ", source="x", plan={"preprocessing": preprocessing})
    return make_plan(manifest(modalities=BRAIN), fingerprint(BRAIN), task)


def planned(over: dict[str, Any] | None = None, names: Sequence[str] = NAMES) -> Plan:
    return make_plan(manifest(names), fingerprint(), Task(name="organ", source="x", plan=over or {}))


class TestSpacing:
    def test_it_is_the_median_of_each_axis(self):
        found = fingerprint(spacings_mm=[(0.7, 0.8, 1.0), (0.9, 0.8, 2.0), (0.8, 0.8, 1.5)])
        assert propose_preprocessing(found)["spacing_mm"] == (0.8, 0.8, 1.5)

    def test_thick_slices_are_made_as_fine_as_in_the_finest_tenth(self):
        thick = [(0.8, 0.8, float(mm)) for mm in np.linspace(2, 7, 11)]
        assert propose_preprocessing(fingerprint(spacings_mm=thick))["spacing_mm"] == (0.8, 0.8, 2.5)

    def test_but_no_finer_than_the_finest_axis(self):
        found = fingerprint(spacings_mm=[(0.8, 0.8, 0.5)] * 4 + [(0.8, 0.8, 6.0)] * 6)
        assert propose_preprocessing(found)["spacing_mm"] == (0.8, 0.8, 0.8)

    def test_slices_up_to_three_times_as_thick_keep_the_median(self):
        found = fingerprint(spacings_mm=[(1.0, 1.0, 3.0)] * 6 + [(1.0, 1.0, 1.0)] * 4)
        assert propose_preprocessing(found)["spacing_mm"] == (1.0, 1.0, 3.0)

    def test_the_thick_axis_may_be_any(self):
        found = fingerprint(spacings_mm=[(5.0, 0.8, 0.8)] * 8 + [(2.0, 0.8, 0.8)] * 2)
        assert propose_preprocessing(found)["spacing_mm"] == (2.0, 0.8, 0.8)


class TestIntensity:
    def test_ct_gets_a_window_from_the_organ_s_percentiles_and_the_body_as_foreground(self):
        plan = planned()
        assert plan.preprocessing.intensity == (IntensityWindow(window=(-40.5, 190.25)),)
        assert plan.preprocessing.foreground_above == -500

    @pytest.mark.parametrize("name", ["CT", "ct"])
    def test_ct_is_known_by_its_name(self, name):
        assert propose_preprocessing(fingerprint([name]))["intensity"][0]["rule"] == "window"

    def test_mr_gets_a_z_score_over_what_is_above_zero(self):
        proposal = propose_preprocessing(fingerprint(["T1", "T2", "FLAIR"]))
        assert proposal["intensity"] == [{"rule": "zscore"}] * 3
        assert proposal["foreground_above"] == -500, "as the fingerprint says"

    def test_each_channel_has_the_rule_of_its_modality(self):
        task = Task(name="tumour", source="x")
        both = make_plan(manifest(modalities=("CT", "PET")), fingerprint(["CT", "PET"]), task)
        assert both.preprocessing.intensity == (IntensityWindow(window=(-40.5, 190.25)), ZScore())
        assert both.channels == ("CT", "PET")

    @pytest.mark.parametrize(
        ("given", "rules"),
        [
            (
                {"T1": {"rule": "zscore", "over": "volume"}, "T2": {"rule": "min_max"}},
                (ZScore(over="volume"), MinMax(), ZScore()),
            ),
            ({"T1": {"over": "nonzero"}}, (ZScore(over="nonzero"), ZScore(), ZScore())),
            (
                {"T2": {"rule": "max"}, "others": {"rule": "mean"}},
                (Mean(), Maximum(), Mean()),
            ),
            ({}, (ZScore(),) * 3),
        ],
        ids=["by name", "a part of a rule", "the others", "none"],
    )
    def test_rules_may_be_given_by_the_names_of_channels(self, given, rules):
        plan = brain({"intensity": given})
        assert plan.preprocessing.intensity == rules
        assert isinstance(plan.model_dump(mode="json")["preprocessing"]["intensity"], list)

    def test_an_override_names_a_channel_beside_those_of_the_task(self):
        task = read_task("brain", ["preprocessing.intensity.T2.rule=min_max"])
        plan = make_plan(manifest(modalities=BRAIN), fingerprint(BRAIN), task)
        others = ZScore(over="nonzero")
        assert plan.preprocessing.intensity == (others, MinMax(), others)

    def test_another_rule_takes_the_place_of_the_whole_rule(self):
        task = read_task("brain", ["preprocessing.intensity.others={rule: max}"])
        plan = make_plan(manifest(modalities=BRAIN), fingerprint(BRAIN), task)
        assert plan.preprocessing.intensity == (Maximum(),) * 3

    @pytest.mark.parametrize(
        ("given", "told"),
        [
            ({"T3": {"rule": "max"}}, "no channel is called 'T3'; there are T1, T2, FLAIR, and 'others' for"),
            ({"T1": {"rule": "median"}}, "plan.preprocessing.intensity.0"),
            ({"T1": 3}, "plan.preprocessing.intensity.0"),
        ],
    )
    def test_a_channel_or_a_rule_that_there_is_not_is_one_line(self, given, told):
        with pytest.raises(SeglineError, match=told) as error:
            brain({"intensity": given})
        assert "\n" not in str(error.value)


class TestPatch:
    def test_of_volumes_that_a_patch_could_hold_it_takes_three_quarters_of_each_edge(self):
        assert propose_patch([(35, 51, 36)]) == (32, 40, 32)

    def test_large_volumes_are_cut_to_a_cube(self):
        assert propose_patch([(270, 270, 200)]) == (96, 96, 96)

    def test_a_flat_volume_gets_a_wide_patch(self):
        assert propose_patch([(300, 300, 20)]) == (208, 208, 20)

    def test_an_axis_that_is_cut_is_rounded_down_and_one_that_is_not_up(self):
        assert propose_patch([(270, 270, 90)]) == (96, 96, 96)

    def test_it_follows_the_median_case(self):
        assert propose_patch([(35, 51, 36), (20, 20, 20), (400, 400, 400)]) == (32, 40, 32)

    @pytest.mark.parametrize("sizes", itertools.product((3, 11, 33, 70, 97, 161, 513), repeat=3), ids=str)
    def test_any_shape_gives_a_patch_that_its_network_can_halve(self, sizes):
        patch = propose_patch([sizes])
        strides = np.prod(propose_network(patch)["strides"], axis=0)
        assert not (np.array(patch) % strides).any()
        deepest = np.array(patch) // strides
        assert (deepest >= np.minimum(SMALLEST_FEATURE_MAP, sizes)).all()
        assert np.prod(patch) <= 1.6 * PATCH_VOXELS

    def test_a_batch_is_as_large_as_memory_for_two_flagship_patches_allows(self):
        assert propose_training((96, 96, 96))["batch_size"] == 2
        assert propose_training((80, 80, 80))["batch_size"] == BATCH_VOXELS // 80**3
        assert propose_training((40, 56, 40))["batch_size"] == LARGEST_BATCH
        assert propose_training((160, 160, 160))["batch_size"] == 2


class TestNetwork:
    def test_a_cube_is_halved_on_all_axes(self):
        assert propose_network((96, 96, 96)) == {
            "name": "unet",
            "channels": [16, 32, 64, 128, 256],
            "strides": [(2, 2, 2)] * 4,
        }

    def test_a_short_axis_is_halved_at_the_deeper_levels_only(self):
        assert propose_network((96, 96, 24))["strides"] == [(2, 2, 1), (2, 2, 1), (2, 2, 2), (2, 2, 2)]

    def test_a_small_patch_s_begins_at_the_plan_s_spacing(self):
        assert propose_network((48, 48, 48))["strides"] == [(1, 1, 1), (2, 2, 2), (2, 2, 2)]
        assert propose_network((56, 56, 48))["strides"] == [(2, 2, 2)] * 3

    def test_even_the_smallest_patch_has_two_levels(self):
        assert propose_network((4, 4, 4)) == {
            "name": "unet",
            "channels": [16, 32],
            "strides": [(1, 1, 1)],
        }


class TestProposal:
    def test_windows_grow_from_the_patch_to_hold_whole_volumes(self):
        plan = planned({"preprocessing": {"spacing_mm": [1.5, 1.5, 2]}})  # 160x150x150 voxels
        assert plan.inference.smallest_window == plan.training.patch_size == (96, 96, 96)
        assert plan.inference.largest_window == (160, 160, 160)

    def test_windows_of_a_network_with_instance_norm_are_the_patch(self):
        plan = planned({"network": {"norm": "instance"}})
        assert plan.inference.smallest_window == plan.inference.largest_window == (96, 96, 96)

    def test_a_volume_too_large_for_one_window_is_cut_where_that_costs_least(self):
        x, y, z = cheapest_window([(512, 512, 100)] * 3, (96, 96, 96), (16, 16, 16))
        assert x * y * z <= VOXELS_AT_ONCE
        assert (x, y, z) in {(272, 512, 112), (512, 272, 112)}

    def test_windows_are_multiples_of_the_stride_even_where_a_volume_is_not(self):
        assert cheapest_window([(97, 65, 30)], (64, 64, 16), (16, 16, 4)) == (112, 80, 32)

    def test_it_names_its_task_and_data_set(self):
        plan = planned()
        assert (plan.task, plan.dataset_digest) == ("organ", manifest().digest)
        assert plan.labels == {0: "background", 1: "organ"}

    def test_the_patch_fits_the_shapes_at_the_plan_s_spacing_not_the_files(self):
        plan = planned({"preprocessing": {"spacing_mm": [8, 8, 8]}})
        assert plan.training.patch_size == (24, 24, 32)

    def test_the_same_input_gives_the_same_plan(self):
        assert planned().digest == planned().digest


OVERRIDES: list[tuple[str, Any]] = [
    ("seed", 7),
    ("preprocessing.spacing_mm", (2.0, 2.0, 3.0)),
    ("preprocessing.intensity", (ZScore(clip_sd=3.0),)),
    ("preprocessing.foreground_above", None),
    ("preprocessing.margin_mm", 0.0),
    ("training.patch_size", (64, 64, 32)),
    ("training.batch_size", 3),
    ("training.max_minutes", 5.0),
    ("training.augmentation.flip", 0.5),
    ("training.augmentation.rotation_degrees", 5.0),
    ("network.norm", "instance"),
    ("network.channels", (8, 16, 32, 64, 128)),
    ("inference.largest_window", (128, 128, 128)),
    ("inference.overlap", (8, 8, 8)),
    ("gate.nsd_tolerance_mm", 1.0),
    ("gate.floor", 0.85),
]


class TestOverride:
    @pytest.mark.parametrize(("path", "value"), OVERRIDES, ids=[path for path, _ in OVERRIDES])
    def test_any_part_can_be_overridden(self, path, value):
        plain = [rule.model_dump() for rule in value] if path == "preprocessing.intensity" else value
        over = Task(name="organ", source="x").override(path, plain).plan
        found: Any = planned(over)
        for key in path.split("."):
            found = getattr(found, key)
        assert found == value

    def test_its_neighbours_keep_what_is_proposed(self):
        plan, proposal = planned({"training": {"augmentation": {"flip": 0.5}}}), planned()
        expected = proposal.training.augmentation.model_copy(update={"flip": 0.5})
        assert plan.training == proposal.training.model_copy(update={"augmentation": expected})

    def test_the_network_the_batch_and_the_window_follow_an_overridden_patch(self):
        plan = planned({"training": {"patch_size": [64, 64, 32]}})
        assert plan.network.total_stride == (8, 8, 4)
        assert plan.training.batch_size == LARGEST_BATCH
        assert plan.inference.smallest_window == (64, 64, 32)

    @pytest.mark.parametrize(
        ("over", "told"),
        [
            ({"surprise": 1}, "surprise"),
            ({"training": {"surprise": 1}}, "plan.training.surprise"),
            ({"training": {"augmentation": {"surprise": 1}}}, "plan.training.augmentation.surprise"),
            ({"preprocessing": {"spacing": [1, 1, 1]}}, "plan.preprocessing.spacing"),
            ({"gate": {"surprise": 1}}, "plan.gate.surprise"),
            ({"network": {"surprise": 1}}, "plan.network.surprise"),
            ({"inference": {"surprise": 1}}, "plan.inference.surprise"),
            ({"split": {"surprise": 1}}, "plan.split.surprise"),
            ({"split": {"train": ["case_00"], "surprise": 1}}, "plan.split"),
            ({"seed": "many"}, "seed"),
            ({"training": {"epochs": "many"}}, "plan.training.epochs"),
            ({"training": [3]}, r"plan.training: a mapping is needed, not \[3\]"),
            ({"training": None}, "plan.training: a mapping is needed, not None"),
            ({"training": {"augmentation": 3}}, "plan.training.augmentation"),
            ({"preprocessing": {"spacing_mm": 1.5}}, "plan.preprocessing.spacing_mm"),
            ({"training": {"epochs": "1e400"}}, "plan.training.epochs"),
            ({"training": {"epochs": {"x": 1}}}, "plan.training.epochs"),
            ({"training": 3}, "plan.training: a mapping is needed"),
            ({"ensemble": 3, "network": {"members": 2}}, "plan.ensemble: a mapping is needed"),
            ({"gate": {"float32": {1: 2}}}, r"plan.gate.float32"),
            ({"preprocessing": {"spacing_mm": [1, 1, ".inf"]}}, "plan.preprocessing.spacing_mm"),
            ({"preprocessing": {"intensity": {"rule": "zscore"}}}, "plan.preprocessing.intensity"),
            ({"preprocessing": {"intensity": []}}, "1 channels need as many intensity rules"),
            ({"gate": {"nsd_tolerance_mm": -1}}, "plan.gate.nsd_tolerance_mm"),
            ({"split": {"test_share": "half"}}, "plan.split.test_share"),
            ({"split": {"test_share": 1.5}}, "plan.split.test_share"),
            ({"split": {"folds": "five"}}, "plan.split.folds"),
            ({"split": [1]}, "plan.split: a mapping is needed"),
            ({"training": {"patch_size": [100, 100, 100]}}, "training.patch_size .* must be a multiple"),
            (
                {"inference": {"largest_window": [100, 100, 100]}},
                "inference.largest_window .* must be a multiple",
            ),
            ({"network": {"channels": [8, 16]}}, "plan.network: .* 2 levels need 1 strides"),
        ],
        ids=str,
    )
    def test_what_does_not_fit_is_refused_by_task_and_key(self, over, told):
        with pytest.raises(SeglineError, match=told) as error:
            planned(over)
        assert str(error.value).startswith("task organ: plan")
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize(
        ("key", "value"),
        [("task", "liver"), ("labels", {0: "a", 1: "b"}), ("channels", ["MR"]), ("dataset_digest", "0")],
    )
    def test_what_the_data_set_says_cannot_be_overridden(self, key, value):
        with pytest.raises(SeglineError, match=f"task organ: plan.{key}: .* take it out"):
            planned({key: value})


class TestSplitOfATask:
    def test_a_rule_can_be_given(self):
        split = planned({"split": {"folds": 5, "fold": 2, "seed": 3}}).split
        assert split.model_dump() == {
            part: tuple(names)
            for part, names in split_cases(NAMES, SplitRule(folds=5, fold=2, seed=3)).items()
        }

    def test_cases_can_be_named(self):
        split = planned({"split": {"train": NAMES[2:], "val": NAMES[:1], "test": NAMES[1:2]}}).split
        assert (split.train, split.val, split.test) == (tuple(NAMES[2:]), ("case_00",), ("case_01",))

    @pytest.mark.parametrize("part", ["train", "val", "test"])
    def test_a_case_that_does_not_exist_is_refused(self, part):
        named = {"train": ["case_00"], "val": ["case_01"], "test": ["case_02"]}
        named[part] = ["case_99"]
        with pytest.raises(
            SeglineError, match=r"task organ: plan\.split: the data set has no case case_99; its first is"
        ):
            planned({"split": named})

    @pytest.mark.parametrize(
        ("named", "told"),
        [
            ({"train": ["case_00"]}, "plan.split.val: Field required"),
            ({"train": ["case_00"], "val": ["case_00"], "test": ["case_01"]}, "case_00 is in the split more"),
            ({"train": [], "val": ["case_00"], "test": ["case_01"]}, "plan.split.train"),
            ({"train": [0], "val": ["case_00"], "test": ["case_01"]}, "plan.split.train"),
        ],
    )
    def test_named_parts_must_be_whole_and_apart(self, named, told):
        with pytest.raises(SeglineError, match=f"task organ: .*{told}"):
            planned({"split": named})

    @pytest.mark.parametrize(
        ("rule", "told"), [({"folds": 20}, "fold 0 of 20"), ({"test_share": 1.0}, "leave none")]
    )
    def test_a_rule_that_cannot_be_followed_names_the_task(self, rule, told):
        with pytest.raises(SeglineError, match=rf"task organ: plan\.split: .*{told}"):
            planned({"split": rule})

    def test_a_fold_below_the_first_is_refused(self):
        with pytest.raises(SeglineError, match=r"task organ: plan\.split\.fold: .*greater than or equal"):
            planned({"split": {"folds": 5, "fold": -1}})

    def test_two_cases_are_too_few_for_any_task(self):
        found = fingerprint(spacings_mm=[(1.0, 1.0, 1.0)] * 2, shapes=[(64, 64, 64)] * 2)
        with pytest.raises(SeglineError, match=r"task organ: plan\.split: 2 labelled cases"):
            make_plan(manifest(NAMES[:2]), found, Task(name="organ", source="x"))


class TestFolds:
    """A plan's folds."""

    def tasks(self, **split: Any) -> list[Task]:
        return fold_tasks(Task(name="test", source="none", plan={"split": split}))

    def test_every_case_is_tested_in_one_fold(self):
        whole = planned()
        tested = [name for task in self.tasks(folds=3) for name in resplit(whole, task).split.test]
        assert sorted(tested) == NAMES

    def test_a_fold_is_the_split_that_a_plan_of_its_own_would_have(self):
        fold = self.tasks(folds=5, seed=3)[2]
        assert resplit(planned(), fold) == planned({"split": {"folds": 5, "fold": 2, "seed": 3}})

    def test_nothing_but_the_split_changes(self):
        whole = planned({"training": {"epochs": 7}})
        for task in self.tasks(folds=2):
            assert resplit(whole, task).model_copy(update={"split": whole.split}) == whole

    @pytest.mark.parametrize("split", [{}, {"folds": 1}])
    def test_fewer_than_two_folds_are_refused(self, split):
        with pytest.raises(SeglineError, match=r"task test: plan\.split\.folds: .* 2 or more"):
            self.tasks(**split)

    def test_a_task_can_list_them(self):
        listed = [NAMES[:3], NAMES[3:5]]
        tasks = self.tasks(folds=2, fold_cases=listed)
        assert [list(resplit(planned(), task).split.test) for task in tasks] == listed

    @pytest.mark.parametrize(
        ("listed", "told"),
        [
            ([["case_00"], ["case_99"]], r"split\.fold_cases: .* no case case_99"),
            ([["case_00"], []], r"split\.fold_cases: fold 1 has no case to test"),
        ],
    )
    def test_a_list_that_does_not_fit_names_the_task(self, listed, told):
        with pytest.raises(SeglineError, match=rf"task organ: plan\.{told}"):
            planned({"split": {"folds": 2, "fold_cases": listed}})

    @pytest.mark.parametrize(
        "split", [{}, {"train": NAMES[4:], "val": NAMES[3:4], "test": NAMES[:3]}, {"test_share": 0.4}]
    )
    def test_those_of_an_ensemble_are_without_the_cases_it_is_tested_on(self, split):
        over = {"split": {**split, "folds": 3}, "ensemble": {"members": 3}}
        whole, tasks = planned(over), fold_tasks(Task(name="test", source="none", plan=over))
        assert whole.split == planned({"split": split}).split
        folds = [resplit(whole, task) for task in tasks]
        assert sorted(name for fold in folds for name in fold.split.test) == sorted(
            [*whole.split.train, *whole.split.val]
        )
        for fold in folds:
            assert fold.ensemble.members == 1
            assert not {*fold.split.train, *fold.split.val} & {*whole.split.test}

    def test_those_of_an_ensemble_can_be_listed(self):
        listed = [NAMES[:4], NAMES[4:8]]
        over = {"split": {"folds": 2, "fold_cases": listed}, "ensemble": {"members": 2}}
        whole, tasks = planned(over), fold_tasks(Task(name="test", source="none", plan=over))
        for task, cases in zip(tasks, listed, strict=True):
            assert set(resplit(whole, task).split.test) == set(cases) - set(whole.split.test)

    def test_an_ensemble_has_a_network_a_fold(self):
        task = Task(name="test", source="none", plan={"split": {"folds": 5}, "ensemble": {"members": 3}})
        with pytest.raises(SeglineError, match=r"task test: plan\.ensemble\.members: 3 of 5 folds"):
            fold_tasks(task)

    def test_cases_that_are_named_have_no_folds(self):
        with pytest.raises(SeglineError, match=r"task test: plan\.split\.test"):
            self.tasks(folds=2, test=["case_00"])


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_gets_a_patch_that_it_takes(name: str, phantoms: Manifest):
    coarse = {"preprocessing": {"spacing_mm": [8, 8, 8]}, "network": {"name": name}}
    task, answers = Task(name="small", source="none", plan=coarse), NETWORKS[name].answers
    plan = make_plan(phantoms, take_fingerprint(phantoms), task, answers=answers)
    assert plan.network.name == name
    assert training_bytes(plan) > 0
    require_affordable(plan, "plan")
    windows = torch.zeros(2, 1, *plan.training.patch_size, device="meta")
    scores = build_without_memory(plan).train()(windows)
    assert tuple(scores.shape) == plan.scores_shape(windows.shape)


def test_a_patch_that_a_task_names_is_not_made_another():
    named = {"network": {"name": "basic_unet"}, "training": {"patch_size": [40, 40, 40]}}
    with pytest.raises(SeglineError, match=r"training.patch_size \(40, 40, 40\) must be a multiple"):
        planned(named)


def test_a_network_that_cannot_take_so_many_channels_is_told():
    names = ("T1", "T2", "FLAIR")
    task = Task(name="small", source="none", plan={"network": {"name": "vnet"}})
    with pytest.raises(SeglineError, match="network vnet: 3 channels: its first 16 feature maps"):
        make_plan(manifest(modalities=names), fingerprint(names), task)


def test_a_patch_of_one_stride_is_enlarged_for_instance_norm():
    small = fingerprint(spacings_mm=((1, 1, 1),) * 10, shapes=((24, 24, 24),) * 10)
    task = Task(name="small", source="none", plan={"network": {"name": "swin_unetr"}})
    assert make_plan(manifest(), small, task).training.patch_size == (64, 32, 32)
