from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from segline.errors import SeglineError
from segline.evaluation import EVALUATION, CaseEvaluation, Evaluation, summarise
from segline.gate import Verdict, judge
from segline.metrics import LabelMetrics, label_metrics
from segline.plan import Gate
from segline.volumes import Volume, write_volume

from .conftest import small_plan

LENIENT = Gate(nsd_tolerance_mm=1, dice_floor=0, dice_difference=1, nsd_difference=1, voxel_agreement=0)


@dataclass(frozen=True)
class Named:
    """A backend of which only the name matters."""

    name: str
    version: str = "1"

    def __call__(self, windows: Tensor) -> Tensor:
        """Never called."""
        raise NotImplementedError


def box(first: int = 4, last: int = 11) -> np.ndarray:
    mask = np.zeros((16, 16, 16), np.uint8)
    mask[first : last + 1, 4:12, 4:12] = 1
    return mask


TRUTH = {"a": box(), "b": box(5, 10)}


@pytest.fixture
def evaluation_of(tmp_path: Path) -> Callable[..., Path]:
    """Writes the evaluation of a backend's masks, and gives its folder."""

    def write(backend: str, masks: Mapping[str, np.ndarray] = TRUTH, folder: str = "", **plan: Any) -> Path:
        place = tmp_path / (folder or backend)
        cases = []
        for name, mask in masks.items():
            write_volume(place / f"{name}.nii.gz", Volume(mask[None], np.eye(4)))
            figures = label_metrics(TRUTH[name] == 1, mask == 1, (1, 1, 1), 1)
            cases.append(CaseEvaluation(case=name, labels={"label1": figures}, mask=f"{name}.nii.gz"))
        summarise(Named(backend), small_plan(**plan), cases).write(place / EVALUATION)
        return place

    return write


def edited(folder: Path, **figures: float | None) -> Path:
    """Change figures of the first case of an evaluation, and nothing else."""
    evaluation = Evaluation.read(folder / EVALUATION)
    first = evaluation.cases[0]
    metrics = LabelMetrics(**{**first.labels["label1"].model_dump(), **figures})
    changed = first.model_copy(update={"labels": {"label1": metrics}})
    evaluation.model_copy(update={"cases": (changed, *evaluation.cases[1:])}).write(folder / EVALUATION)
    return folder


def gate(**requirements: float) -> Gate:
    return LENIENT.model_copy(update=requirements)


def refusal(folders: list[Path]) -> str:
    with pytest.raises(SeglineError) as caught:
        judge(folders, LENIENT)
    return str(caught.value)


def test_equal_backends_pass(evaluation_of: Callable[..., Path]) -> None:
    strict = gate(dice_floor=1, dice_difference=0, nsd_difference=0, voxel_agreement=1)
    verdict = judge([evaluation_of("onnxruntime"), evaluation_of("pytorch")], strict)
    assert verdict.passed
    assert verdict.reasons == ()
    assert verdict.backends == ("pytorch", "onnxruntime")
    assert verdict.requirements == strict
    assert [(c.backend, c.case) for c in verdict.comparisons] == [("onnxruntime", "a"), ("onnxruntime", "b")]
    assert all(c.dice_difference == c.nsd_difference == 0 for c in verdict.comparisons)
    assert all(c.voxel_agreement == 1 for c in verdict.comparisons)


def test_the_reference_alone_is_held_against_the_floor(evaluation_of: Callable[..., Path]) -> None:
    masks = {"a": box(4, 7), "b": box(5, 10)}
    verdict = judge([evaluation_of("pytorch", masks)], gate(dice_floor=0.9))
    assert verdict.reasons == ("pytorch: mean test Dice 0.8333 is below the floor 0.9",)
    assert not verdict.passed


