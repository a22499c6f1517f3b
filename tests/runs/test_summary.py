"""What a run's summary says for machines, for every state that a run can end in."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from segline.acceptance.verdict import Absence, JudgedBackend, Verdict
from segline.common import atomic
from segline.common.documents.names import EVALUATION
from segline.common.errors import SeglineError, UnavailableError
from segline.evaluation.equivalence import Equivalence
from segline.evaluation.estimates import Estimate
from segline.evaluation.records import CaseEvaluation, Evaluation
from segline.plan import Gate, Task
from segline.runs.records import RunInfo, StageRecord
from segline.runs.run import Run
from segline.runs.summary import Summary, summarise_run

EQUAL = Equivalence(mean_difference=0, ci90=(-0.001, 0.001), p=0.01, margin=0.002, count=3)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    task = Task(name="blocks", source="folder:blocks")
    info = RunInfo(id="run-1", task=task, started="2026-01-02T03:04:05Z", versions={}, machine="small")
    return Run.start(tmp_path / "run-1", info)


def judged(run: Run, *reasons: str) -> Run:
    with run.stage("compare"):
        verdict = Verdict(
            passed=not reasons,
            reasons=reasons,
            notes=("tensorrt: absent: no NVIDIA GPU",),
            requirements=Gate(nsd_tolerance_mm=2),
            cases=2,
            backends=(
                JudgedBackend(backend="pytorch", precision="float32", mean_score=0.8, equivalence=None),
                JudgedBackend(backend="onnxruntime", precision="float32", mean_score=0.8, equivalence=EQUAL),
            ),
            comparisons=(),
            absent=(Absence(backend="tensorrt", reason="no NVIDIA GPU"),),
        )
        verdict.write(run.folder / "gate.json")
    return run


def evaluated(run: Run, backend: str) -> Evaluation:
    figures = dict.fromkeys(
        ("nsd", "hd95_mm", "sensitivity", "relative_volume_error", "lesion_detection_rate"), 0.5
    )
    cases = [
        CaseEvaluation(
            case=name,
            figures={"spleen": {"dice": dice, **figures, "truth_ml": 1, "prediction_ml": 1}},
            answer=f"{name}.nii.gz",
        )
        for name, dice in (("case_a", 0.9), ("case_b", 0.7))
    ]
    estimates = {"dice": Estimate.of([0.9, 0.7]), **{name: Estimate.of([0.5, 0.5]) for name in figures}}
    evaluation = Evaluation(
        backend=backend,
        backend_version="1",
        precision="float32",
        plan_digest="p",
        dataset_digest="d",
        conditions={"nsd_tolerance_mm": 2},
        cases=tuple(cases),
        overall=estimates,
        by_label={"spleen": estimates},
        worst=("case_b", "case_a"),
    )
    evaluation.write(run.folder / "predictions" / backend / EVALUATION)
    return evaluation


def test_a_run_whose_gate_passed_succeeded(run: Run) -> None:
    summary = summarise_run(judged(run))
    assert (summary.status, summary.reasons) == ("succeeded", ())
    assert summary.gate is not None and summary.gate.passed


def test_a_run_whose_gate_did_not_pass_is_blocked_for_its_reasons(run: Run) -> None:
    summary = summarise_run(judged(run, "pytorch: mean test Dice 0.5 is below the floor 0.9"))
    assert summary.status == "blocked"
    assert summary.reasons == ("pytorch: mean test Dice 0.5 is below the floor 0.9",)


def test_the_gate_is_there_with_its_figures_tests_and_absent_backends(run: Run) -> None:
    gate = summarise_run(judged(run)).gate
    assert gate is not None
    assert gate.notes == ("tensorrt: absent: no NVIDIA GPU",)
    assert gate.absent == (Absence(backend="tensorrt", reason="no NVIDIA GPU"),)
    assert gate.equivalence == {"onnxruntime": EQUAL}
    assert (gate.figures["passed"], gate.figures["onnxruntime_tost_p"]) == (1, 0.01)


def test_a_run_with_a_failed_stage_failed_even_if_the_gate_passed(run: Run) -> None:
    with pytest.raises(SeglineError), judged(run).stage("benchmark"):
        raise SeglineError("case_a: no such file")
    summary = summarise_run(run)
    assert (summary.status, summary.reasons) == ("failed", ("benchmark: case_a: no such file",))


def test_a_killed_stage_failed(run: Run) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path; from segline.runs.run import Run\n"
        "with Run(Path(sys.argv[1])).stage('train'): os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(run.folder)], env=os.environ)
    assert ended.returncode == -signal.SIGKILL
    summary = summarise_run(run)
    assert summary.status == "failed"
    assert summary.reasons[0].startswith("train: killed before it could end")
    assert summary.stages[0].status == "failed"


def test_of_a_killed_stage_the_memory_is_told_that_it_might_use(run: Run) -> None:
    path = run.folder / "stages/train.json"
    with run.stage("train"):
        running = StageRecord.read(path).model_copy(update={"memory_limit_bytes": 2**33})
    running.write(path)
    told = "killed before it could end: its pod was lost, or needs more than its 8 GiB of memory"
    assert summarise_run(run).reasons == (f"train: {told}",)


def test_a_skipped_stage_does_not_fail_a_run(run: Run) -> None:
    with run.stage("build_tensorrt"):
        raise UnavailableError("no NVIDIA GPU")
    summary = summarise_run(judged(run))
    assert summary.status == "succeeded"
    first = summary.stages[0]
    assert (first.name, first.status, first.reason) == ("build_tensorrt", "skipped", "no NVIDIA GPU")


def test_a_run_without_a_verdict_failed(run: Run) -> None:
    summary = summarise_run(run)
    assert (summary.status, summary.reasons) == ("failed", ("no verdict: compare did not run",))


def test_a_damaged_part_fails_the_run_and_spares_the_rest(run: Run) -> None:
    evaluated(judged(run), "pytorch")
    atomic.write_text(run.folder / "benchmark.json", "{")
    summary = summarise_run(run)
    assert summary.status == "failed" and "benchmark.json" in summary.reasons[0]
    assert summary.benchmark is None and "pytorch" in summary.metrics


def test_the_report_itself_is_no_part_of_the_summary(run: Run) -> None:
    with judged(run).stage("report"):
        summary = summarise_run(run)
    assert [record.name for record in summary.stages] == ["compare"]
    assert summary.status == "succeeded"


def test_each_backend_has_its_figures_and_worst_cases(run: Run) -> None:
    for backend in ("pytorch", "onnxruntime"):
        evaluated(run, backend)
    metrics = summarise_run(judged(run)).metrics
    assert list(metrics) == ["onnxruntime", "pytorch"]
    assert metrics["pytorch"].overall["dice"].mean == pytest.approx(0.8)
    assert metrics["pytorch"].worst == ("case_b", "case_a")
    assert metrics["pytorch"].by_label["spleen"]["nsd"].count == 2


def test_the_time_is_the_sum_over_the_stages(run: Run) -> None:
    judged(run)
    with run.stage("benchmark"):
        pass
    summary = summarise_run(run)
    assert summary.seconds == pytest.approx(sum(record.seconds for record in summary.stages))


def test_a_summary_survives_writing_and_reading(run: Run) -> None:
    evaluated(run, "pytorch")
    summary = summarise_run(judged(run))
    assert Summary.model_validate_json(summary.model_dump_json()) == summary


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SeglineError, match="not a run's folder"):
        summarise_run(Run(tmp_path))
