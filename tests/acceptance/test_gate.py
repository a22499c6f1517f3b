from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from segline.acceptance.gate import judge
from segline.acceptance.verdict import Absence, CaseComparison, Verdict, shown_equivalent
from segline.backends import Precision
from segline.common.documents.names import ABSENT, EVALUATION, GATE
from segline.common.errors import SeglineError
from segline.evaluation.masks.label_metrics import label_metrics
from segline.evaluation.masks.yardstick import MASKS, Masks
from segline.evaluation.records import CaseEvaluation, Evaluation
from segline.evaluation.scoring import summarise
from segline.imaging.files import write_volume
from segline.imaging.volume import Volume
from segline.plan import Agreement, Gate

from ..conftest import small_plan

ANYTHING = Agreement(differences={"dice": 1, "nsd": 1}, agreement=0, equivalence_margin=1)
LENIENT = Gate(nsd_tolerance_mm=1, required=(), float32=ANYTHING, reduced=ANYTHING)


@dataclass(frozen=True)
class Named:
    """A backend of which only the name and precision matter."""

    name: str
    precision: Precision
    version: str = "1"

    def __call__(self, windows: Tensor) -> Tensor:
        """Never called."""
        raise NotImplementedError


def box(first: int = 4, last: int = 11) -> np.ndarray:
    mask = np.zeros((16, 16, 16), np.uint8)
    mask[first : last + 1, 4:12, 4:12] = 1
    return mask


TRUTH = {"a": box(), "b": box(5, 10)}
FOUR = {**TRUTH, "c": box(3, 12), "d": box(6, 9)}


@pytest.fixture
def evaluation_of(tmp_path: Path) -> Callable[..., Path]:
    """Writes the evaluation of a backend's masks, and gives its folder."""

    def write(
        backend: str,
        masks: Mapping[str, np.ndarray] = TRUTH,
        folder: str = "",
        precision: Precision = "float32",
        **plan: Any,
    ) -> Path:
        place = tmp_path / (folder or backend)
        cases = []
        for name, mask in masks.items():
            write_volume(place / f"{name}.nii.gz", Volume(mask[None], np.eye(4)))
            figures = {"label1": label_metrics(FOUR[name] == 1, mask == 1, (1, 1, 1), 1).model_dump()}
            cases.append(CaseEvaluation(case=name, figures=figures, answer=f"{name}.nii.gz"))
        summarise(Named(backend, precision), small_plan(**plan), cases).write(place / EVALUATION)
        return place

    return write


def edited(folder: Path, *figures: Mapping[str, float | None]) -> Path:
    """Change figures of the first cases of an evaluation, and nothing else."""
    evaluation = Evaluation.read(folder / EVALUATION)
    cases = list(evaluation.cases)
    for number, changes in enumerate(figures):
        measured = {**cases[number].figures["label1"], **changes}
        cases[number] = cases[number].model_copy(update={"figures": {"label1": measured}})
    evaluation.model_copy(update={"cases": tuple(cases)}).write(folder / EVALUATION)
    return folder


def absent(folder: Path, backend: str, reason: str = "no NVIDIA GPU") -> Path:
    Absence(backend=backend, reason=reason).write(folder / backend / ABSENT)
    return folder / backend


def judged(folders: Sequence[Path], requirements: Gate) -> Verdict:
    return judge(folders, requirements, MASKS)


def gate(**requirements: Any) -> Gate:
    return LENIENT.model_copy(update=requirements)


def agreement(**requirements: float) -> Gate:
    """A gate that asks this of a backend in float32, as a plan writes it, and of any other nothing."""
    return gate(float32=Agreement.model_validate({**ANYTHING.model_dump(), **requirements}))


def refusal(folders: list[Path]) -> str:
    with pytest.raises(SeglineError) as caught:
        judged(folders, LENIENT)
    return str(caught.value)