def test_each_backend_below_the_floor_is_named(evaluation_of: Callable[..., Path]) -> None:
    masks = {"a": box(4, 7), "b": box(5, 10)}
    folders = [evaluation_of("pytorch", masks), evaluation_of("onnxruntime", masks)]
    verdict = judge(folders, gate(dice_floor=0.9))
    assert [reason.split(":")[0] for reason in verdict.reasons] == ["pytorch", "onnxruntime"]


def test_a_dice_that_differs_is_a_reason(evaluation_of: Callable[..., Path]) -> None:
    folders = [evaluation_of("pytorch"), edited(evaluation_of("onnxruntime"), dice=0.99)]
    verdict = judge(folders, gate(dice_difference=0.001))
    assert verdict.reasons == ("onnxruntime against pytorch, a: Dice differs by 0.01000 > 0.001",)


def test_an_nsd_that_differs_is_a_reason(evaluation_of: Callable[..., Path]) -> None:
    folders = [evaluation_of("pytorch"), edited(evaluation_of("onnxruntime"), nsd=0.9)]
    verdict = judge(folders, gate(nsd_difference=0.005))
    assert verdict.reasons == ("onnxruntime against pytorch, a: NSD differs by 0.10000 > 0.005",)


def test_voxels_that_differ_are_a_reason(evaluation_of: Callable[..., Path]) -> None:
    mask = box()
    mask[0, 0, 0] = 1
    folders = [evaluation_of("pytorch"), evaluation_of("onnxruntime", {**TRUTH, "a": mask})]
    verdict = judge(folders, gate(voxel_agreement=0.9999))
    assert verdict.reasons == ("onnxruntime against pytorch, a: 0.999756 of the voxels agree < 0.9999",)


def test_a_mask_shifted_by_a_voxel_fails_every_comparison(evaluation_of: Callable[..., Path]) -> None:
    shifted = {name: np.roll(mask, 2, axis=0) for name, mask in TRUTH.items()}
    folders = [evaluation_of("pytorch"), evaluation_of("onnxruntime", shifted)]
    verdict = judge(folders, Gate(nsd_tolerance_mm=1))
    assert not verdict.passed
    for words in ("Dice differs", "NSD differs", "of the voxels agree"):
        assert sum(words in reason for reason in verdict.reasons) == 2, words


def test_a_mask_exchanged_behind_unchanged_figures_is_caught(evaluation_of: Callable[..., Path]) -> None:
    folders = [evaluation_of("pytorch"), evaluation_of("onnxruntime")]
    write_volume(folders[1] / "b.nii.gz", Volume(np.roll(TRUTH["b"], 1, axis=1)[None], np.eye(4)))
    verdict = judge(folders, Gate(nsd_tolerance_mm=1))
    assert len(verdict.reasons) == 1
    assert "onnxruntime against pytorch, b: " in verdict.reasons[0]


@pytest.mark.parametrize("figure", ["dice", "nsd"])
def test_a_figure_that_only_one_backend_has_differs_as_much_as_can_be(
    figure: str, evaluation_of: Callable[..., Path]
) -> None:
    reference = edited(evaluation_of("pytorch"), **{figure: 0.0})
    other = edited(evaluation_of("onnxruntime"), **{figure: None})
    verdict = judge([reference, other], gate(**{f"{figure}_difference": 0.5}))
    assert getattr(verdict.comparisons[0], f"{figure}_difference") == 1
    assert len(verdict.reasons) == 1


@pytest.mark.parametrize("figure", ["dice", "nsd"])
def test_a_figure_that_no_backend_has_does_not_differ(
    figure: str, evaluation_of: Callable[..., Path]
) -> None:
    folders = [edited(evaluation_of(name), **{figure: None}) for name in ("pytorch", "onnxruntime")]
    assert judge(folders, gate(dice_difference=0, nsd_difference=0)).passed


