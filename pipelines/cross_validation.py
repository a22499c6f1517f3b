"""The pipeline of a cross-validation: a model for each fold, and every case tested once."""

from typing import Any

from kfp import dsl

import components as stage
from pipelines.dag import Breadth
from segline.backends import REFERENCE


def cross_validation(breadth: Breadth) -> Any:
    """A model for each fold, and every case tested once by one that never saw it."""

    @dsl.pipeline(name="segline-folds", description="Every case tested once, by k-fold cross-validation.")
    def folds_pipeline(task: str, source: str, run: str, store: str, device: str = "auto") -> None:
        with dsl.ExitHandler(stage.report(run=run), name="report-whatever-happens"):
            data = stage.download(run=run, store=store, source=source).outputs["manifest"]
            whole = stage.plan(run=run, task=task, manifest=data).outputs["plan"]
            cases = stage.preprocess(run=run, store=store, manifest=data, plan=whole).outputs["cases"]
            folds = stage.split_folds(run=run)
            with dsl.ParallelFor(folds.output, name="each-fold", parallelism=breadth.folds_at_once) as fold:
                plan = stage.take_fold(run=fold, whole=whole).outputs["plan"]
                trained = stage.train(run=fold, store=store, plan=plan, cases=cases, device=device)
                exported = stage.export_onnx(run=fold, trained=trained.outputs["model"], cases=cases)
                scores = stage.evaluate(
                    run=fold,
                    backend=REFERENCE,
                    model=exported.outputs["model"],
                    manifest=data,
                    device=device,
                )
            stage.pool(run=run, plan=whole, evaluations=dsl.Collected(scores.outputs["evaluation"]))

    return folds_pipeline


folds_pipeline = cross_validation(Breadth())
"""As it runs on one machine: a fold after the other."""