def test_equal_backends_pass(evaluation_of: Callable[..., Path]) -> None:
    exact = Agreement(differences={"dice": 0, "nsd": 0}, agreement=1, equivalence_margin=0)
    strict = gate(floor=1, float32=exact)
    verdict = judged([evaluation_of("onnxruntime"), evaluation_of("pytorch")], strict)
    assert verdict.passed
    assert verdict.reasons == ()
    assert [each.backend for each in verdict.backends] == ["pytorch", "onnxruntime"]
    assert [each.mean_score for each in verdict.backends] == [1, 1]
    assert verdict.requirements == strict
    assert verdict.cases == 2
    assert [(c.backend, c.case) for c in verdict.comparisons] == [("onnxruntime", "a"), ("onnxruntime", "b")]
    assert all(c.differences == {"dice": 0, "nsd": 0} for c in verdict.comparisons)
    assert all(c.agreement == 1 for c in verdict.comparisons)


def test_the_reference_alone_is_held_against_the_floor(evaluation_of: Callable[..., Path]) -> None:
    masks = {"a": box(4, 7), "b": box(5, 10)}
    verdict = judged([evaluation_of("pytorch", masks)], gate(floor=0.9))
    assert verdict.reasons == ("pytorch: mean test Dice 0.8333 is below the floor 0.9",)
    assert not verdict.passed


def test_each_backend_below_the_floor_is_named(evaluation_of: Callable[..., Path]) -> None:
    masks = {"a": box(4, 7), "b": box(5, 10)}
    folders = [evaluation_of("pytorch", masks), evaluation_of("onnxruntime", masks)]
    verdict = judged(folders, gate(floor=0.9))
    assert [reason.split(":")[0] for reason in verdict.reasons] == ["pytorch", "onnxruntime"]


def test_a_dice_that_differs_is_a_reason(evaluation_of: Callable[..., Path]) -> None:
    folders = [evaluation_of("pytorch"), edited(evaluation_of("onnxruntime"), {"dice": 0.99})]
    verdict = judged(folders, agreement(dice_difference=0.001))
    assert verdict.reasons == ("onnxruntime against pytorch, a: Dice differs by 0.01000 > 0.001",)


def test_an_nsd_that_differs_is_a_reason(evaluation_of: Callable[..., Path]) -> None:
    folders = [evaluation_of("pytorch"), edited(evaluation_of("onnxruntime"), {"nsd": 0.9})]
    verdict = judged(folders, agreement(nsd_difference=0.005))
    assert verdict.reasons == ("onnxruntime against pytorch, a: NSD differs by 0.10000 > 0.005",)


def test_voxels_that_differ_are_a_reason(evaluation_of: Callable[..., Path]) -> None:
    mask = box()
    mask[0, 0, 0] = 1
    folders = [evaluation_of("pytorch"), evaluation_of("onnxruntime", {**TRUTH, "a": mask})]
    verdict = judged(folders, agreement(voxel_agreement=0.9999))
    assert verdict.reasons == ("onnxruntime against pytorch, a: 0.999756 of the voxels agree < 0.9999",)


def test_a_mask_shifted_by_a_voxel_fails_every_comparison(evaluation_of: Callable[..., Path]) -> None:
    shifted = {name: np.roll(mask, 2, axis=0) for name, mask in TRUTH.items()}
    folders = [evaluation_of("pytorch"), evaluation_of("onnxruntime", shifted)]
    verdict = judged(folders, Gate(nsd_tolerance_mm=1, required=()))
    assert not verdict.passed
    for words in ("Dice differs", "NSD differs", "of the voxels agree"):
        assert sum(words in reason for reason in verdict.reasons) == 2, words


def test_a_mask_exchanged_behind_unchanged_figures_is_caught(evaluation_of: Callable[..., Path]) -> None:
    folders = [evaluation_of("pytorch"), evaluation_of("onnxruntime")]
    write_volume(folders[1] / "b.nii.gz", Volume(np.roll(TRUTH["b"], 1, axis=1)[None], np.eye(4)))
    verdict = judged(folders, Gate(nsd_tolerance_mm=1, required=()))
    assert len(verdict.reasons) == 1
    assert "onnxruntime against pytorch, b: " in verdict.reasons[0]


@pytest.mark.parametrize("figure", ["dice", "nsd"])
def test_a_figure_that_only_one_backend_has_differs_as_much_as_can_be(
    figure: str, evaluation_of: Callable[..., Path]
) -> None:
    reference = edited(evaluation_of("pytorch"), {figure: 0.0})
    other = edited(evaluation_of("onnxruntime"), {figure: None})
    verdict = judged([reference, other], agreement(**{f"{figure}_difference": 0.5}))
    assert verdict.comparisons[0].differences[figure] == 1
    assert len(verdict.reasons) == 1


