"""The pipeline, on one screen."""

from kfp import dsl

import components as stage
from segline.backends import BACKENDS


@dsl.pipeline(name="segline", description="Labelled volumes to a validated, exported segmentation model.")
def segline_pipeline(task: str, source: str, run: str, store: str, device: str = "auto") -> None:
    """Labelled volumes to a validated, exported segmentation model.

    Args:
        task: the task as JSON.
        source: where the labelled volumes come from.
        run: folder of the run, new.
        store: folder for what is kept between runs: data sets, cases, checkpoints.
        device: ``cpu``, ``cuda`` or ``auto``.
    """
    with dsl.ExitHandler(stage.report(run=run), name="report-whatever-happens"):
        data = stage.download(run=run, store=store, source=source).outputs["manifest"]
        contract = stage.plan(run=run, task=task, manifest=data).outputs["plan"]
        cases = stage.preprocess(run=run, store=store, manifest=data, plan=contract).outputs["cases"]
        trained = stage.train(run=run, store=store, plan=contract, cases=cases, device=device)
        model = stage.export_onnx(run=run, trained=trained.outputs["model"], cases=cases).outputs["model"]
        stage.build_tensorrt(run=run, model=model)
        with dsl.ParallelFor(list(BACKENDS), name="each-backend") as backend:
            scores = stage.evaluate(run=run, backend=backend, model=model, manifest=data, device=device)
        verdict = stage.compare(
            run=run, plan=contract, evaluations=dsl.Collected(scores.outputs["evaluation"])
        )
        stage.benchmark(run=run, model=model, manifest=data, device=device).after(verdict)
