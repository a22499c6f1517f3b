import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segline.backends import open_backend
from segline.common.documents.names import EVALUATION
from segline.common.errors import SeglineError
from segline.data.manifest import Manifest
from segline.data.verification import verify
from segline.evaluation.estimates import Estimate
from segline.evaluation.figures import SEGMENTATION
from segline.evaluation.masks.overlap import dice
from segline.evaluation.records import WORST_CASES, Evaluation
from segline.evaluation.scoring import evaluate
from segline.imaging.files import read_volume, write_volume
from segline.imaging.geometry import Grid, Reorientation
from segline.imaging.volume import Volume
from segline.model.package import Model
from segline.plan import Plan

from ..conftest import small_plan

SHAPE = (16, 12, 20)
SPACING_MM = (1.0, 2.0, 1.0)
ORIENTATIONS = ("RAS", "LPS", "LAS", "PIR")

Box = tuple[int, int]
"""First and last voxel along x of a label that fills the other axes from 4 to 8."""

Boxes = Mapping[int, Box]
"""The box of each class."""


class ByIntensity:
    """A backend that reads the class off the intensity, so that an image says what is predicted."""

    name = "by-intensity"
    version = "1"
    precision = "float32"
    device = "cpu"

    def __init__(self, classes: int) -> None:
        self.levels = np.linspace(0, 1, classes, dtype=np.float32).reshape(1, -1, 1, 1, 1)

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        """The nearest class scores highest."""
        return -100 * np.abs(windows[:, :1] - self.levels)


def classes_of(boxes: Boxes) -> np.ndarray:
    classes = np.zeros(SHAPE, np.uint8)
    for index, (first, last) in boxes.items():
        classes[first : last + 1, 4:8, 4:8] = index
    return classes


def write_dataset(folder: Path, cases: Mapping[str, tuple[Boxes, Boxes]], values: Sequence[int]) -> Manifest:
    """Cases with a truth and what :class:`ByIntensity` will predict; one of ``values`` a class."""
    ras = Grid(SHAPE, np.diag([*SPACING_MM, 1.0]))
    for number, (name, (truth, predicted)) in enumerate(cases.items()):
        axes = Reorientation.between("RAS", ORIENTATIONS[number % len(ORIENTATIONS)])
        affine = axes.apply_to_grid(ras).affine
        image = (classes_of(predicted) / (len(values) - 1)).astype(np.float32)
        label = np.array(values, np.uint8)[classes_of(truth)]
        write_volume(folder / f"imagesTr/{name}.nii.gz", Volume(axes.apply(image)[None], affine))
        write_volume(folder / f"labelsTr/{name}.nii.gz", Volume(axes.apply(label)[None], affine))
    index = {
        "name": "boxes",
        "modality": {"0": "MR"},
        "labels": {str(value): f"label{index}" for index, value in enumerate(values)},
        "training": [{"image": f"imagesTr/{n}.nii.gz", "label": f"labelsTr/{n}.nii.gz"} for n in cases],
    }
    (folder / "dataset.json").write_text(json.dumps(index))
    return verify(folder)


@pytest.fixture
def evaluated(tmp_path: Path) -> Callable[..., Evaluation]:
    """Evaluates cases given as name to (truth, prediction); the masks lie in ``tmp_path / "masks"``."""

    def run(cases: Mapping[str, tuple[Boxes, Boxes]], values: Sequence[int] = (0, 1)) -> Evaluation:
        manifest = write_dataset(tmp_path / "data", cases, values)
        plan = small_plan(
            dataset_digest=manifest.digest,
            preprocessing={"spacing_mm": SPACING_MM},
            split={"train": ["t"], "val": ["v"], "test": list(cases)},
        ).model_copy(update={"labels": manifest.labels})
        return evaluate(Model(tmp_path, plan), ByIntensity(len(values)), manifest, tmp_path / "masks")

    return run


def test_a_perfect_backend_has_perfect_figures(evaluated: Callable[..., Evaluation]) -> None:
    boxes = {1: (4, 9)}
    evaluation = evaluated({name: (boxes, boxes) for name in "abcd"})
    means = {metric: estimate.mean for metric, estimate in evaluation.overall.items()}
    assert means == {
        "dice": 1,
        "nsd": 1,
        "hd95_mm": 0,
        "sensitivity": 1,
        "relative_volume_error": 0,
        "lesion_detection_rate": 1,
    }
    assert [case.case for case in evaluation.cases] == list("abcd")


