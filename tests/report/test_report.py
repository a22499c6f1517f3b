"""What the report of a run shows, for every state that a run can end in."""

import importlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx.helper import make_graph, make_model

from segline.acceptance.gate import judge
from segline.acceptance.times import (
    STAGES,
    BackendTimes,
    Benchmark,
    DeviceUse,
    EndToEnd,
    Machine,
    NetworkAlone,
    Percentiles,
    Unavailable,
)
from segline.acceptance.verdict import Absence, Verdict
from segline.backends import open_backend
from segline.common.digests import sha256_of_file
from segline.common.documents.names import ABSENT, CROSS_VALIDATION, EVALUATION
from segline.common.errors import SeglineError, UnavailableError
from segline.data.fingerprint import take_fingerprint
from segline.data.manifest import Manifest
from segline.data.verification import verify
from segline.evaluation.confusion import Confusion
from segline.evaluation.equivalence import equivalence
from segline.evaluation.folds import CrossValidation, Fold
from segline.evaluation.masks.label_metrics import label_metrics
from segline.evaluation.masks.yardstick import MASKS
from segline.evaluation.records import CaseEvaluation, Evaluation
from segline.evaluation.roc import LEVELS, ScoreCounts
from segline.evaluation.scoring import summarise
from segline.imaging.files import write_volume
from segline.imaging.geometry import Reorientation
from segline.imaging.volume import Volume
from segline.model.history import History, TrainingPoint
from segline.model.package import Model
from segline.model.sidecars import OnnxSidecar
from segline.networks.catalogue import build_network
from segline.plan import Plan, Task
from segline.planning.plans import make_plan
from segline.report import gate_page, training_page, write_report
from segline.report.findings import Findings
from segline.report.html.markup import Html, drawn
from segline.report.html.wording import percent
from segline.report.pictures import charts
from segline.report.pictures.overlays import CaseVolumes, View
from segline.report.pictures.spin import spin
from segline.report.sections import acceptance, masks, overview, quality, speed
from segline.report.sections.voxels import voxels
from segline.runs.records import RunInfo
from segline.runs.run import Run
from segline.training.tuning.rate_test import RangeTest
from segline.training.tuning.record import Candidate, Tuning

pytestmark = pytest.mark.heavy

SHAPE = (24, 20, 12)
LABELS = {"0": "background", "1": "anterior", "2": "posterior"}
SPLIT = {"train": ["case_a", "case_b"], "val": ["case_c"], "test": ["case_d", "case_e", "case_f"]}
NAMES = [name for names in SPLIT.values() for name in names]
CONFUSION = Confusion(
    labels=("background", "anterior", "posterior"), voxels=((998_000, 1500, 500), (25, 75, 0), (0, 0, 0))
)
SCORES = ScoreCounts(
    foreground=(*(0 for _ in range(LEVELS - 4)), 1, 2, 3, 4),
    background=(100, 10, 1, *(0 for _ in range(LEVELS - 4)), 1),
)
AFFINES = {
    "RAS": np.diag([1.5, 1.5, 3.0, 1.0]),
    "LPS": np.diag([-1.5, -1.5, 3.0, 1.0]),
    "LAI": np.diag([-1.5, 1.5, -3.0, 1.0]),
}


def truth_array() -> np.ndarray:
    label = np.zeros(SHAPE, np.uint8)
    label[6:16, 10:16, 3:9] = 1
    label[6:16, 5:10, 3:9] = 2
    return label


def write_dataset(root: Path, names: Sequence[str] = NAMES) -> Manifest:
    for number, name in enumerate(names):
        affine = list(AFFINES.values())[number % len(AFFINES)]
        image = np.random.default_rng(number).normal(0, 20, SHAPE) + 100 * truth_array()
        write_volume(root / f"imagesTr/{name}.nii.gz", Volume(image[None].astype(np.float32), affine))
        write_volume(root / f"labelsTr/{name}.nii.gz", Volume(truth_array()[None], affine))
    pairs = [{"image": f"imagesTr/{name}.nii.gz", "label": f"labelsTr/{name}.nii.gz"} for name in names]
    content = {
        "name": "Blocks",
        "licence": "CC0",
        "modality": {"0": "MRI"},
        "labels": LABELS,
        "training": pairs,
    }
    (root / "dataset.json").write_text(json.dumps(content))
    return verify(root)


def task(floor: float = 0.0, split: Mapping[str, list[str]] = SPLIT) -> Task:
    network = {"channels": [2, 4], "strides": [[2, 2, 2]], "residual_units": 0}
    training = {"patch_size": [8, 8, 8], "epochs": 2}
    gate = {"floor": floor, "nsd_tolerance_mm": 2.0, "required": ["pytorch", "onnxruntime"]}
    return Task(
        name="blocks",
        source="folder:blocks",
        description="Two blocks.",
        plan={"network": network, "training": training, "gate": gate, "split": dict(split)},
    )


def start(folder: Path, asked: Task) -> Run:
    versions = {"segline": "0.1.0", "torch": "2.13"}
    info = RunInfo(
        id=folder.name,
        task=asked,
        started="2026-01-02T03:04:05Z",
        versions=versions,
        machine="a small machine",
    )
    return Run.start(folder, info)