@pytest.mark.parametrize("figure", ["dice", "nsd"])
def test_a_figure_that_no_backend_has_does_not_differ(
    figure: str, evaluation_of: Callable[..., Path]
) -> None:
    folders = [edited(evaluation_of(name), {figure: None}) for name in ("pytorch", "onnxruntime")]
    assert judged(folders, agreement(dice_difference=0, nsd_difference=0)).passed


def test_an_undefined_mean_dice_is_below_any_floor(evaluation_of: Callable[..., Path]) -> None:
    folder = evaluation_of("pytorch")
    evaluation = Evaluation.read(folder / EVALUATION)
    none = evaluation.overall["dice"].model_copy(update={"mean": None})
    evaluation.model_copy(update={"overall": {**evaluation.overall, "dice": none}}).write(folder / EVALUATION)
    assert judged([folder], LENIENT).reasons == ("pytorch: mean test Dice undefined is below the floor 0",)


@pytest.mark.parametrize(("precision", "passed"), [("float32", False), ("float16", True), ("int8", True)])
def test_a_backend_of_reduced_precision_may_differ_more(
    precision: Precision, passed: bool, evaluation_of: Callable[..., Path]
) -> None:
    other = edited(evaluation_of("other", FOUR, precision=precision), {"dice": 0.998})
    verdict = judged([evaluation_of("pytorch", FOUR), other], Gate(nsd_tolerance_mm=1, required=()))
    assert verdict.passed is passed
    assert verdict.backends[1].precision == precision


def test_a_backend_whose_mean_dice_is_not_shown_to_be_equal_is_blocked(
    evaluation_of: Callable[..., Path],
) -> None:
    lower = [{"dice": dice} for dice in (0.9991, 0.9979, 0.9984, 0.9982)]
    folders = [evaluation_of("pytorch", FOUR), edited(evaluation_of("onnxruntime", FOUR), *lower)]
    verdict = judged(folders, agreement(equivalence_margin=0.002))
    assert verdict.reasons == (
        "onnxruntime against pytorch: mean Dice not shown to be equal within 0.002: differs by -0.00160, "
        "90 % interval -0.00220 to -0.00100 (TOST p = 0.107, 4 cases)",
    )


def test_a_mean_dice_that_differs_by_less_than_the_margin_is_equivalent(
    evaluation_of: Callable[..., Path],
) -> None:
    lower = [{"dice": dice} for dice in (0.9995, 0.9993, 0.9996, 0.9994)]
    folders = [evaluation_of("pytorch", FOUR), edited(evaluation_of("onnxruntime", FOUR), *lower)]
    verdict = judged(folders, agreement(equivalence_margin=0.002))
    assert verdict.passed and verdict.notes == ()
    reference, other = verdict.backends
    assert reference.equivalence is None
    assert other.equivalence and other.equivalence.shown
    assert other.equivalence.mean_difference == pytest.approx(-0.00055)


def far_off(evaluation_of: Callable[..., Path], backend: str) -> Verdict:
    """What is said of a backend in fewer bits whose answers are far from PyTorch's."""
    lower = [{"dice": dice} for dice in (0.8, 0.82, 0.79, 0.81)]
    other = edited(evaluation_of(backend, FOUR, precision="int8"), *lower)
    return judged([evaluation_of("pytorch", FOUR), other], Gate(nsd_tolerance_mm=1, required=("pytorch",)))


@pytest.mark.parametrize("backend", ["openvino_int8", "openvino_bf16"])
def test_what_is_only_used_once_it_is_shown_does_not_block(
    backend: str, evaluation_of: Callable[..., Path], tmp_path: Path
) -> None:
    verdict = far_off(evaluation_of, backend)
    assert verdict.passed and verdict.reasons == ()
    (unused,) = verdict.unused
    assert unused.backend == backend
    assert unused.failures[0] == f"{backend} against pytorch, a: Dice differs by 0.20000 > 0.003"
    assert set(unused.failures) <= set(verdict.notes)
    verdict.write(tmp_path / GATE)
    assert backend not in shown_equivalent(tmp_path)


