"""Each component by itself through the local runner, on the artifacts of a finished run."""

import inspect
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl, local

import components
from pipelines.interruption import Interruption
from pipelines.processes import Processes
from segline import stages
from segline.acceptance.times import Benchmark
from segline.acceptance.verdict import Absence, Verdict
from segline.common.documents.names import ABSENT, EVALUATION
from segline.data.cases.index import CaseIndex
from segline.data.manifest import Manifest
from segline.evaluation.records import Evaluation
from segline.model.package import Model
from segline.plan import Plan, Task
from segline.runs.run import Run

NAMES = components.__all__


@pytest.fixture()
def alone(finished: Path, tmp_path: Path) -> "Alone":
    """A runner of single components, in a run of its own."""
    return Alone(finished, tmp_path)


class Alone:
    """Runs one component in its own process; gives its outputs by name."""

    def __init__(self, finished: Path, folder: Path) -> None:
        self.finished, self.folder = finished, folder
        self.run = folder / "run"
        self.start(Run(finished / "runs/latest").info.task)

    def start(self, task: Task) -> None:
        """Let the run be of a task."""
        stages.start_run(self.run, task)

    def artifact(self, task: str, name: str) -> Path:
        """An artifact of the finished run's pipeline."""
        return next((self.finished / "runs/latest/artifacts").glob(f"*/{task}/{name}"))

    def __call__(self, name: str, parameters: dict[str, Any], inputs: dict[str, Path]) -> Path:
        """Run component ``name``; the folder of its outputs."""
        component = getattr(components, name)

        @dsl.pipeline(name="alone")
        def alone() -> None:
            imported = {
                key: dsl.importer(
                    artifact_uri=str(path), artifact_class=_artifact_class(component, key)
                ).output
                for key, path in inputs.items()
            }
            component(run=str(self.run), **parameters, **imported)

        with Processes(Interruption()).runner() as runner, warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="You may be attemping to run a task")
            local.init(runner, pipeline_root=str(self.folder / "root"))
            alone()
        return next((self.folder / "root").glob(f"*/{name.replace('_', '-')}"))


def _artifact_class(component: Any, key: str) -> type[dsl.Artifact]:
    schema = component.component_spec.inputs[key].type
    return {"system.Dataset": dsl.Dataset, "system.Model": dsl.Model}.get(schema.split("@")[0], dsl.Artifact)


def test_download_describes_the_data_set(alone: Alone) -> None:
    outputs = alone("download", {"store": str(alone.finished / "store")}, {})
    assert len(Manifest.read(outputs / "manifest").cases) == 6


def test_plan_honours_the_task(alone: Alone) -> None:
    alone.start(Task(name="mine", source="phantom:6", plan={"training": {"epochs": 7}}))
    manifest = {"manifest": alone.artifact("download", "manifest")}
    outputs = alone("plan", {}, manifest)
    assert Plan.read(outputs / "plan").training.epochs == 7


def test_preprocess_fills_the_cache(alone: Alone) -> None:
    store = alone.folder / "store"
    inputs = {"manifest": alone.artifact("download", "manifest"), "plan": alone.artifact("plan", "plan")}
    outputs = alone("preprocess", {"store": str(store)}, inputs)
    index = CaseIndex.read(outputs / "cases")
    assert (index.computed, index.reused) == (6, 0)
    assert {folder.name for folder in (store / "cases").iterdir()} == set(index.keys.values())


def test_train_writes_a_package(alone: Alone) -> None:
    inputs = {"plan": alone.artifact("plan", "plan"), "cases": alone.artifact("preprocess", "cases")}
    outputs = alone("train", {"store": str(alone.folder / "store"), "device": "cpu"}, inputs)
    model = Model.open(outputs / "model")
    assert model.weights.is_file()
    assert Plan.read(outputs / "final_plan") == model.plan