def test_figures_are_those_that_a_pencil_gives(evaluated: Callable[..., Evaluation]) -> None:
    evaluation = evaluated({"a": ({1: (4, 7)}, {1: (6, 7)})})
    figures = evaluation.cases[0].figures["label1"]
    assert figures["dice"] == pytest.approx(2 * 2 / (4 + 2))
    assert figures["sensitivity"] == pytest.approx(0.5)
    assert figures["relative_volume_error"] == pytest.approx(-0.5)
    assert figures["lesion_detection_rate"] == 1
    assert figures["hd95_mm"] == pytest.approx(2, abs=0.5)
    assert figures["truth_ml"] == pytest.approx(4 * 4 * 4 * 2 / 1000)
    assert figures["prediction_ml"] == pytest.approx(2 * 4 * 4 * 2 / 1000)


def test_each_mask_is_saved_on_the_grid_of_its_label(
    evaluated: Callable[..., Evaluation], tmp_path: Path
) -> None:
    evaluation = evaluated({name: ({1: (4, 7)}, {1: (5, 9)}) for name in "abcd"})
    for case in evaluation.cases:
        mask = read_volume(tmp_path / "masks" / case.answer)
        label = read_volume(tmp_path / f"data/labelsTr/{case.case}.nii.gz")
        assert mask.array.shape == label.array.shape
        assert np.allclose(mask.affine, label.affine)
        assert mask.array.dtype == np.uint8
        assert dice(label.array[0] == 1, mask.array[0] == 1) == case.figures["label1"]["dice"]
    assert len({read_volume(tmp_path / f"masks/{n}.nii.gz").grid.orientation for n in "abcd"}) == 4


def test_each_label_has_its_own_figures_and_overall_is_their_mean(
    evaluated: Callable[..., Evaluation],
) -> None:
    truth = {1: (2, 5), 2: (8, 11)}
    evaluation = evaluated({"a": (truth, truth), "b": (truth, {1: (2, 5), 2: (10, 11)})}, values=(0, 1, 2))
    assert evaluation.by_label["label1"]["dice"].mean == 1
    assert evaluation.by_label["label2"]["dice"].mean == pytest.approx((1 + 2 / 3) / 2)
    assert evaluation.overall["dice"].mean == pytest.approx((1 + (1 + 2 / 3) / 2) / 2)
    assert evaluation.cases[1].score == pytest.approx((1 + 2 / 3) / 2)


def test_a_label_confused_with_another_counts_against_both(evaluated: Callable[..., Evaluation]) -> None:
    evaluation = evaluated({"a": ({1: (4, 7)}, {2: (4, 7)})}, values=(0, 1, 2))
    assert evaluation.by_label["label1"]["dice"].mean == 0
    assert evaluation.by_label["label2"]["dice"].mean == 0


def test_label_values_need_not_be_consecutive(evaluated: Callable[..., Evaluation], tmp_path: Path) -> None:
    truth = {1: (2, 5), 2: (8, 11)}
    evaluation = evaluated({"a": (truth, truth)}, values=(0, 3, 200))
    assert evaluation.overall["dice"].mean == 1
    assert set(np.unique(read_volume(tmp_path / "masks/a.nii.gz").array)) == {0, 3, 200}
    assert (evaluation.cases[0].figures["label1"]["truth_ml"] or 0) > 0


def test_an_empty_truth_that_is_left_empty_is_right(evaluated: Callable[..., Evaluation]) -> None:
    figures = evaluated({"a": ({}, {})}).cases[0].figures["label1"]
    assert (figures["dice"], figures["nsd"], figures["hd95_mm"]) == (1, 1, 0)
    assert figures["sensitivity"] is None


def test_an_empty_truth_that_is_filled_is_wrong_and_its_hd95_missing(
    evaluated: Callable[..., Evaluation],
) -> None:
    boxes = {1: (4, 7)}
    evaluation = evaluated({"a": ({}, boxes), "b": (boxes, boxes)})
    assert evaluation.cases[0].figures["label1"]["dice"] == 0
    assert evaluation.overall["dice"].mean == 0.5
    hd95, sensitivity = evaluation.overall["hd95_mm"], evaluation.overall["sensitivity"]
    assert (hd95.mean, hd95.count, hd95.missing) == (0, 1, 1)
    assert (sensitivity.mean, sensitivity.count, sensitivity.missing) == (1, 1, 1)


