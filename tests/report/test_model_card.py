"""What a model card says, and that it names no patient."""

import html
import re
import shutil
from pathlib import Path

import pytest

from segline.common.documents.names import EVALUATION, MODEL_CARD
from segline.common.errors import SeglineError
from segline.evaluation.estimates import Estimate
from segline.evaluation.records import Evaluation
from segline.report.model_card import model_card, write_model_card
from segline.runs.run import Run


@pytest.fixture(scope="module")
def finished_run(finished: Path) -> Run:
    return Run(next(path.parent for path in (finished / "runs").glob("*/run.json")))


@pytest.fixture
def run(finished_run: Run, tmp_path: Path) -> Run:
    """A copy of the finished run, to change."""
    return Run(Path(shutil.copytree(finished_run.folder, tmp_path / "run")))


@pytest.fixture(scope="module")
def card(finished_run: Run) -> str:
    return model_card(finished_run)


def section(card: str, title: str) -> str:
    return card.split(f"## {title}\n")[1].split("\n## ")[0]


def reference(run: Run) -> Evaluation:
    return Evaluation.read(run.folder / "predictions" / "pytorch" / EVALUATION)


def test_it_has_every_section(card: str) -> None:
    assert re.findall(r"^##? (.*)$", card, re.MULTILINE) == [
        "Model card: tiny",
        "Intended use",
        "Data",
        "Method",
        "Results",
        "Test cases",
        "Failure cases",
        "Release gate",
        "Limits",
        "Licences",
    ]


def test_it_names_no_case(card: str, finished_run: Run) -> None:
    manifest = finished_run.manifest
    assert manifest is not None
    assert not [case.name for case in manifest.cases if case.name in card]
    assert all(manifest.case(case.case).short_digest in card for case in reference(finished_run).cases)


def test_its_figures_are_those_of_the_evaluation(card: str, finished_run: Run) -> None:
    dice = reference(finished_run).overall["dice"]
    assert dice.mean is not None and dice.count == 1
    assert f"| Dice | {dice.mean:.4f} | – | {dice.mean:.4f} | – | 1 | 0 |" in section(card, "Results")


def test_a_mean_comes_with_its_interval(run: Run) -> None:
    evaluation = reference(run)
    dice = Estimate.of([0.8, 0.9, 0.7])
    assert dice.ci95 is not None
    by_label = {label: {**figures, "dice": dice} for label, figures in evaluation.by_label.items()}
    changed = evaluation.model_copy(update={"by_label": by_label})
    changed.write(run.folder / "predictions" / "pytorch" / EVALUATION)
    told = f"| Dice | 0.8000 | {dice.ci95[0]:.4f} to {dice.ci95[1]:.4f} | 0.8000 | 0.1000 | 3 | 0 |"
    assert told in section(model_card(run), "Results")


def test_every_backend_is_listed(card: str, finished_run: Run) -> None:
    for evaluation in finished_run.evaluations:
        assert f"| {evaluation.backend} | {evaluation.backend_version} |" in section(card, "Results")


def test_a_figure_that_is_undefined_is_a_dash(run: Run) -> None:
    evaluation = reference(run)
    case = evaluation.cases[0]
    blank = {label: {**measured, "hd95_mm": None} for label, measured in case.figures.items()}
    changed = evaluation.model_copy(
        update={"cases": (case.model_copy(update={"figures": blank}), *evaluation.cases[1:])}
    )
    changed.write(run.folder / "predictions" / "pytorch" / EVALUATION)
    assert "| – |" in section(model_card(run), "Test cases")


def test_a_missed_label_is_a_failure(run: Run) -> None:
    evaluation = reference(run)
    case = evaluation.cases[0]
    zero = {label: {**measured, "dice": 0.0} for label, measured in case.figures.items()}
    changed = evaluation.model_copy(
        update={"cases": (case.model_copy(update={"figures": zero}), *evaluation.cases[1:])}
    )
    changed.write(run.folder / "predictions" / "pytorch" / EVALUATION)
    assert run.manifest is not None
    name = run.manifest.case(case.case).short_digest
    failures = section(model_card(run), "Failure cases")
    assert f"- Worst case: {name}, mean Dice 0.0000." in failures
    assert f"- Labels missed altogether (Dice 0): {name} (spleen)." in failures


def test_the_gates_reasons_are_told_without_names(run: Run) -> None:
    verdict = run.verdict
    assert verdict is not None and run.manifest is not None
    case = run.manifest.cases[0]
    reasons = (f"onnxruntime against pytorch, {case.name}: Dice differs",)
    verdict.model_copy(update={"passed": False, "reasons": reasons}).write(run.folder / "gate.json")
    told = section(model_card(run), "Release gate")
    assert f"- onnxruntime against pytorch, {case.short_digest}: Dice differs" in told