def history() -> History:
    points = [
        TrainingPoint(
            step=step,
            epoch=step / 10,
            minutes=step / 100,
            loss=2 / step,
            learning_rate=1e-3 / step,
            scores={"anterior": step / 100, "posterior": step / 90} if step % 20 == 0 else None,
        )
        for step in range(10, 70, 10)
    ]
    return History(
        device="cpu",
        seed=0,
        resumed_from_step=30,
        steps=60,
        minutes=0.6,
        kept_steps=(60,),
        best_score=0.63,
        points=tuple(points),
    )


def write_model(folder: Path, plan: Plan) -> Model:
    model = Model.write(folder, plan, build_network(plan).state_dict(), history())
    model.onnx.write_bytes(make_model(make_graph([], "nothing", [], [])).SerializeToString())
    model.write_sidecar(
        OnnxSidecar(
            plan_digest=plan.digest,
            weights_sha256=sha256_of_file(model.weights),
            onnx_sha256=sha256_of_file(model.onnx),
            opset=20,
            torch_version="2.13",
            onnxruntime_version="1.31",
            checked_patches=8,
            max_abs_difference=4.8e-6,
            label_agreement=1.0,
        )
    )
    return model


def score(manifest: Manifest, plan: Plan, name: str, shift: int, folder: Path) -> CaseEvaluation:
    """Score the truth, moved by ``shift`` voxels, as if it had been predicted."""
    truth = manifest.label(manifest.case(name))
    found = np.roll(truth.array, shift, axis=1)
    write_volume(folder / f"{name}.nii.gz", Volume(found, truth.affine))
    spacing, tolerance = truth.grid.spacing_mm, plan.gate.nsd_tolerance_mm
    figures = {
        label: label_metrics(truth.array[0] == k, found[0] == k, spacing, tolerance).model_dump()
        for k, label in plan.foreground.items()
    }
    return CaseEvaluation(case=name, figures=figures, answer=f"{name}.nii.gz")


def evaluate(run: Run, manifest: Manifest, model: Model) -> list[Path]:
    """PyTorch and ONNX Runtime, the later a test case the worse."""
    folders = []
    for backend in ("pytorch", "onnxruntime"):
        folder = run.folder / "predictions" / backend
        names = model.plan.split.test
        cases = [score(manifest, model.plan, name, n, folder) for n, name in enumerate(names)]
        evaluation = summarise(open_backend("pytorch", model), model.plan, cases)
        counted = {"confusion": CONFUSION, "scores": SCORES, "backend": backend}
        evaluation.model_copy(update=counted).write(folder / EVALUATION)
        folders.append(folder)
    absent = run.folder / "predictions" / "openvino"
    Absence(backend="openvino", reason="it is not installed <here>").write(absent / ABSENT)
    return [*folders, absent]


def times(backend: str, factor: float = 1.0, **changed: Any) -> BackendTimes:
    """Six stages of 10 ms each, of which the network takes two windows."""

    def spread(p50: float) -> Percentiles:
        return Percentiles(p50=factor * p50, p95=1.2 * factor * p50, p99=1.5 * factor * p50)

    figures = {
        "backend": backend,
        "version": "1.0",
        "precision": "float32",
        "runs": 9,
        "stages_ms": {stage: spread(10) for stage in STAGES},
        "network": NetworkAlone(windows=18, window_ms=spread(5), windows_per_second=200 / factor),
        "end_to_end": EndToEnd(volume_ms=spread(61), volumes_per_minute=1000 / factor),
        "peak_host_bytes": 2**30,
        "device": None,
        "note": None,
    }
    return BackendTimes.model_validate({**figures, **changed})


def benchmark(*backends: BackendTimes, unavailable: Sequence[Unavailable] = ()) -> Benchmark:
    machine = Machine(
        processor="a small CPU", cpus=2, threads=1, memory_bytes=2**33, system="Linux", gpu="no NVIDIA GPU"
    )
    return Benchmark(
        machine=machine,
        cases=("case_d",),
        warm_up_runs=1,
        backends=backends or (times("pytorch", 2.0), times("onnxruntime")),
        unavailable=tuple(unavailable),
    )


def finish(run: Run, manifest: Manifest, asked: Task) -> Run:
    """Bring a run to its end."""
    plan = make_plan(manifest, take_fingerprint(manifest), asked)
    with run.stage("download") as notes:
        manifest.write(run.folder / "manifest.json")
        notes.text = "6 cases"
    with run.stage("plan"):
        plan.write(run.folder / "plan.json")
    with run.stage("train"):
        model = write_model(run.folder / "model", plan)
    with run.stage("build_tensorrt"):
        raise UnavailableError("no NVIDIA GPU: none & nowhere")
    with run.stage("compare"):
        judge(evaluate(run, manifest, model), plan.gate, MASKS).write(run.folder / "gate.json")
    with run.stage("benchmark"):
        benchmark().write(run.folder / "benchmark.json")
    return run


def page(run: Run) -> str:
    write_report(run)
    return (run.folder / "report.html").read_text(encoding="utf-8")