@pytest.mark.parametrize("backend", ["tensorrt", "pytorch_amp"])
def test_what_is_used_unasked_blocks(backend: str, evaluation_of: Callable[..., Path]) -> None:
    verdict = far_off(evaluation_of, backend)
    assert not verdict.passed and not verdict.unused
    assert verdict.reasons == verdict.backends[1].failures


def test_what_a_plan_requires_blocks_though_it_is_only_used_once_shown(
    evaluation_of: Callable[..., Path],
) -> None:
    folders = [evaluation_of("pytorch", FOUR), evaluation_of("openvino_int8", FOUR, precision="int8")]
    edited(folders[1], {"dice": 0.8})
    required = Gate(nsd_tolerance_mm=1, required=("pytorch", "openvino_int8"))
    assert not judged(folders, required).passed


def test_reduced_precision_has_a_margin_of_its_own(evaluation_of: Callable[..., Path]) -> None:
    folders = [evaluation_of("pytorch", FOUR), evaluation_of("half", FOUR, precision="float16")]
    verdict = judged(folders, gate(reduced=ANYTHING.model_copy(update={"equivalence_margin": 0.5})))
    assert verdict.backends[1].equivalence and verdict.backends[1].equivalence.margin == 0.5


def test_too_few_cases_to_test_equivalence_are_noted_and_do_not_block(
    evaluation_of: Callable[..., Path],
) -> None:
    folders = [evaluation_of("pytorch"), edited(evaluation_of("onnxruntime"), {"dice": 0.9})]
    verdict = judged(folders, agreement(equivalence_margin=0))
    assert verdict.passed
    assert verdict.notes == (
        "onnxruntime against pytorch: equivalence was not tested, "
        "for which 3 cases are needed and there are 2",
    )


def test_an_absent_backend_that_is_required_blocks_with_its_reason(
    evaluation_of: Callable[..., Path], tmp_path: Path
) -> None:
    folders = [evaluation_of("pytorch"), absent(tmp_path, "openvino", "openvino is not installed")]
    verdict = judged(folders, gate(required=("pytorch", "openvino")))
    assert verdict.reasons == ("openvino: required, but it is absent: openvino is not installed",)
    assert verdict.absent == (Absence(backend="openvino", reason="openvino is not installed"),)


def test_an_absent_backend_that_is_not_required_is_noted(
    evaluation_of: Callable[..., Path], tmp_path: Path
) -> None:
    verdict = judged([absent(tmp_path, "tensorrt"), evaluation_of("pytorch")], LENIENT)
    assert verdict.passed
    assert verdict.notes == ("tensorrt: absent: no NVIDIA GPU",)
    assert [absence.backend for absence in verdict.absent] == ["tensorrt"]


def test_a_required_backend_that_nobody_evaluated_blocks(evaluation_of: Callable[..., Path]) -> None:
    verdict = judged([evaluation_of("pytorch")], gate(required=("pytorch", "onnxruntime")))
    assert verdict.reasons == ("onnxruntime: required, but it was not evaluated",)


def test_an_absent_reference_is_refused_with_its_reason(tmp_path: Path) -> None:
    line = refusal([absent(tmp_path, "pytorch", "the weights are gone")])
    assert line.startswith(
        "compare: no evaluation of pytorch (the weights are gone), the reference, among none"
    )


def test_a_backend_that_is_both_evaluated_and_absent_is_refused(
    evaluation_of: Callable[..., Path], tmp_path: Path
) -> None:
    evaluation_of("pytorch")
    assert "holds evaluation.json and absent.json; remove the folder" in refusal(
        [absent(tmp_path, "pytorch")]
    )


def test_a_damaged_absence_is_refused(evaluation_of: Callable[..., Path], tmp_path: Path) -> None:
    folder = absent(tmp_path, "openvino")
    (folder / ABSENT).write_text("{}")
    assert "absent.json: not an absence" in refusal([evaluation_of("pytorch"), folder])