def test_train_draws_its_curves_on_a_page(finished: Path) -> None:
    (page,) = (finished / "runs/latest/artifacts").glob("*/train/curves")
    assert page.read_text().startswith("<!doctype html>") and 'id="training-curves"' in page.read_text()


def test_export_onnx_adds_a_checked_graph(alone: Alone) -> None:
    trained, cases = alone.artifact("train", "model"), alone.artifact("preprocess", "cases")
    outputs = alone("export_onnx", {}, {"trained": trained, "cases": cases})
    sidecar = Model.open(outputs / "model").sidecar()
    assert sidecar.checked_patches > 0
    assert sidecar.label_agreement >= 0.9999


def test_build_tensorrt_is_skipped_without_a_gpu_and_says_so(alone: Alone) -> None:
    store = {"store": str(alone.finished / "store")}
    outputs = alone("build_tensorrt", store, {"quantized": alone.artifact("quantize", "model")})
    assert Model.open(outputs / "model").sidecar().opset > 0
    (record,) = Run(alone.run).stages
    assert record.status == "succeeded" or "no NVIDIA GPU" in record.reason


def test_quantize_is_skipped_where_the_plan_asks_for_no_int8_graph(alone: Alone) -> None:
    inputs = {
        "exported": alone.artifact("export-onnx", "model"),
        "cases": alone.artifact("preprocess", "cases"),
    }
    outputs = alone("quantize", {}, inputs)
    (record,) = Run(alone.run).stages
    assert (record.status, "asks for no int8 graph" in record.reason) == ("skipped", True)
    assert Model.open(outputs / "model").sidecar().opset > 0


def test_evaluate_leaves_word_of_why_a_backend_is_absent(alone: Alone) -> None:
    inputs = {
        "model": alone.artifact("export-onnx", "model"),
        "manifest": alone.artifact("download", "manifest"),
    }
    outputs = alone("evaluate", {"backend": "openvino_int8", "device": "cpu"}, inputs)
    assert "no int8 graph" in Absence.read(outputs / "evaluation" / ABSENT).reason
    assert Run(alone.run).stages[0].status == "skipped"


@pytest.mark.parametrize("backend", ["pytorch", "onnxruntime", "openvino"])
def test_evaluate_scores_the_test_cases(backend: str, alone: Alone) -> None:
    inputs = {
        "model": alone.artifact("export-onnx", "model"),
        "manifest": alone.artifact("download", "manifest"),
    }
    outputs = alone("evaluate", {"backend": backend, "device": "cpu"}, inputs)
    assert len(Evaluation.read(outputs / "evaluation" / EVALUATION).cases) == 1


def test_evaluate_logs_confusion_and_roc_of_its_evaluation(alone: Alone) -> None:
    inputs = {
        "model": alone.artifact("export-onnx", "model"),
        "manifest": alone.artifact("download", "manifest"),
    }
    outputs = alone("evaluate", {"backend": "pytorch", "device": "cpu"}, inputs)
    evaluation = Evaluation.read(outputs / "evaluation" / EVALUATION)
    told = json.loads((outputs / "executor_output.json").read_text())
    logged = told["artifacts"]["classes"]["artifacts"][0]["metadata"]
    assert evaluation.confusion is not None and evaluation.scores is not None
    matrix = logged["confusionMatrix"]
    assert [each["displayName"] for each in matrix["annotationSpecs"]] == ["background", "spleen"]
    assert tuple(tuple(row["row"]) for row in matrix["rows"]) == evaluation.confusion.voxels
    roc = evaluation.scores.roc()
    assert roc is not None
    assert [point["recall"] for point in logged["confidenceMetrics"]] == list(roc.true_positive_rate)


def test_engines_of_two_builds_go_into_one_package(alone: Alone) -> None:
    packages = {}
    for name, architecture in (("model", "sm_80"), ("other", "sm_89")):
        package = Model.open(alone.artifact("quantize", "model")).copied_to(alone.folder / name)
        (package.folder / "engines" / architecture).mkdir(parents=True)
        packages[name] = package.folder
    outputs = alone("merge_engines", {}, packages)
    assert {path.name for path in (outputs / "merged/engines").iterdir()} == {"sm_80", "sm_89"}