def test_a_label_that_was_not_found_at_all_is_not_hidden_behind_the_others(
    evaluated: Callable[..., Evaluation],
) -> None:
    truth = {1: (2, 5), 2: (8, 11)}
    evaluation = evaluated({"a": (truth, {1: (2, 5)})}, values=(0, 1, 2))
    assert evaluation.by_label["label1"]["hd95_mm"].mean == 0
    assert evaluation.by_label["label2"]["hd95_mm"].missing == 1
    assert evaluation.overall["hd95_mm"].missing == 1
    assert evaluation.overall["sensitivity"].mean == 0.5


def test_the_worst_cases_come_first(evaluated: Callable[..., Evaluation]) -> None:
    truth = {1: (4, 9)}
    ends = {"a": 9, "b": 4, "c": 8, "d": 5, "e": 7, "f": 6, "g": 9}
    evaluation = evaluated({name: (truth, {1: (4, end)}) for name, end in ends.items()})
    assert evaluation.worst == ("b", "d", "f", "e", "c")
    assert len(evaluation.worst) == WORST_CASES


def test_estimates_are_over_cases(evaluated: Callable[..., Evaluation]) -> None:
    truth = {1: (4, 9)}
    evaluation = evaluated({name: (truth, {1: (4, end)}) for name, end in (("a", 9), ("b", 6), ("c", 4))})
    for name in (figure.name for figure in SEGMENTATION):
        values = [case.figures["label1"][name] for case in evaluation.cases]
        assert evaluation.overall[name] == evaluation.by_label["label1"][name] == Estimate.of(values)
    low, high = evaluation.overall["dice"].ci95 or (0, 0)
    assert low < (evaluation.overall["dice"].mean or 0) < high


def test_an_evaluation_says_what_it_rests_on(evaluated: Callable[..., Evaluation], tmp_path: Path) -> None:
    evaluation = evaluated({"a": ({1: (4, 7)}, {1: (4, 7)})})
    assert (evaluation.backend, evaluation.backend_version) == ("by-intensity", "1")
    assert evaluation.dataset_digest == verify(tmp_path / "data").digest
    assert evaluation.conditions == {"nsd_tolerance_mm": 1}
    assert len(evaluation.plan_digest) == 64


def test_an_evaluation_is_read_as_it_was_written(
    evaluated: Callable[..., Evaluation], tmp_path: Path
) -> None:
    boxes = {1: (4, 7)}
    evaluation = evaluated({"a": ({}, boxes), "b": (boxes, boxes)})
    evaluation.write(tmp_path / "masks" / EVALUATION)
    assert Evaluation.read(tmp_path / "masks" / EVALUATION) == evaluation


OLD = """{
  "backend": "pytorch", "backend_version": "2.9.1", "precision": "float32",
  "plan_digest": "p", "dataset_digest": "d", "nsd_tolerance_mm": 3.0,
  "cases": [{
    "case": "phantom_004",
    "labels": {
      "spleen": {
        "dice": 0.75, "nsd": 0.5, "hd95_mm": null, "sensitivity": 0.7, "relative_volume_error": -0.25,
        "lesion_detection_rate": 1.0, "truth_ml": 245.5, "prediction_ml": 240.75
      },
      "liver": {
        "dice": null, "nsd": 0.5, "hd95_mm": 2.5, "sensitivity": 0.7, "relative_volume_error": -0.25,
        "lesion_detection_rate": 1.0, "truth_ml": 1.0, "prediction_ml": 2.0
      }
    },
    "mask": "phantom_004.nii.gz"
  }],
  "overall": {
    "dice": {"mean": 0.75, "ci95": null, "median": 0.75, "count": 1, "missing": 0},
    "nsd": {"mean": 0.5, "ci95": null, "median": 0.5, "count": 1, "missing": 0}
  },
  "by_label": {}, "worst": ["phantom_004"]
}"""
"""As evaluations were written when every answer was a mask."""


def test_an_evaluation_of_before_is_still_read(tmp_path: Path) -> None:
    (tmp_path / EVALUATION).write_text(OLD)
    evaluation = Evaluation.read(tmp_path / EVALUATION)
    case = evaluation.cases[0]
    assert evaluation.conditions == {"nsd_tolerance_mm": 3.0}
    assert [evaluation.tolerance_mm(figure) for figure in evaluation.figures] == [None, 3.0]
    assert case.figures["spleen"]["hd95_mm"] is None and case.figures["spleen"]["truth_ml"] == 245.5
    assert (case.answer, case.score) == ("phantom_004.nii.gz", 0.375)
    evaluation.write(tmp_path / "again.json")
    assert Evaluation.read(tmp_path / "again.json") == evaluation