def test_the_scalars_are_the_verdict_in_figures(evaluation_of: Callable[..., Path]) -> None:
    lower = [{"dice": dice} for dice in (0.9995, 0.9993, 0.9996, 0.9994)]
    verdict = judged(
        [evaluation_of("pytorch", FOUR), edited(evaluation_of("openvino", FOUR), *lower)], LENIENT
    )
    assert verdict.backends[1].equivalence
    assert verdict.scalars == {
        "passed": 1,
        "pytorch_mean_dice": 1,
        "openvino_mean_dice": 1,
        "openvino_largest_dice_difference": pytest.approx(0.0007),
        "openvino_smallest_voxel_agreement": 1,
        "openvino_tost_p": verdict.backends[1].equivalence.p,
    }


def test_the_scalars_of_a_blocked_verdict_leave_out_what_is_undefined(
    evaluation_of: Callable[..., Path],
) -> None:
    verdict = judged([evaluation_of("pytorch"), evaluation_of("openvino")], gate(required=("onnxruntime",)))
    assert verdict.scalars["passed"] == 0
    assert "openvino_mean_dice" in verdict.scalars and "openvino_tost_p" not in verdict.scalars


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
    verdict = judged([evaluation_of("pytorch"), evaluation_of("onnxruntime")], gate(floor=0.5))
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


def test_a_figure_that_the_gate_asks_for_and_nobody_measured_is_refused(
    evaluation_of: Callable[..., Path],
) -> None:
    asked = Agreement(differences={"dice": 1, "volume": 1})
    with pytest.raises(SeglineError, match="asks for the figure volume, which pytorch was not measured by"):
        judged([evaluation_of("pytorch")], gate(float32=asked, reduced=asked))


def test_answers_are_compared_by_what_the_gate_is_handed(evaluation_of: Callable[..., Path]) -> None:
    class Apart(Masks):
        part = "answer"

        def agreement(self, *_: Path) -> float:
            return 0.25

    folders = [evaluation_of("pytorch"), evaluation_of("onnxruntime")]
    verdict = judge(folders, agreement(voxel_agreement=0.5), Apart())
    assert verdict.reasons[0] == "onnxruntime against pytorch, a: 0.250000 of the answers agree < 0.5"
    assert verdict.scalars["onnxruntime_smallest_answer_agreement"] == 0.25


OLD = """{
  "passed": true, "reasons": [], "notes": [],
  "requirements": {
    "nsd_tolerance_mm": 3.0, "dice_floor": 0.5, "required": ["pytorch"],
    "float32": {
      "dice_difference": 0.001, "nsd_difference": 0.005, "voxel_agreement": 0.9999,
      "equivalence_margin": 0.002
    },
    "reduced": {
      "dice_difference": 0.003, "nsd_difference": 0.01, "voxel_agreement": 0.999,
      "equivalence_margin": 0.005
    }
  },
  "cases": 1,
  "backends": [
    {"backend": "pytorch", "precision": "float32", "mean_dice": 0.75, "equivalence": null},
    {
      "backend": "onnxruntime", "precision": "float32", "mean_dice": 0.75,
      "equivalence": {"mean_difference": 0.0, "ci90": null, "p": null, "margin": 0.002, "count": 1}
    }
  ],
  "comparisons": [{
    "backend": "onnxruntime", "case": "phantom_004",
    "dice_difference": 0.0005, "nsd_difference": 0.0025, "voxel_agreement": 0.99995
  }],
  "absent": []
}"""
"""As verdicts were written when every answer was a mask."""


def test_a_verdict_of_before_is_still_read(tmp_path: Path) -> None:
    (tmp_path / "gate.json").write_text(OLD)
    verdict = Verdict.read(tmp_path / "gate.json")
    differences = {"dice": 0.0005, "nsd": 0.0025}
    assert verdict.comparisons == (
        CaseComparison(backend="onnxruntime", case="phantom_004", differences=differences, agreement=0.99995),
    )
    assert verdict.requirements == Gate(nsd_tolerance_mm=3, floor=0.5, required=("pytorch",))
    assert verdict.scalars == {
        "passed": 1,
        "pytorch_mean_dice": 0.75,
        "onnxruntime_mean_dice": 0.75,
        "onnxruntime_largest_dice_difference": 0.0005,
        "onnxruntime_smallest_voxel_agreement": 0.99995,
    }
    verdict.write(tmp_path / "again.json")
    assert Verdict.read(tmp_path / "again.json") == verdict