class Reader(HTMLParser):
    """Every tag's attributes, the text outside style and script, and whether the tags are balanced."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in ("img", "meta", "source"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.text += data


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that succeeded; its files are only read."""
    folder = tmp_path_factory.mktemp("complete")
    run = finish(start(folder / "run-1", task()), write_dataset(folder / "data"), task())
    write_report(run)
    return run


@pytest.fixture
def copied(complete: Run, tmp_path: Path) -> Run:
    """The same run, to be changed."""
    shutil.copytree(complete.folder, tmp_path / "run-1")
    return Run(tmp_path / "run-1")


@pytest.fixture
def html(complete: Run) -> str:
    return (complete.folder / "report.html").read_text(encoding="utf-8")


def test_the_report_of_a_whole_run_has_every_part(html: str) -> None:
    parts = (
        "key-figures stages data-set split plan training evaluation test-cases pictures gate onnx-export "
        "benchmark provenance"
    )
    places = [html.index(f'id="{part}"') for part in parts.split()]
    assert places == sorted(places)
    assert 'id="missing"' not in html and 'id="outcome"' not in html


def test_the_summary_for_machines_is_written_beside_it(complete: Run) -> None:
    summary = json.loads((complete.folder / "summary.json").read_text())
    assert summary["status"] == "succeeded"
    assert summary["metrics"]["pytorch"]["worst"][0] == "case_f"


def test_the_report_needs_no_network_and_no_other_file(html: str) -> None:
    loading = [
        (t, n, v) for t, n, v in Reader(html).attributes if n in ("src", "srcset", "href", "xlink:href")
    ]
    assert all(value.startswith(("data:", "#")) for tag, _, value in loading if tag != "a")
    assert {value for tag, _, value in loading if tag == "a" and not value.startswith("#")} <= {"viewer.html"}
    assert not re.search(r"url\((?!#)|@import", html)
    policy = next(value for tag, _, value in Reader(html).attributes if value.startswith("default-src"))
    assert policy.startswith("default-src 'none'; img-src data:")


def test_addresses_stand_only_in_the_names_of_xml_vocabularies(html: str) -> None:
    found = [(n, v) for _, n, v in Reader(html).attributes if "http" in v]
    assert {name for name, _ in found} <= {"xmlns", "xmlns:xlink"}
    assert "http" not in Reader(html).text


def test_every_tag_is_closed(html: str) -> None:
    assert Reader(html).open == []


def test_a_report_stays_small(html: str) -> None:
    assert len(html) < 5_000_000


def test_the_figures_and_pictures_are_there(html: str) -> None:
    assert html.count("<svg") == 4
    assert html.count('class="panel"') == 3 * 2 * 4
    assert html.count("<picture>") == 1


def test_the_worst_case_is_named_first(html: str) -> None:
    text = Reader(html).text
    assert "Worst test case: case_f" in text
    rows = re.findall(r"<tr><td><strong>(case_\w)", html[html.index('id="test-cases"') :])
    assert rows[0] == "case_f" and rows[-1] == "case_d"


def test_a_backend_that_was_left_out_is_one_quiet_line_with_its_reason_folded_away(html: str) -> None:
    stages = html[html.index('id="stages"') :]
    assert "<details><summary>Not run here: TensorRT (no NVIDIA GPU)</summary>" in stages
    assert Reader(html).text.count("no NVIDIA GPU: none & nowhere") == 1
    assert ">build_tensorrt<" not in stages[: stages.index("<details>")], "no row of a stage"


def test_a_backend_that_was_left_out_is_not_told_again_with_the_benchmark() -> None:
    shown = benchmark(times("pytorch"), unavailable=[Unavailable(backend="tensorrt", reason="no GPU")])
    assert "Not timed" not in Reader(speed.benchmark(shown, {"tensorrt"})).text
    assert "tensorrt: no GPU" in Reader(speed.benchmark(shown, {"openvino"})).text


def test_backends_stand_side_by_side(html: str) -> None:
    rows = re.findall(r'class="backend"><span>(\w+)</span>', html)
    assert rows == ["pytorch", "onnxruntime"] * 3, "for the mean over labels, and for each label"


def test_the_network_alone_and_end_to_end_stand_side_by_side() -> None:
    text = Reader(speed.benchmark(benchmark(times("pytorch")))).text
    assert "Network aloneEnd to endPeak memory" in text
    assert "5.0200.0" in text, "milliseconds a window, windows a second"
    assert "61.073.291.51000.0" in text, "milliseconds a volume, volumes a minute"


def test_a_backend_is_compared_end_to_end_and_in_the_network_alone() -> None:
    faster = times("openvino", stages_ms={stage: Percentiles(p50=5, p95=5, p99=5) for stage in STAGES})
    text = Reader(speed.benchmark(benchmark(times("pytorch"), faster))).text
    assert (
        "openvino against pytorch: 1.00 times as fast end to end, 2.00 times as fast in the network" in text
    )