def test_an_evaluation_whose_cases_are_decided_by_another_figure_is_refused(tmp_path: Path) -> None:
    (tmp_path / EVALUATION).write_text(OLD.replace('"dice": 0.75, "nsd": 0.5', '"nsd": 0.5, "dice": 0.75'))
    with pytest.raises(SeglineError, match="phantom_004, spleen: dice decides and must be the first figure"):
        Evaluation.read(tmp_path / EVALUATION)


@pytest.mark.parametrize("content", ["", "{}", "[1, 2]", '{"backend": "pytorch"}'])
def test_a_damaged_evaluation_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "evaluation.json").write_text(content)
    with pytest.raises(SeglineError, match=r"evaluation\.json: not an evaluation, .*; run evaluate again"):
        Evaluation.read(tmp_path / EVALUATION)


def test_a_missing_evaluation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SeglineError, match=r"evaluation\.json: cannot be read .*; run evaluate first"):
        Evaluation.read(tmp_path / EVALUATION)


def test_a_case_that_is_not_in_the_data_set_is_refused(
    tiny_model: Model, phantoms: Manifest, tmp_path: Path
) -> None:
    content: dict[str, Any] = tiny_model.plan.model_dump(mode="json")
    content["split"]["test"] = ["absent"]
    model = Model(tiny_model.folder, Plan.parse(content, "plan"))
    with pytest.raises(SeglineError, match="absent: no such case"):
        evaluate(model, open_backend("pytorch", tiny_model), phantoms, tmp_path)


def test_progress_is_told_case_by_case(tiny_model: Model, phantoms: Manifest, tmp_path: Path) -> None:
    told: list[tuple[float, str]] = []
    backend = open_backend("pytorch", tiny_model)
    evaluation = evaluate(tiny_model, backend, phantoms, tmp_path, lambda *words: told.append(words))
    assert [done for done, _ in told] == [0, 0.5, 1]
    assert told[1][1] == "pytorch: case 2 of 2"
    assert (evaluation.overall["dice"].mean or 0) > 0.1


def test_voxels_are_counted_by_true_and_predicted_label(evaluated: Callable[..., Evaluation]) -> None:
    evaluation = evaluated({"a": ({1: (4, 7)}, {1: (6, 7)}), "b": ({}, {2: (1, 1)})}, values=(0, 3, 200))
    confusion = evaluation.confusion
    assert confusion is not None
    assert confusion.labels == ("label0", "label1", "label2")
    assert confusion.voxels[1:] == ((2 * 16, 2 * 16, 0), (0, 0, 0))
    assert confusion.voxels[0][1:] == (0, 16)
    assert sum(map(sum, confusion.voxels)) == 2 * np.prod(SHAPE)


def test_scores_are_counted_over_the_plans_grid(evaluated: Callable[..., Evaluation]) -> None:
    boxes = {1: (4, 9)}
    scores = evaluated({"a": (boxes, boxes), "b": (boxes, {1: (4, 6)})}).scores
    assert scores is not None
    assert (sum(scores.foreground), sum(scores.background)) == (2 * 6 * 16, 2 * (np.prod(SHAPE) - 6 * 16))
    roc = scores.roc()
    assert roc is not None
    assert roc.true_positive_rate[-2] == 0.75 and roc.false_positive_rate[-2] == 0


def test_voxels_of_which_nothing_is_known_are_not_scored(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path / "data", {"a": ({1: (4, 7), 2: (8, 11)}, {1: (4, 9)})}, (0, 1, 2))
    plan = small_plan(
        dataset_digest=manifest.digest,
        preprocessing={"spacing_mm": SPACING_MM},
        split={"train": ["t"], "val": ["v"], "test": ["a"]},
    ).model_copy(update={"labels": {0: "background", 1: "label1"}, "ignore": 2})
    backend = ByIntensity(3)
    backend.levels = backend.levels[:, :2]
    evaluation = evaluate(Model(tmp_path, plan), backend, manifest, tmp_path / "masks")
    assert evaluation.cases[0].figures["label1"]["dice"] == 1
    assert evaluation.confusion is not None and evaluation.scores is not None
    unknown, voxels = 4 * 4 * 4, int(np.prod(SHAPE))
    assert sum(map(sum, evaluation.confusion.voxels)) == voxels - unknown
    assert sum(evaluation.scores.foreground) + sum(evaluation.scores.background) == voxels - unknown