def test_what_is_not_used_though_the_model_passed_is_told_without_names(run: Run) -> None:
    verdict = run.verdict
    assert verdict is not None and run.manifest is not None
    case, (first, *_) = run.manifest.cases[0], verdict.backends
    failures = (f"openvino_int8 against pytorch, {case.name}: Dice differs",)
    unused = first.model_copy(update={"backend": "openvino_int8", "failures": failures})
    passed = {"passed": True, "reasons": (), "backends": (*verdict.backends, unused)}
    verdict.model_copy(update=passed).write(run.folder / "gate.json")
    told = section(model_card(run), "Release gate")
    assert f"openvino_int8 (openvino_int8 against pytorch, {case.short_digest}: Dice differs)." in told


@pytest.mark.parametrize(
    ("missing", "title", "told"),
    [
        ("gate.json", "Release gate", "Unknown: the run has no verdict."),
        ("benchmark.json", "Limits", "Speed and memory are unknown: the run has no benchmark."),
        ("model/history.json", "Method", "Training: unknown, its history is missing from the run."),
    ],
)
def test_what_the_run_does_not_tell_is_unknown(run: Run, missing: str, title: str, told: str) -> None:
    (run.folder / missing).unlink()
    assert told in section(model_card(run), title)


def test_networks_from_several_seeds_are_told(run: Run) -> None:
    assert run.plan is not None and run.history is not None
    ensemble = run.plan.ensemble.model_copy(update={"seeds": 3})
    run.plan.model_copy(update={"ensemble": ensemble}).write(run.folder / "plan.json")
    kept = run.history.model_copy(update={"kept_steps": (5, 6, 7)})
    kept.write(run.folder / "model/history.json")
    told = section(model_card(run), "Method")
    assert "Training: 3 networks from seeds of their own, averaged; " in told
    assert "the weights of steps 5, 6 and 7 were kept" in told


def test_few_cases_are_a_limit(card: str) -> None:
    assert "the bootstrapped intervals are too narrow" in section(card, "Limits")


def test_the_licence_is_the_data_sets(card: str, finished_run: Run) -> None:
    assert finished_run.manifest is not None
    assert f"- Data set: {finished_run.manifest.licence}." in section(card, "Licences")


def renamed(run: Run, name: str) -> None:
    """Give everything that others name this name."""
    info, plan, manifest, verdict = run.info, run.plan, run.manifest, run.verdict
    assert plan is not None and manifest is not None and verdict is not None
    described = info.task.model_copy(update={"description": name.replace(" ", "\n# ", 1)})
    info.model_copy(update={"task": described}).write(run.folder / "run.json")
    labels = {value: name if value else label for value, label in plan.labels.items()}
    named = {"task": name, "channels": (name,), "labels": labels}
    plan.model_copy(update=named).write(run.folder / "plan.json")
    manifest.model_copy(update={"name": name, "licence": name}).write(run.folder / "manifest.json")
    blocked = {"passed": False, "reasons": (f"onnxruntime against pytorch, {name}: Dice differs",)}
    verdict.model_copy(update=blocked).write(run.folder / "gate.json")
    for evaluation in run.evaluations:
        by_label = dict.fromkeys([name], *evaluation.by_label.values())
        cases = tuple(
            case.model_copy(update={"figures": dict.fromkeys([name], *case.figures.values())})
            for case in evaluation.cases
        )
        changed = evaluation.model_copy(update={"by_label": by_label, "cases": cases})
        changed.write(run.folder / "predictions" / evaluation.backend / EVALUATION)


def test_names_that_others_gave_are_plain_text(run: Run) -> None:
    markdown_it = pytest.importorskip("markdown_it", reason="not installed; it comes with rich")
    name = "a|b *c* `d` <script>e()</script> [x](javascript:f()) _g_"
    renamed(run, name)
    page = markdown_it.MarkdownIt("commonmark").enable("table").render(model_card(run))
    told = html.escape(" ".join(name.split()))
    assert page.count(told) >= 10
    plain = page.replace(told, "").replace(told.replace(" ", " # ", 1), "")
    assert not re.search(r"script|javascript|<em>|<a |<img", plain)
    assert "<h2>Licences</h2>" in plain and plain.count("<h1>") == 1


@pytest.mark.parametrize("missing", ["manifest.json", "plan.json", "predictions/pytorch/evaluation.json"])
def test_without_data_plan_or_evaluation_there_is_no_card(run: Run, missing: str) -> None:
    (run.folder / missing).unlink()
    with pytest.raises(SeglineError, match="a model card needs the run's data set, plan and evaluation"):
        model_card(run)


def test_it_is_written_into_the_run(run: Run) -> None:
    write_model_card(run)
    assert (run.folder / MODEL_CARD).read_text(encoding="utf-8") == model_card(run)
