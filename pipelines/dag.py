"""The pipelines, on one screen: training, and retraining once there are new cases."""

from typing import Any

from kfp import dsl

import components as stage
from segline.backends import BACKENDS


def model_from(data: Any, contract: Any, run: Any, store: Any, device: Any, tracking: Any) -> None:
    """From a verified data set and a plan to a model that is trained, judged, timed and registered."""
    cases = stage.preprocess(run=run, store=store, manifest=data, plan=contract).outputs["cases"]
    trained = stage.train(run=run, store=store, plan=contract, cases=cases, device=device)
    exported = stage.export_onnx(run=run, trained=trained.outputs["model"], cases=cases).outputs["model"]
    quantized = stage.quantize(run=run, exported=exported, cases=cases).outputs["model"]
    model = stage.build_tensorrt(run=run, store=store, quantized=quantized).outputs["model"]
    with dsl.ParallelFor(list(BACKENDS), name="each-backend") as backend:
        scores = stage.evaluate(run=run, backend=backend, model=model, manifest=data, device=device)
    verdict = stage.compare(run=run, plan=contract, evaluations=dsl.Collected(scores.outputs["evaluation"]))
    timed = stage.benchmark(run=run, model=model, manifest=data, device=device).after(verdict)
    stage.register(run=run, store=store, tracking=tracking, device=device).after(timed)


@dsl.pipeline(name="segline", description="Labelled volumes to a validated, registered segmentation model.")
def segline_pipeline(
    task: str, source: str, run: str, store: str, device: str = "auto", tracking: str = ""
) -> None:
    """Labelled volumes to a validated, registered segmentation model.

    Args:
        task: the task as JSON.
        source: where the labelled volumes come from.
        run: folder of the run, new.
        store: folder for what is kept between runs: data sets, cases, checkpoints, the registry.
        device: ``cpu``, ``cuda`` or ``auto``.
        tracking: URI of an MLflow server; the store's own registry where it is empty.
    """
    with dsl.ExitHandler(stage.report(run=run), name="report-whatever-happens"):
        data = stage.download(run=run, store=store, source=source).outputs["manifest"]
        contract = stage.plan(run=run, task=task, manifest=data).outputs["plan"]
        model_from(data, contract, run, store, device, tracking)


@dsl.pipeline(name="segline-retrain", description="A new model, if there are new cases and it is better.")
def retraining_pipeline(
    task: str, source: str, run: str, store: str, device: str = "auto", tracking: str = ""
) -> None:
    """A challenger for the champion where the data source has new cases; arguments as of training."""
    with dsl.ExitHandler(stage.report(run=run), name="report-whatever-happens"):
        taken = stage.intake(run=run, store=store, source=source, tracking=tracking)
        with dsl.If(taken.outputs["Output"] == "new", name="new-cases"):
            data, previous = taken.outputs["manifest"], taken.outputs["previous"]
            plan = stage.succeed_plan(run=run, task=task, manifest=data, previous=previous)
            model_from(data, plan.outputs["plan"], run, store, device, tracking)