def test_an_undefined_mean_dice_is_below_any_floor(evaluation_of: Callable[..., Path]) -> None:
    folder = evaluation_of("pytorch")
    evaluation = Evaluation.read(folder / EVALUATION)
    none = evaluation.overall["dice"].model_copy(update={"mean": None})
    evaluation.model_copy(update={"overall": {**evaluation.overall, "dice": none}}).write(folder / EVALUATION)
    assert judge([folder], LENIENT).reasons == ("pytorch: mean test Dice undefined is below the floor 0",)


def test_the_reference_must_be_there(evaluation_of: Callable[..., Path]) -> None:
    line = refusal([evaluation_of("onnxruntime")])
    assert line == "compare: no evaluation of pytorch, the reference, among onnxruntime; evaluate it too"
    assert "among none" in refusal([])


def test_two_evaluations_of_one_backend_are_refused(evaluation_of: Callable[..., Path]) -> None:
    folders = [evaluation_of("pytorch"), evaluation_of("pytorch", folder="again")]
    assert refusal(folders) == f"compare: {folders[0]} and {folders[1]} are both of pytorch; give one of them"


@pytest.mark.parametrize(
    ("what", "plan"), [("plan_digest", {"seed": 1}), ("dataset_digest", {"dataset_digest": "1" * 64})]
)
def test_evaluations_of_another_model_or_data_set_are_refused(
    what: str, plan: dict[str, Any], evaluation_of: Callable[..., Path]
) -> None:
    folders = [evaluation_of("pytorch"), evaluation_of("onnxruntime", **plan)]
    if what == "dataset_digest":
        evaluation = Evaluation.read(folders[1] / EVALUATION)
        evaluation.model_copy(
            update={"plan_digest": Evaluation.read(folders[0] / EVALUATION).plan_digest}
        ).write(folders[1] / EVALUATION)
    line = refusal(folders)
    assert f"onnxruntime was evaluated under another {what} than pytorch" in line


@pytest.mark.parametrize("masks", [{"a": box()}, {"b": box(5, 10), "a": box()}])
def test_evaluations_of_other_cases_are_refused(
    masks: dict[str, np.ndarray], evaluation_of: Callable[..., Path]
) -> None:
    folders = [evaluation_of("pytorch"), evaluation_of("onnxruntime", masks)]
    assert "onnxruntime was evaluated on other cases than pytorch" in refusal(folders)


def test_masks_on_another_grid_are_refused(evaluation_of: Callable[..., Path]) -> None:
    folders = [evaluation_of("pytorch"), evaluation_of("onnxruntime")]
    write_volume(folders[1] / "a.nii.gz", Volume(np.zeros((1, 8, 16, 16), np.uint8), np.eye(4)))
    assert "cannot be compared" in refusal(folders)


def test_a_missing_mask_is_refused(evaluation_of: Callable[..., Path]) -> None:
    folders = [evaluation_of("pytorch"), evaluation_of("onnxruntime")]
    (folders[1] / "a.nii.gz").unlink()
    assert "a.nii.gz: no such file" in refusal(folders)


def test_a_missing_evaluation_is_refused(evaluation_of: Callable[..., Path], tmp_path: Path) -> None:
    assert "run evaluate first" in refusal([evaluation_of("pytorch"), tmp_path / "absent"])


def test_a_verdict_is_read_as_it_was_written(evaluation_of: Callable[..., Path], tmp_path: Path) -> None:
    verdict = judge([evaluation_of("pytorch"), evaluation_of("onnxruntime")], gate(dice_floor=0.5))
    verdict.write(tmp_path / "gate.json")
    assert Verdict.read(tmp_path / "gate.json") == verdict


@pytest.mark.parametrize("content", ["", "{}", '{"passed": "perhaps"}'])
def test_a_damaged_verdict_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "gate.json").write_text(content)
    with pytest.raises(SeglineError, match=r"gate\.json: not a verdict, .*; run compare again"):
        Verdict.read(tmp_path / "gate.json")


def test_a_missing_verdict_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SeglineError, match="run compare first"):
        Verdict.read(tmp_path / "gate.json")
