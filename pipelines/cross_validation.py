"""The pipelines of a cross-validation: a model for each fold, and all of them as one."""

from typing import Any, NamedTuple

from kfp import dsl

import components as stage
from pipelines.dag import NAME, Breadth, Place, Prepared, export_and_judge
from segline.backends import REFERENCE


class Folds(NamedTuple):
    """What a cross-validation leaves to go on with."""

    data: Any
    whole: Any
    """The plan of the data set."""
    cases: Any
    pooled: Any
    """The task after which every fold is done."""
    members: Any
    """The folds' packages, to be collected."""


def each_fold(at: Place) -> Folds:
    """A model for each fold of a data set, and their evaluations together."""
    run, store, device, tracking, breadth = at
    data = stage.download(run=run, store=store).outputs["manifest"]
    whole = stage.plan(run=run, manifest=data).outputs["plan"]
    cases = stage.preprocess(run=run, store=store, manifest=data, plan=whole).outputs["cases"]
    folds = stage.split_folds(run=run)
    with dsl.ParallelFor(folds.output, name="each-fold", parallelism=breadth.folds_at_once) as fold:
        plan = stage.take_fold(run=fold, whole=whole).outputs["plan"]
        where = {"store": store, "device": device, "tracking": tracking}
        trained = stage.train(run=fold, plan=plan, cases=cases, **where)
        exported = stage.export_onnx(run=fold, trained=trained.outputs["model"], cases=cases)
        model = exported.outputs["model"]
        scores = stage.evaluate(run=fold, backend=REFERENCE, model=model, manifest=data, device=device)
    pooled = stage.pool(run=run, plan=whole, evaluations=dsl.Collected(scores.outputs["evaluation"]))
    return Folds(data, whole, cases, pooled, model)


def cross_validation(breadth: Breadth) -> Any:
    """A model for each fold, and every case tested once by one that never saw it; inputs as of training."""

    @dsl.pipeline(name="segline-folds", description="Every case tested once, by k-fold cross-validation.")
    def folds_pipeline(run: str, store: str, device: str = "auto", tracking: str = "") -> None:
        with dsl.ExitHandler(stage.report(run=run, store=store, tracking=tracking), name=NAME):
            folds = each_fold(Place(run, store, device, tracking, breadth))
            stage.track_folds(run=run, store=store, tracking=tracking).after(folds.pooled)

    return folds_pipeline


def ensembling(breadth: Breadth) -> Any:
    """A cross-validation whose models become one, which is judged on cases that no fold has seen."""

    @dsl.pipeline(name="segline-ensemble", description="The models of a cross-validation as one model.")
    def ensemble_pipeline(run: str, store: str, device: str = "auto", tracking: str = "") -> None:
        with dsl.ExitHandler(stage.report(run=run, store=store, tracking=tracking), name=NAME):
            at = Place(run, store, device, tracking, breadth)
            data, whole, cases, pooled, each = each_fold(at)
            made = stage.assemble(run=run, plan=whole, members=dsl.Collected(each)).after(pooled)
            ensemble = made.outputs["model"]
            timed = export_and_judge(ensemble, Prepared(data, whole, cases), at)
            members = dsl.Collected(each)
            compared = stage.compare_members(run=run, members=members, manifest=data, device=device)
            stage.track_folds(run=run, store=store, tracking=tracking).after(compared.after(timed))

    return ensemble_pipeline


folds_pipeline, ensemble_pipeline = cross_validation(Breadth()), ensembling(Breadth())
"""As they run on one machine: a fold after the other."""