def test_the_bars_end_with_the_median_of_the_whole() -> None:
    chart = str(speed.benchmark(benchmark(times("pytorch", 2.0))))
    assert re.search(r"<text[^>]*>122</text>", chart[chart.index("<svg") :])


def test_a_backend_that_could_not_be_timed_stands_there_with_its_reason() -> None:
    shown = benchmark(unavailable=[Unavailable(backend="tensorrt", reason="no NVIDIA GPU & no driver")])
    assert "tensorrt: no NVIDIA GPU & no driver" in Reader(speed.benchmark(shown)).text


def test_a_benchmark_of_no_backend_says_why() -> None:
    shown = benchmark().model_copy(
        update={"backends": (), "unavailable": (Unavailable(backend="pytorch", reason="broken"),)}
    )
    text = Reader(speed.benchmark(shown)).text
    assert "pytorch: broken" in text and "a small CPU" in text


def test_device_memory_and_energy_are_shown_where_a_gpu_was_used() -> None:
    without = Reader(speed.benchmark(benchmark())).text
    assert "Energy" not in without
    use = DeviceUse(peak_bytes=3 * 2**29, joules_per_volume=12.34)
    html = speed.benchmark(benchmark(times("pytorch", device=use), times("openvino")))
    assert "1.00 GiB1.50 GiB12.39" in Reader(html).text
    assert html.count('title="runs on the CPU"') == 2


def test_few_runs_have_no_high_percentiles_and_the_report_says_so() -> None:
    assert "With 9 runs, p95 and p99 are the slowest run." in Reader(speed.benchmark(benchmark())).text
    many = speed.benchmark(benchmark(times("pytorch", runs=99)))
    assert "With 99 runs, p99 is the slowest run." in Reader(many).text
    assert "slowest run" not in speed.benchmark(benchmark(times("pytorch", runs=100)))


def test_the_digests_lead_from_the_data_to_the_graph(complete: Run, html: str) -> None:
    plan, model = complete.plan, complete.model
    assert plan is not None and model is not None
    for digest in (
        plan.dataset_digest,
        plan.digest,
        sha256_of_file(model.weights),
        sha256_of_file(model.onnx),
    ):
        assert f'title="{digest}">{digest[:12]}' in html
    assert html.count("made from the one before") == 3


def test_an_undefined_figure_is_a_dash_that_says_why(copied: Run) -> None:
    folder = copied.folder / "predictions" / "pytorch"
    evaluation = Evaluation.read(folder / EVALUATION)
    case = evaluation.cases[0]
    measured = {**case.figures["anterior"], "hd95_mm": None}
    changed = case.model_copy(update={"figures": {**case.figures, "anterior": measured}})
    evaluation.model_copy(update={"cases": (changed, *evaluation.cases[1:])}).write(folder / EVALUATION)
    shown = quality.cases(Findings.of(copied))
    assert shown and 'title="undefined: the true or the predicted mask is empty">–<' in shown


@pytest.mark.parametrize("gone", ["imagesTr", "labelsTr"])
def test_pictures_of_files_that_are_gone_are_replaced_by_the_reason(copied: Run, gone: str) -> None:
    manifest = copied.manifest
    assert manifest is not None
    emptied = manifest.model_copy(update={"root": str(copied.folder / "elsewhere")})
    shutil.copytree(manifest.root, emptied.root)
    shutil.rmtree(Path(emptied.root, gone))
    emptied.write(copied.folder / "manifest.json")
    shown = masks.pictures(Findings.of(copied))
    assert shown and f"No picture: {gone}/case_f.nii.gz: no such file" in Reader(shown).text


def test_an_image_that_was_changed_since_is_not_shown(copied: Run) -> None:
    manifest = copied.manifest
    assert manifest is not None
    moved = manifest.model_copy(update={"root": str(copied.folder / "elsewhere")})
    shutil.copytree(manifest.root, moved.root)
    shutil.copy(Path(moved.root, "imagesTr/case_a.nii.gz"), Path(moved.root, "imagesTr/case_d.nii.gz"))
    moved.write(copied.folder / "manifest.json")
    shown = masks.pictures(Findings.of(copied))
    assert shown and "No picture: imagesTr/case_d.nii.gz: changed since the data were verified" in shown


def test_a_damaged_part_is_told_and_the_rest_is_shown(copied: Run) -> None:
    (copied.folder / "benchmark.json").write_text("")
    findings = Findings.of(copied)
    told = overview.outcome(findings)
    assert told and "benchmark.json: not a benchmark" in told
    assert "missing or damaged" in findings.why_missing("benchmark")
    assert findings.contents.benchmark is None and quality.evaluation(findings)


def test_a_blocked_run_says_why_and_what_to_do(tmp_path: Path) -> None:
    asked = task(floor=0.99)
    run = finish(start(tmp_path / "run-1", asked), write_dataset(tmp_path / "data"), asked)
    findings = Findings.of(run)
    assert findings.summary.status == "blocked"
    assert '<p class="badge blocked">blocked</p>' in overview.header(findings)
    told = overview.outcome(findings)
    assert told and "is below the floor 0.99" in told and "must not be registered" in told
    assert findings.contents.verdict is not None
    assert str(acceptance.gate(findings.contents.verdict)).count("pill failed") == 2