def test_folds_have_runs_and_plans_of_their_own(alone: Alone) -> None:
    task = Run(alone.run).info.task.override("split.folds", 3)
    stages.start_run(alone.run, task)
    told = json.loads((alone("split_folds", {}, {}) / "executor_output.json").read_text())
    runs = [Path(folder) for folder in told["parameterValues"]["Output"]]
    assert runs == [alone.run / "folds" / str(number) for number in range(3)]
    tested = []
    for alone.run in runs:
        alone("take_fold", {}, {"whole": alone.artifact("plan", "plan")})
        tested += Plan.read(alone.run / "plan.json").split.test
    assert sorted(tested) == [f"phantom_{number:03d}" for number in range(6)]


def test_benchmark_times_every_stage(alone: Alone) -> None:
    inputs = {
        "model": alone.artifact("export-onnx", "model"),
        "manifest": alone.artifact("download", "manifest"),
    }
    outputs = alone("benchmark", {"device": "cpu"}, inputs)
    timed = Benchmark.read(outputs / "benchmark")
    assert all(min(s.p50 for s in times.stages_ms.values()) > 0 for times in timed.backends)


def test_benchmark_logs_its_main_figures_as_metrics(finished: Path) -> None:
    (path,) = (finished / "runs/latest/artifacts").glob("*/benchmark/benchmark")
    assert logged_by(finished, "benchmark") == Benchmark.read(path).scalars


def test_compare_passes_the_finished_run(finished: Path) -> None:
    (path,) = (finished / "runs/latest/artifacts").glob("*/compare/verdict")
    assert Verdict.read(path).passed
    assert executed(finished, "compare")["parameterValues"]["Output"] == "passed"


def test_compare_logs_the_verdicts_figures_as_metrics(finished: Path) -> None:
    (path,) = (finished / "runs/latest/artifacts").glob("*/compare/verdict")
    logged = logged_by(finished, "compare")
    assert logged == Verdict.read(path).scalars
    assert logged["passed"] == 1 and "onnxruntime_largest_dice_difference" in logged


def test_compare_writes_the_verdict_as_a_page(finished: Path) -> None:
    (page,) = (finished / "runs/latest/artifacts").glob("*/compare/page")
    assert page.read_text().startswith("<!doctype html>") and 'id="gate"' in page.read_text()


def executed(finished: Path, task: str) -> dict[str, Any]:
    """What the executor reported of one task of the finished run."""
    (output,) = (finished / "runs/latest/artifacts").glob(f"*/{task}/executor_output.json")
    told: dict[str, Any] = json.loads(output.read_text())
    return told


def logged_by(finished: Path, task: str) -> dict[str, Any]:
    """The metrics that a task logged."""
    (metrics,) = executed(finished, task)["artifacts"]["metrics"]["artifacts"]
    return {name: value for name, value in metrics["metadata"].items() if name != "display_name"}


def test_report_is_written_for_a_run_that_did_nothing(alone: Alone) -> None:
    outputs = alone("report", {}, {})
    assert "<html" in (outputs / "page").read_text()
    assert (outputs / "summary").read_text().startswith("# tiny: failed")


@pytest.mark.parametrize("name", NAMES)
def test_a_component_is_a_signature_a_docstring_and_one_call(name: str) -> None:
    source = inspect.getsource(getattr(components, name).python_func)
    body = source[source.rindex('"""') :]
    assert body.count("stages.") == 1
    assert len(body.strip().splitlines()) <= 6


@pytest.mark.parametrize("name", NAMES)
def test_every_input_and_output_is_documented(name: str) -> None:
    component = getattr(components, name)
    names = [*(component.component_spec.inputs or {}), *(component.component_spec.outputs or {})]
    docstring = component.python_func.__doc__
    assert all(f"{key}:" in docstring for key in names if key != "Output")
