"""The pipelines, on one screen: training, and retraining once there are new cases."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, NamedTuple

from kfp import dsl

import components as stage
from segline.backends import CPU_BACKENDS, GPU_BACKENDS

NAME = "from-data-to-report"
"""Of the group of all stages, in the graph that people see: the report is written however the rest ends."""


@dataclass(frozen=True)
class Breadth:
    """How far a pipeline fans out, which is decided when it is compiled; by default as on one machine."""

    gpu_types: Sequence[str] = ("",)
    """One engine is built for each, side by side; for whatever GPU is there, where it is empty."""
    folds_at_once: int = 1
    """0 is all."""


def with_engines(quantized: Any, run: Any, store: Any, gpu_types: Sequence[str]) -> Any:
    """One package with an engine for each type of GPU."""
    built = [stage.build_tensorrt(run=run, store=store, quantized=quantized, gpu=gpu) for gpu in gpu_types]
    packages = [task.outputs["model"] for task in built]
    return reduce(lambda a, b: stage.merge_engines(run=run, model=a, other=b).outputs["merged"], packages)


class Place(NamedTuple):
    """Where a pipeline works, as its user names it."""

    run: Any
    store: Any
    device: Any
    tracking: Any
    breadth: Breadth


class Prepared(NamedTuple):
    """What a model is made of."""

    data: Any
    """The verified data set."""
    plan: Any
    cases: Any


def model_from(data: Any, plan: Any, at: Place) -> None:
    """From a verified data set and a plan to a model that is trained, judged, timed and registered."""
    cases = stage.preprocess(run=at.run, store=at.store, manifest=data, plan=plan).outputs["cases"]
    where = {"store": at.store, "device": at.device, "tracking": at.tracking}
    trained = stage.train(run=at.run, plan=plan, cases=cases, **where)
    made = Prepared(data, trained.outputs["final_plan"], cases)
    export_and_judge(trained.outputs["model"], made, at)


def export_and_judge(trained: Any, made: Prepared, at: Place) -> Any:
    """From weights to a model that is exported, judged, timed and registered; the task that times it."""
    run, device, data = at.run, at.device, made.data
    exported = stage.export_onnx(run=run, trained=trained, cases=made.cases).outputs["model"]
    quantized = stage.quantize(run=run, exported=exported, cases=made.cases).outputs["model"]
    model = with_engines(quantized, run, at.store, at.breadth.gpu_types)
    with dsl.ParallelFor(list(GPU_BACKENDS), name="each-gpu-backend") as backend:
        on_gpu = stage.evaluate(run=run, backend=backend, model=model, manifest=data, device=device)
    with dsl.ParallelFor(list(CPU_BACKENDS), name="each-cpu-backend") as backend:
        on_cpu = stage.evaluate(run=run, backend=backend, model=model, manifest=data, device="cpu")
    scores = {"on_gpu": dsl.Collected(on_gpu.outputs["evaluation"])}
    scores |= {"on_cpu": dsl.Collected(on_cpu.outputs["evaluation"])}
    verdict = stage.compare(run=run, plan=made.plan, **scores)
    timed = stage.benchmark(run=run, model=model, manifest=data, device=device).after(verdict)
    stage.register(run=run, store=at.store, tracking=at.tracking, device=device).after(timed)
    return timed


def training(breadth: Breadth) -> Any:
    """Labelled volumes to a validated, registered segmentation model."""

    @dsl.pipeline(
        name="segline", description="Labelled volumes to a validated, registered segmentation model."
    )
    def segline_pipeline(run: str, store: str, device: str = "auto", tracking: str = "") -> None:
        """Labelled volumes to a validated, registered segmentation model.

        Args:
            run: folder of the run, which says of what task it is.
            store: folder for what is kept between runs: data sets, cases, checkpoints, the registry.
            device: ``cpu``, ``cuda`` or ``auto``.
            tracking: URI of an MLflow server; the store's own registry where it is empty.
        """
        with dsl.ExitHandler(stage.report(run=run, store=store, tracking=tracking), name=NAME):
            data = stage.download(run=run, store=store).outputs["manifest"]
            contract = stage.plan(run=run, manifest=data).outputs["plan"]
            model_from(data, contract, Place(run, store, device, tracking, breadth))

    return segline_pipeline


def retraining(breadth: Breadth) -> Any:
    """A challenger for the champion where the data source has new cases; arguments as of training."""

    @dsl.pipeline(name="segline-retrain", description="A new model, if there are new cases and it is better.")
    def retraining_pipeline(run: str, store: str, device: str = "auto", tracking: str = "") -> None:
        with dsl.ExitHandler(stage.report(run=run, store=store, tracking=tracking), name=NAME):
            taken = stage.intake(run=run, store=store, tracking=tracking)
            with dsl.If(taken.outputs["Output"] == "new", name="new-cases"):
                data, previous = taken.outputs["manifest"], taken.outputs["previous"]
                plan = stage.succeed_plan(run=run, manifest=data, previous=previous)
                model_from(data, plan.outputs["plan"], Place(run, store, device, tracking, breadth))

    return retraining_pipeline


segline_pipeline, retraining_pipeline = training(Breadth()), retraining(Breadth())
"""As they run on one machine."""