def verdict_of(run: Run) -> Verdict:
    verdict = run.verdict
    assert verdict is not None
    return verdict


def test_the_gate_shows_how_each_backend_was_shown_to_be_equivalent(complete: Run) -> None:
    text = Reader(acceptance.gate(verdict_of(complete))).text
    assert "onnxruntimefloat320.90000.000000.00000 to 0.00000± 0.002< 0.0001shown" in text


def test_the_gate_shows_an_absent_backend_with_its_reason(complete: Run) -> None:
    told = acceptance.gate(verdict_of(complete))
    assert 'class="pill skipped">absent</span> it is not installed &lt;here&gt;' in told


def test_the_gate_marks_an_absent_backend_that_is_required(complete: Run) -> None:
    gate = verdict_of(complete).requirements.model_copy(update={"required": ("openvino",)})
    verdict = judge([*(complete.folder / "predictions").iterdir()], gate, MASKS)
    told = acceptance.gate(verdict)
    assert 'class="pill failed">required, absent</span>' in told
    assert "openvino: required, but it is absent" in told


def test_the_gate_says_where_equivalence_was_not_tested(complete: Run) -> None:
    first, other = verdict_of(complete).backends
    untested = other.model_copy(update={"equivalence": equivalence([0.0, 0.001], 0.002)})
    verdict = verdict_of(complete).model_copy(update={"backends": (first, untested)})
    assert "not tested: too few cases" in acceptance.gate(verdict)
    assert "3 or more cases are needed, there are 2" in acceptance.gate(verdict)


def test_the_gate_shows_a_backend_that_is_not_equivalent(complete: Run) -> None:
    first, other = verdict_of(complete).backends
    apart = other.model_copy(update={"equivalence": equivalence([-0.01, -0.02, -0.015], 0.002)})
    verdict = verdict_of(complete).model_copy(update={"backends": (first, apart)})
    text = Reader(acceptance.gate(verdict)).text
    assert "−0.01500−0.02343 to −0.00657± 0.0020.9770not shown" in text


def test_the_gate_shows_what_is_not_used_though_the_model_passed(complete: Run) -> None:
    first, other = verdict_of(complete).backends
    failed = {"backend": "openvino_int8", "failures": ("openvino_int8: 0.9 of the voxels agree",)}
    verdict = verdict_of(complete).model_copy(update={"backends": (first, other.model_copy(update=failed))})
    told = "openvino_int8 is not used where the choice is left open. openvino_int8: 0.9 of the voxels agree."
    assert told in acceptance.gate(verdict)
    assert "is not used" not in acceptance.gate(verdict_of(complete))


def test_the_gate_has_a_page_of_its_own_that_needs_no_other_file(complete: Run) -> None:
    alone = gate_page(verdict_of(complete))
    reader = Reader(alone)
    assert reader.open == []
    assert not [name for _, name, _ in reader.attributes if name in ("src", "href")]
    assert acceptance.gate(verdict_of(complete)) in alone
    assert "<title>Gate passed</title>" in alone


def test_the_training_has_a_page_of_its_own_with_its_curves(complete: Run) -> None:
    plan = complete.plan
    assert plan is not None
    alone = training_page(history(), plan)
    reader = Reader(alone)
    assert reader.open == []
    assert not [name for _, name, _ in reader.attributes if name in ("src", "href")]
    assert 'id="training-curves"' in alone and alone.count("<svg") == 1
    assert "continued from step 30" in reader.text


def test_networks_that_were_trained_at_once_share_the_curves(complete: Run) -> None:
    assert complete.plan is not None
    points = [point.model_copy(update={"network": 1, "epoch": 7}) for point in history().points]
    both = {"kept_steps": (60, 40), "points": (*history().points, *points[:-1])}
    alone = training_page(history().model_copy(update=both), complete.plan)
    text = Reader(alone).text
    assert "60 (6 and 7 epochs)" in text and "steps 60 and 40" in text
    assert alone.count("<svg") == 1


def tuning(plan: Plan) -> Tuning:
    """Of a plan of which one candidate did not fit into memory."""
    rates = tuple(float(rate) for rate in np.geomspace(1e-5, 1e-1, 50))
    losses = tuple(2 / (1 + rate / 3e-3) for rate in rates)
    patch = plan.training.patch_size
    tried = Candidate(patch_size=patch, batch_size=4, seconds_a_step=0.125, steps=1300, passes=51.6)
    return Tuning(
        device="cpu",
        budget_minutes=3,
        probe_minutes=0.15,
        candidates=(tried, tried.model_copy(update={"batch_size": 8, "seconds_a_step": None})),
        validation_seconds=1.5,
        range_test=RangeTest(rates=rates, losses=losses),
        steps=1200,
        training=plan.training,
        inference=plan.inference,
    )


def test_what_a_training_was_tuned_to_is_shown_with_all_that_was_tried(complete: Run) -> None:
    plan = complete.plan
    assert plan is not None
    alone = training_page(history(), plan, tuning(plan))
    reader = Reader(alone)
    assert reader.open == []
    assert "For a budget of 3 min a probe of 9.0 s on cpu chose a patch of" in reader.text
    assert "40.12532.0130052" in reader.text
    assert alone.count("it does not fit into memory") == 4
    assert 'id="range-test"' in alone and alone.count("<svg") == 2


