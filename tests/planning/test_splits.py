"""Which cases train, which choose the weights, and which are only tested."""

import pytest

from segline.common.errors import SeglineError
from segline.plan import Split
from segline.planning.splits import SplitRule, continued_split, split_cases

NAMES = [f"case_{number:02d}" for number in range(10)]


def test_every_case_is_in_one_part():
    split = split_cases(NAMES, SplitRule())
    assert sorted([*split["train"], *split["val"], *split["test"]]) == NAMES


@pytest.mark.parametrize(
    ("count", "sizes"), [(3, (1, 1, 1)), (4, (2, 1, 1)), (10, (7, 1, 2)), (41, (29, 4, 8))]
)
def test_a_fifth_is_for_test_a_tenth_for_validation_and_at_least_one_each(count, sizes):
    split = split_cases([f"{number:02d}" for number in range(count)], SplitRule())
    assert tuple(len(split[part]) for part in ("train", "val", "test")) == sizes


def test_shares_can_be_chosen():
    split = split_cases(NAMES, SplitRule(test_share=0.5, val_share=0.3))
    assert [len(split[part]) for part in ("train", "val", "test")] == [2, 3, 5]


def test_it_depends_on_the_seed_and_not_on_the_order():
    assert split_cases(NAMES, SplitRule()) == split_cases(NAMES[::-1], SplitRule())
    assert split_cases(NAMES, SplitRule()) != split_cases(NAMES, SplitRule(seed=1))


@pytest.mark.parametrize("folds", [2, 3, 5, 10])
def test_folds_test_every_case_once(folds):
    splits = [split_cases(NAMES, SplitRule(folds=folds, fold=fold)) for fold in range(folds)]
    assert sorted(name for split in splits for name in split["test"]) == NAMES
    for split in splits:
        assert sorted([*split["train"], *split["val"], *split["test"]]) == NAMES


@pytest.mark.parametrize("listed", [[], [NAMES[:2], NAMES[2:4], NAMES[5:8]]])
def test_folds_validate_on_cases_of_their_own(listed):
    rule = SplitRule(folds=3, val_share=0.2, fold_cases=listed)
    splits = [split_cases(NAMES, rule.model_copy(update={"fold": fold})) for fold in range(3)]
    validating = [name for split in splits for name in split["val"]]
    assert len(validating) == len(set(validating)) == 6
    for split, after in zip(splits, [*splits[1:], splits[0]], strict=True):
        assert set(split["val"]) <= set(after["test"])


@pytest.mark.parametrize(("folds", "fold"), [(1, 0), (11, 0), (5, 5)])
def test_a_fold_that_does_not_exist_is_refused(folds, fold):
    with pytest.raises(SeglineError, match=f"split: fold {fold} of {folds} over 10 cases does not exist"):
        split_cases(NAMES, SplitRule(folds=folds, fold=fold))


@pytest.mark.parametrize("count", [0, 1, 2])
def test_fewer_than_three_cases_are_refused(count):
    with pytest.raises(SeglineError, match=f"split: {count} labelled cases?, at least 3 are needed"):
        split_cases(NAMES[:count], SplitRule())


@pytest.mark.parametrize("share", [0.95, 1.0])
def test_a_test_part_that_leaves_none_to_train_and_validate_is_refused(share):
    with pytest.raises(SeglineError, match="cases for test leave none to train or validate"):
        split_cases(NAMES, SplitRule(test_share=share))


def test_listed_folds_are_the_test_cases_and_the_rest_of_the_cases_is_trained_on():
    listed = [NAMES[:2], NAMES[5:8]]
    for fold, tested in enumerate(listed):
        split = split_cases(NAMES, SplitRule(folds=2, fold=fold, fold_cases=listed))
        assert split["test"] == tested
        assert sorted([*split["train"], *split["val"], *tested]) == NAMES


def test_listed_folds_wait_until_folds_are_asked_for():
    assert split_cases(NAMES, SplitRule(fold_cases=[NAMES[:2], NAMES[2:4]])) == split_cases(
        NAMES, SplitRule()
    )


