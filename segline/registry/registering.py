"""Registering: a run's model becomes the newest version of its task."""

from segline import __version__
from segline.acceptance.verdict import Verdict
from segline.common.errors import SeglineError
from segline.inference.answers import Answers
from segline.inference.masks import MASKS
from segline.registry.logged_models import LoggedModel, log_model
from segline.registry.references import CHALLENGER, CHAMPION, MODEL_PREFIX
from segline.registry.versions import PACKAGE_TAG, SCORE_TAG, Version, resolve, versions
from segline.runs.run import Run
from segline.tracking.facts import facts_of
from segline.tracking.mlflow import MlflowRun, MlflowTracker
from segline.tracking.mlflow_connection import Registry


def register(run: Run, registry: Registry, commit: str = "", answers: Answers = MASKS) -> Version:
    """Track a run and make its model the newest version of its task, with the alias ``challenger``.

    Safe to repeat: a package is registered once.

    Raises:
        SeglineError: the gate did not pass it, or MLflow cannot be reached or refuses.
    """
    verdict = _require_passed(run)
    tracked = MlflowTracker(registry).record(facts_of(run, commit))
    logged = log_model(run, registry, tracked, answers)
    if logged is None:
        raise SeglineError(f"{run.folder}: no model package to register; run train and export_onnx first")
    task = run.info.task.name
    tags = _version_tags(run, verdict, logged)
    version = registry.patiently(lambda: _known_or_new(registry, task, tracked, logged, tags))
    if not version.decision and CHAMPION not in version.aliases:
        number = str(version.number)
        registry.patiently(
            lambda: registry.client.set_registered_model_alias(MODEL_PREFIX + task, CHALLENGER, number)
        )
    return resolve(registry, version.reference)


def _require_passed(run: Run) -> Verdict:
    verdict = run.verdict
    if verdict is None:
        raise SeglineError(f"{run.folder}: no verdict of the gate; run compare first")
    if not verdict.passed:
        more = f" (and {len(verdict.reasons) - 1} more)" if len(verdict.reasons) > 1 else ""
        raise SeglineError(
            f"{run.folder}: the gate blocked this model, {verdict.reasons[0]}{more}; not registered"
        )
    return verdict


def _version_tags(run: Run, verdict: Verdict, logged: LoggedModel) -> dict[str, str]:
    contents = run.contents
    reference = contents.reference
    score = reference.overall[reference.figures[0].name] if reference else None
    return {
        PACKAGE_TAG: logged.package_digest,
        "segline.run": run.info.id,
        "segline.version": __version__,
        "segline.dataset": contents.plan.dataset_digest if contents.plan else "",
        "segline.plan": contents.plan.digest if contents.plan else "",
        "segline.backends": ",".join(judged.backend for judged in verdict.backends),
        **({SCORE_TAG: score.model_dump_json()} if score else {}),
    }


def _known_or_new(
    registry: Registry, task: str, tracked: MlflowRun, logged: LoggedModel, tags: dict[str, str]
) -> Version:
    """A package is one version, also where the answer to its making was lost."""
    there = versions(registry, task)
    known = next((each for each in there if each.package_digest == logged.package_digest), None)
    return known or _create(registry, task, tracked, logged, tags)


def _create(
    registry: Registry, task: str, tracked: MlflowRun, logged: LoggedModel, tags: dict[str, str]
) -> Version:
    from mlflow.exceptions import MlflowException

    name = MODEL_PREFIX + task
    try:
        registry.client.create_registered_model(name, {"segline.task": task})
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    # not models:/<id>, which MLflow would look up at the tracking URI of the whole process
    place = registry.client.get_logged_model(logged.model_id).artifact_location
    stored = registry.client.create_model_version(name, place, tracked.run_id, tags, model_id=logged.model_id)
    return Version.of(stored, ())