def test_without_time_for_the_range_test_the_report_says_so(complete: Run) -> None:
    plan = complete.plan
    assert plan is not None
    alone = training_page(history(), plan, tuning(plan).model_copy(update={"range_test": None}))
    assert "the budget had no time for one" in alone and alone.count("<svg") == 1


def test_a_rate_that_was_found_alone_is_shown_with_its_test(complete: Run) -> None:
    plan = complete.plan
    assert plan is not None
    alone = {"candidates": (), "budget_minutes": None, "validation_seconds": None, "steps": None}
    found = tuning(plan).model_copy(update=alone)
    page = training_page(history(), plan, found)
    text = Reader(page).text
    assert "How its learning rate was found" in text and "it was trained at 0.003." in text
    assert 'id="range-test"' in page and "Patches a second" not in text
    without = training_page(history(), plan, found.model_copy(update={"range_test": None}))
    assert "the budget had no time for one" in without and without.count("<svg") == 1


def test_voxels_are_shown_by_true_and_predicted_label(html: str) -> None:
    text = Reader(html).text
    assert "found as backgroundfound as anteriorfound as posterior" in text
    assert "anterior25.0 %2575.0 %750 %0" in text
    assert "posterior–0–0–0" in text


def test_the_accumulated_dice_stands_beside_the_mean_of_cases(html: str, complete: Run) -> None:
    reference = complete.evaluations[0]
    mean = reference.by_label["anterior"]["dice"].mean
    assert f"LabelAccumulated DiceMean of casesanterior0.090{mean:.3f}" in Reader(html).text


def test_the_signed_volume_error_has_its_mean_and_deviation_over_cases(html: str, complete: Run) -> None:
    error = complete.evaluations[0].by_label["anterior"]["relative_volume_error"]
    assert error.mean is not None and error.sd is not None
    shown = Reader(html).text
    assert percent(error.mean, 1, signed=True) in shown and f"sd {percent(error.sd, 1)}" in shown


def test_no_picture_shows_a_formula_as_text(html: str) -> None:
    assert "mathdefault" not in html
    assert "10⁻" in html


def test_the_roc_stands_with_its_area_and_what_flatters_it(html: str) -> None:
    roc = SCORES.roc()
    assert roc is not None
    assert f"area {roc.area:.5f}. Nearly every voxel is easy background" in html
    assert "share of the foreground found" in html


def test_an_evaluation_of_an_older_version_has_no_voxels(complete: Run) -> None:
    (evaluation, *_) = complete.evaluations
    assert voxels(evaluation.model_copy(update={"confusion": None, "scores": None})) is None


def test_the_summary_for_people_has_status_figures_and_stages(complete: Run) -> None:
    lines = (complete.folder / "summary.md").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "# blocks: succeeded"
    assert [line for line in lines if line.startswith("| pytorch | 3 | ")]
    assert [line for line in lines if line.startswith("Worst by mean Dice: case_f")]
    assert lines[-1] == "Not run here: TensorRT (no NVIDIA GPU)."


def test_the_summary_for_people_gives_the_reasons_and_keeps_its_tables(tmp_path: Path) -> None:
    run = start(tmp_path / "run-1", task())
    with pytest.raises(SeglineError), run.stage("download"):
        raise SeglineError("a|b.nii.gz: its grid\ndiffers")
    write_report(run)
    text = (run.folder / "summary.md").read_text(encoding="utf-8")
    assert text.startswith("# blocks: failed\n")
    assert "| a\\|b.nii.gz: its grid differs |" in text
    assert "No test figures: not reached, because download failed." in text


def cross_validated(run: Run) -> Run:
    """The run, as if its evaluation were that of two folds."""
    (evaluation, *_) = run.evaluations
    fold = Fold(cases=1, plan_digest="0" * 64, overall=evaluation.overall)
    pooled = CrossValidation(folds=(fold, fold), cases=2, overall=evaluation.overall)
    pooled.write(run.folder / CROSS_VALIDATION)
    for name in ("gate.json", "benchmark.json", "stages/compare.json"):
        (run.folder / name).unlink()
    shutil.rmtree(run.folder / "model")
    return run


def test_a_cross_validation_succeeds_without_a_gate_and_shows_its_folds(copied: Run) -> None:
    text = page(cross_validated(copied))
    assert json.loads((copied.folder / "summary.json").read_text())["status"] == "succeeded"
    assert "2 models, each trained without the cases it is tested on" in text
    assert text.index('id="cross-validation"') < text.index('id="evaluation"') < text.index('id="test-cases"')
    assert 'id="missing"' not in text and 'id="split"' not in text
    assert "each tested once, in 2 folds" in text
    brief = (copied.folder / "summary.md").read_text(encoding="utf-8")
    assert "| fold 1 | 3 |" in brief
    for told in (text, brief):
        assert "Folds count from 0." in told


