"""Logged models: a run's package as MLflow keeps it, once, beside the run that made it."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from segline.data.pseudonyms import Pseudonyms
from segline.inference.answers import Answers
from segline.inference.masks import MASKS
from segline.model.package import Model
from segline.registry.packing import pack
from segline.registry.pyfunc import save_pyfunc
from segline.registry.versions import PACKAGE_TAG
from segline.runs.run import Run
from segline.tracking.mlflow import MlflowRun
from segline.tracking.mlflow_connection import Registry


@dataclass(frozen=True)
class LoggedModel:
    """A package in MLflow."""

    model_id: str
    """MLflow's."""
    package_digest: str
    """Of its packing list."""


def log_model(
    run: Run, registry: Registry, tracked: MlflowRun, answers: Answers = MASKS
) -> LoggedModel | None:
    """Log the package of a tracked run, once; ``None`` where the run has no model.

    Safe to repeat: what an earlier call finished is found again, what it broke off is logged anew.

    Raises:
        SeglineError: this is not a run's folder, or MLflow cannot be reached or refuses.
    """
    contents = run.contents
    if contents.model is None:
        return None
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "package")
        digest = pack(run, contents.model, Pseudonyms.of(contents.manifest), folder)
        package = Model.open(folder)
        logged = registry.patiently(lambda: _ready_or_new(registry, tracked, package, digest, answers))
    return LoggedModel(logged, digest)


def _ready_or_new(
    registry: Registry, tracked: MlflowRun, package: Model, digest: str, answers: Answers
) -> str:
    """MLflow's id."""
    if known := _ready(registry, tracked, digest):
        return known
    created = registry.client.create_logged_model(
        tracked.experiment_id,
        package.plan.task,
        tracked.run_id,
        tags={PACKAGE_TAG: digest},
        model_type=package.plan.kind,
    )
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch, "saved")
        save_pyfunc(package, answers, place, created.model_id, tracked.run_id)
        registry.client.log_model_artifacts(created.model_id, str(place))
    registry.client.finalize_logged_model(created.model_id, "READY")
    return str(created.model_id)


def _ready(registry: Registry, tracked: MlflowRun, digest: str) -> str | None:
    """MLflow's id of a package that was logged whole for this run."""
    same = registry.client.search_logged_models([tracked.experiment_id], f"tags.`{PACKAGE_TAG}` = '{digest}'")
    ready = (model for model in same if model.source_run_id == tracked.run_id and model.status == "READY")
    return next((model.model_id for model in ready), None)
