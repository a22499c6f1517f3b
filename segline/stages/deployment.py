"""From weights to graphs and engines, and how fast they are."""

from pathlib import Path

from segline.acceptance.benchmark import benchmark as run_benchmark
from segline.acceptance.times import Benchmark
from segline.backends import BACKENDS
from segline.backends.tensorrt import Target, build_engine
from segline.backends.tensorrt import merge_engines as merge_packages
from segline.common.documents.names import BENCHMARK, MODEL
from segline.common.progress import ConsoleProgress
from segline.kinds import kind_of
from segline.model.package import Model
from segline.stages.frame import (
    Location,
    LogMetric,
    access_here,
    cases_here,
    inference_device,
    manifest_here,
    require_same_dataset,
    stage,
    tell_figures,
)


def export_onnx(run: Location, model_in: Location, cases_in: Location, model_out: Location) -> None:
    """Add the checked ONNX graph to the model package."""
    with stage(run, "export_onnx") as (record, outcome):
        model = Model.open(Path(model_in)).copied_to(Path(model_out))
        cases = cases_here(cases_in, model.plan.split.val)
        from segline.export.onnx import export_onnx as export_model

        sidecar = export_model(model, cases, objective=kind_of(model.plan.kind).objective)
        record.publish(model_out, MODEL)
        outcome.text = (
            f"scores within {sidecar.max_abs_difference:.1e} of PyTorch's, {sidecar.label_agreement:.6f} of "
            f"answers equal, on {sidecar.checked_patches} patches"
        )


def quantize(run: Location, model_in: Location, cases_in: Location, model_out: Location) -> None:
    """Add an int8 graph to the model package, if the plan asks for one."""
    with stage(run, "quantize") as (record, outcome):
        model = Model.open(Path(model_in)).copied_to(Path(model_out))
        cases = cases_here(cases_in, model.plan.split.train if model.plan.export.int8_patches else ())
        from segline.export.int8 import quantize as quantize_model

        sidecar = quantize_model(model, cases, kind_of(model.plan.kind).objective)
        record.publish(model_out, MODEL)
        outcome.text = (
            f"{sidecar.label_agreement:.6f} of answers as in float32 on {sidecar.checked_patches} patches, "
            f"calibrated on {sidecar.calibration_patches}"
        )


def build_tensorrt(
    run: Location, store: Location, model_in: Location, model_out: Location, gpu: str = ""
) -> None:
    """Add an engine for this machine's GPU to the model package; skipped where there is none.

    ``gpu`` tells builds for several GPUs apart.
    """
    with stage(run, f"build_tensorrt_{gpu}" if gpu else "build_tensorrt") as (record, outcome):
        model = Model.open(Path(model_in)).copied_to(Path(model_out))
        target = Target.here()
        depot, timings = access_here().depot(store), f"timing-caches/{target.timing_cache}"
        engine = build_engine(model, target, depot.bring_file(timings))
        depot.keep_file(timings)
        # the rest of the package is there, and builds for other GPUs add to it at the same time
        record.publish(engine.parent, f"{MODEL}/{engine.parent.relative_to(model.folder)}")
        outcome.text = f"{engine.relative_to(model.folder)}"


def merge_engines(run: Location, model_in: Location, other_in: Location, model_out: Location) -> None:
    """Bring two packages' engines together in one."""
    with stage(run, "merge_engines"):
        merge_packages(Model.open(Path(model_in)), Model.open(Path(other_in)), Path(model_out))


def benchmark(
    run: Location,
    model_in: Location,
    manifest_in: Location,
    benchmark_out: Location,
    device: str = "auto",
    log_metric: LogMetric | None = None,
) -> None:
    """Time every backend, stage by stage, on up to three test cases; ``log_metric`` is told the figures."""
    with stage(run, "benchmark") as (record, outcome):
        model = Model.open(Path(model_in))
        manifest = manifest_here(manifest_in, model.plan.split.test)
        require_same_dataset(model.plan, manifest)
        cases, progress = model.plan.split.test[:3], ConsoleProgress("[benchmark]")
        used, answers = inference_device(device), kind_of(model.plan.kind).answers
        result = run_benchmark(
            model, list(BACKENDS), manifest, cases, used, progress=progress, answers=answers
        )
        result.write(Path(benchmark_out))
        record.publish(benchmark_out, BENCHMARK)
        tell_figures(result.scalars, log_metric)
        outcome.text = _describe_benchmark(result)


def _describe_benchmark(result: Benchmark) -> str:
    timed = [f"{times.backend} {times.end_to_end.volume_ms.p50:.0f} ms a volume" for times in result.backends]
    return ", ".join(timed) or "no backend could be timed"