def test_of_one_fold_the_split_says_which(copied: Run) -> None:
    asked = copied.info.task.override("split", {"folds": 5, "fold": 4})
    copied.info.model_copy(update={"task": asked}).write(copied.folder / "run.json")
    assert "This is fold 4 of 5; folds count from 0." in Reader(page(copied)).text


def test_a_fold_that_failed_fails_the_run_with_its_own_reason(tmp_path: Path) -> None:
    run = start(tmp_path / "run-1", task())
    fold = start(run.folder / "folds/1", task())
    with pytest.raises(SeglineError), fold.stage("train"):
        raise SeglineError("the loss is nan")
    assert "train, fold 1: the loss is nan" in Reader(page(run)).text
    assert json.loads((run.folder / "summary.json").read_text())["reasons"] == [
        "train, fold 1: the loss is nan"
    ]


def test_a_run_that_failed_at_once_says_why_and_what_was_not_reached(tmp_path: Path) -> None:
    run = start(tmp_path / "run-1", task())
    with pytest.raises(SeglineError), run.stage("download"):
        raise SeglineError("labelsTr/<b>.nii.gz: label value 7 & 8 are not declared; correct the label")
    html = page(run)
    assert '<p class="badge failed">failed</p>' in html
    assert "labelsTr/&lt;b&gt;.nii.gz: label value 7 &amp; 8" in html and "<b>.nii" not in html
    assert "not reached, because download failed" in html
    assert "What to do." in html


def test_a_killed_run_says_that_training_will_continue(tmp_path: Path) -> None:
    run = start(tmp_path / "run-1", task())
    stage = run.stage("train")
    stage.__enter__()
    text = Reader(page(run)).text
    assert "train: killed before it could end" in text
    assert "checkpoint of an unfinished training" in text


def test_a_run_in_which_nothing_started_has_a_report(tmp_path: Path) -> None:
    text = Reader(page(start(tmp_path / "run-1", task()))).text
    assert "No stage has started." in text and "no verdict: compare did not run" in text


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SeglineError, match="not a run's folder"):
        write_report(Run(tmp_path))


def test_a_name_that_is_a_script_stays_text(tmp_path: Path) -> None:
    evil = "<script>alert(1)<|script>"
    names = [*NAMES[:-1], evil]
    asked = task(split={**SPLIT, "test": ["case_d", "case_e", evil]})
    html = page(finish(start(tmp_path / "run-1", asked), write_dataset(tmp_path / "data", names), asked))
    assert evil in Reader(html).text
    assert html.count("<script>") == 1 and "&lt;script&gt;alert(1)" in html


def test_labels_and_all_other_names_stay_text(copied: Run) -> None:
    evil = "<i onerror=f()> & *a*|$b$"
    info, manifest, plan = copied.info, copied.manifest, copied.plan
    assert manifest is not None and plan is not None
    labels = {value: name.replace("anterior", evil) for value, name in plan.labels.items()}
    asked = info.task.model_copy(update={"description": evil})
    info.model_copy(update={"task": asked}).write(copied.folder / "run.json")
    named = {"name": evil, "licence": evil, "modalities": (evil,), "labels": labels}
    manifest.model_copy(update=named).write(copied.folder / "manifest.json")
    plan.model_copy(update={"channels": (evil,), "labels": labels}).write(copied.folder / "plan.json")
    for evaluation in copied.evaluations:
        renamed = json.loads(evaluation.model_dump_json().replace('"anterior"', json.dumps(evil)))
        path = copied.folder / "predictions" / evaluation.backend / EVALUATION
        Evaluation.model_validate(renamed).write(path)
    html = page(copied)
    reader = Reader(html)
    assert reader.open == [] and not [name for _, name, _ in reader.attributes if name == "onerror"]
    assert reader.text.count(evil) >= 12
    chart = html[html.index('id="score-by-case"') :]
    assert "&lt;i onerror=f()&gt; &amp; *a*|$b$</text>" in chart[: chart.index("</svg>")]


def trained(labels: Sequence[str], steps: Sequence[int]) -> History:
    """A training that is validated at every one of these steps."""
    points = [
        TrainingPoint(
            step=step,
            epoch=step,
            minutes=step,
            loss=1,
            learning_rate=1e-3,
            scores=dict.fromkeys(labels, 0.5),
        )
        for step in steps
    ]
    return history().model_copy(
        update={"points": tuple(points), "kept_steps": (steps[-1],), "resumed_from_step": None}
    )


def texts(picture: str) -> dict[str, float]:
    """The words of a picture, and where they begin from its left edge, as a share of its width."""
    width = float(re.findall(r'viewBox="0 0 ([\d.]+)', picture)[0])
    found = re.findall(r'<text [^>]*?(?:x="|translate\()(-?[\d.]+)[^>]*>([^<]*)</text>', picture)
    return {words.strip("\u200b"): float(left) / width for left, words in found}


def test_steps_are_counted_in_whole_numbers() -> None:
    shown = texts(charts.curves(trained(["spleen"], [20, 30, 40])))
    assert {"20", "40", "step"} <= shown.keys()
    assert not {"22.5", "20.0"} & shown.keys()