@pytest.mark.parametrize(
    ("listed", "told"),
    [
        ([["case_00"], ["case_99"]], "the data set has no case case_99; its first is case_00"),
        ([["case_00"], ["case_01", "case_00"]], "case case_00 is listed more than once"),
        ([["case_00", "case_00"], ["case_01"]], "case case_00 is listed more than once"),
        ([["case_00"], ["case_01"], ["case_02"]], "3 folds are listed, 2 are asked for"),
    ],
)
def test_listed_folds_that_do_not_fit_are_refused(listed, told):
    with pytest.raises(SeglineError, match=rf"split\.fold_cases: {told}"):
        split_cases(NAMES, SplitRule(folds=2, fold_cases=listed))


def test_two_folds_of_three_cases_leave_too_few():
    with pytest.raises(SeglineError, match="split: 2 of 3 cases for test leave none"):
        split_cases(NAMES[:3], SplitRule(folds=2))


TWINS = [["case_00", "case_05"], ["case_02", "case_03", "case_09"]]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("folds", [0, 3])
def test_cases_that_are_one_image_stay_on_one_side(seed, folds):
    for fold in range(max(folds, 1)):
        split = split_cases(NAMES, SplitRule(seed=seed, folds=folds, fold=fold), TWINS)
        assert sorted([*split["train"], *split["val"], *split["test"]]) == NAMES
        assert split["twins"] == TWINS
        Split.model_validate(split)


def test_a_split_that_parts_twins_is_refused():
    told = "cases case_00 and case_05 are one image, one in train and one in test; put both on one side"
    with pytest.raises(ValueError, match=told):
        Split(train=("case_00",), val=("case_01",), test=("case_05",), twins=(("case_00", "case_05"),))


def test_twins_keep_together_under_other_names():
    split = Split(train=("a", "b"), val=("c",), test=("d",), twins=(("a", "b"),))
    assert split.renamed({"a": "x"}).twins == (("x", "b"),)


def test_a_split_that_goes_on_knows_the_twins():
    split = Split(train=("a", "b"), val=("c",), test=("d",), twins=(("a", "b"),))
    assert continued_split(split, ["a", "b", "c", "d", "e"])["twins"] == [["a", "b"]]


STRATA = {f"case_{number:03d}": float(number % 10 == 0) for number in range(100)}
"""A tenth is of one class."""


class TestStrata:
    """Of what cases have, such as a class, every part has its share."""

    def rare(self, names):
        return sum(STRATA[name] for name in names)

    def test_every_part_has_its_share(self):
        split = split_cases(list(STRATA), SplitRule(), strata=STRATA)
        assert [self.rare(split[part]) for part in ("train", "val", "test")] == [7, 1, 2]
        assert Split(**split).strata == STRATA

    def test_so_has_every_fold(self):
        folds = [split_cases(list(STRATA), SplitRule(folds=5, fold=n), strata=STRATA) for n in range(5)]
        assert [self.rare(fold["test"]) for fold in folds] == [2] * 5
        assert len({name for fold in folds for name in fold["test"]}) == 100

    def test_twins_stay_together(self):
        twins = [["case_000", "case_001"]]
        for seed in range(20):
            split = split_cases(list(STRATA), SplitRule(seed=seed), twins, STRATA)
            assert len({part for part in ("train", "val", "test") if {*twins[0]} & {*split[part]}}) == 1
            assert Split(**split)

    def test_new_cases_are_shared_out_alike(self):
        old = Split(**split_cases(list(STRATA)[:20], SplitRule(), strata=STRATA))
        split = continued_split(old, list(STRATA), strata=STRATA)
        assert {*old.test} <= {*split["test"]}
        assert self.rare(set(split["test"]) - {*old.test}) == 2

    def test_they_are_renamed_with_the_cases(self):
        split = Split(**split_cases(list(STRATA), SplitRule(), strata=STRATA))
        renamed = split.renamed({"case_000": "x"})
        assert renamed.strata["x"] == 1.0 and "case_000" not in renamed.strata
