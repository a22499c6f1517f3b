"""What answers where nobody says by what."""

from pathlib import Path

import pytest

from segline.acceptance.verdict import JudgedBackend, Verdict, shown_equivalent
from segline.backends.choice import open_chosen
from segline.backends.open_vino_bf16 import has_bfloat16
from segline.common.documents.names import GATE
from segline.evaluation.equivalence import Equivalence
from segline.machine import processor
from segline.model.package import Model
from segline.serving.models.served import Served

SAME = Equivalence(mean_difference=0.0, ci90=(0.0, 0.0), p=0.0, margin=0.005, count=6)


def judged(model: Model, folder: Path, passed: bool, name: str = "openvino_int8") -> Model:
    """A copy of a package with the verdict of a gate on one backend."""
    backends = [
        JudgedBackend(backend="pytorch", precision="float32", mean_score=0.9, equivalence=None),
        JudgedBackend(backend=name, precision="int8", mean_score=0.9, equivalence=SAME),
    ]
    verdict = Verdict(
        passed=passed,
        reasons=() if passed else ("openvino_int8: answers otherwise",),
        notes=(),
        requirements=model.plan.gate,
        cases=6,
        backends=tuple(backends),
        comparisons=(),
        absent=(),
    )
    verdict.write(folder / GATE)
    return model.copied_to(folder / "model")


def test_in_float32_where_the_package_has_nothing_else(tiny_model: Model) -> None:
    assert Served(tiny_model, device="cpu").backend.name == "openvino"


def test_in_int8_where_the_gate_has_passed_it(int8_model: Model, tmp_path: Path) -> None:
    model = judged(int8_model, tmp_path, passed=True)
    assert shown_equivalent(model.folder) == {"openvino_int8"}
    assert Served(model, device="cpu").backend.name == "openvino_int8"


@pytest.mark.parametrize("is_faster", [True, False])
def test_in_bfloat16_where_the_gate_has_passed_it_and_the_cpu_is_faster_in_it(
    is_faster: bool, int8_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "has_fast_bfloat16", lambda: is_faster)
    model = judged(int8_model, tmp_path, passed=True, name="openvino_bf16")
    wanted = "openvino_bf16" if is_faster and has_bfloat16() else "openvino"
    assert Served(model, device="cpu").backend.name == wanted


def test_in_float32_where_the_gate_has_blocked_int8(int8_model: Model, tmp_path: Path) -> None:
    model = judged(int8_model, tmp_path, passed=False)
    assert Served(model, device="cpu").backend.name == "openvino"


def test_in_float32_where_no_gate_has_seen_the_package(int8_model: Model) -> None:
    assert shown_equivalent(int8_model.folder) == frozenset()
    assert Served(int8_model, device="cpu").backend.name == "openvino"


def test_a_registered_package_has_its_verdict_inside(int8_model: Model, tmp_path: Path) -> None:
    model = judged(int8_model, tmp_path, passed=True)
    (tmp_path / GATE).rename(model.folder / GATE)
    assert Served(model, device="cpu").backend.name == "openvino_int8"


@pytest.mark.parametrize("name", ["pytorch", "onnxruntime"])
def test_who_names_a_backend_gets_it(name: str, int8_model: Model) -> None:
    assert open_chosen(name, int8_model, "cpu", ["openvino_int8"]).name == name