def test_the_names_of_many_labels_stay_within_the_picture() -> None:
    labels = [f"lower lobe of organ {number}" for number in range(15)]
    shown = texts(charts.curves(trained(labels, [10, 20])))
    assert {*labels, "mean"} <= shown.keys()
    assert all(0 <= shown[label] <= 0.85 for label in labels)


def test_every_label_has_a_curve_of_its_own_and_their_mean_one() -> None:
    picture = charts.curves(trained(["edema", "enhancing tumour", "core"], [10, 20]))
    assert {"edema", "enhancing tumour", "core", "mean"} <= texts(picture).keys()
    assert {f"--series-{number}" for number in (2, 3, 4)} <= set(re.findall(r"--series-\d", picture))


def test_the_recall_of_each_class_is_drawn_unless_there_are_too_many() -> None:
    def shown(classes: Sequence[str]) -> set[str]:
        found = trained(["every class"], [10, 20])
        details = {f"recall/{name}": 0.5 for name in classes}
        points = tuple(point.model_copy(update={"details": details}) for point in found.points)
        return {*texts(charts.curves(found.model_copy(update={"points": points})))}

    assert {"every class", "recall of Hand", "recall of BreastMRI"} <= shown(["Hand", "BreastMRI"])
    assert not {name for name in shown([f"class {n}" for n in range(40)]) if "recall" in name}


def test_a_training_of_one_point_is_seen() -> None:
    one, two = (charts.curves(trained(["spleen"], steps)) for steps in ([10], [10, 20]))
    for color in ("--series-1", "--muted"):  # of the loss and of the learning rate
        mark = re.compile(rf"<use [^>]*fill: var\({color}\)")
        assert mark.search(one) and not mark.search(two)


def test_long_names_leave_room_for_the_picture(complete: Run) -> None:
    name = "a patient of a hospital with a long name, series 7 of many, late phase of the contrast 0815"
    (evaluation, *_) = complete.evaluations
    cases = [case.model_copy(update={"case": name}) for case in evaluation.cases]
    by_label = {f"{name}{label}": figures for label, figures in evaluation.by_label.items()}
    named = [
        case.model_copy(update={"figures": {f"{name}{label}": of for label, of in case.figures.items()}})
        for case in cases
    ]
    changed = evaluation.model_copy(update={"cases": tuple(named), "by_label": by_label})
    shown = texts(charts.score_by_case(changed))
    assert not [words for words in shown if len(words) > 70]
    assert [words for words in shown if words.startswith("worst: a patient") and words.endswith("0815")]


def test_two_reports_of_one_run_are_equal(complete: Run, html: str) -> None:
    assert page(complete) == html


def test_a_package_that_is_missing_is_named_where_its_picture_would_be() -> None:
    shown = drawn(lambda: Html(importlib.import_module("no_such_package")))
    assert "No picture: no_such_package is not installed here: pip install" in shown


def ras_volumes(index: tuple[int, int, int]) -> CaseVolumes:
    """One labelled voxel, for which nothing was predicted."""
    truth = np.zeros((5, 6, 7), np.uint8)
    truth[index] = 1
    return CaseVolumes(truth.astype(np.float32), truth, np.zeros_like(truth), (1.0, 2.0, 3.0))


def test_the_patients_right_is_shown_on_the_left() -> None:
    view = View.of(ras_volumes((4, 0, 3)), "axial", 2)
    assert view.number == 4 and view.truth.shape == (6, 5)
    assert np.argwhere(view.truth).tolist() == [[5, 0]]
    assert view.spacing_mm == (2.0, 1.0)


def test_the_head_is_shown_on_top_of_a_coronal_slice() -> None:
    view = View.of(ras_volumes((0, 2, 6)), "coronal", 1)
    assert view.number == 3 and view.truth.shape == (7, 5)
    assert np.argwhere(view.truth).tolist() == [[0, 4]]
    assert view.spacing_mm == (3.0, 1.0)


def test_a_case_is_shown_the_same_whatever_the_orientation_of_its_file(complete: Run) -> None:
    manifest, plan = complete.manifest, complete.plan
    assert manifest is not None and plan is not None
    for name in plan.split.test:
        case = manifest.case(name)
        mask = complete.folder / "predictions" / "pytorch" / f"{name}.nii.gz"
        volumes = CaseVolumes.read(manifest, plan, name, mask)
        turn = Reorientation.between(case.orientation, "RAS")
        assert np.array_equal(volumes.truth, turn.apply(truth_array()))
        assert volumes.spacing_mm == (1.5, 1.5, 3.0)


def test_a_mask_in_the_round_turns_and_stays_small() -> None:
    volumes = ras_volumes((2, 3, 3))
    html = spin(volumes, 1.0, "a voxel")
    assert "prefers-reduced-motion" in html and len(html) < 400_000


def test_nothing_to_turn_is_told() -> None:
    empty = ras_volumes((2, 3, 3))
    with pytest.raises(SeglineError, match="nothing was predicted"):
        spin(CaseVolumes(empty.image, empty.prediction, empty.prediction, empty.spacing_mm), 1.0, "nothing")
