"""Reigns: which version is the champion, who was before, and why."""

from collections.abc import Sequence

from segline.common.errors import SeglineError
from segline.registry.references import CHALLENGER, CHAMPION, MODEL_PREFIX, PREVIOUS, Reference
from segline.registry.versions import REASONS_BETWEEN, Version, resolve, versions
from segline.tracking.mlflow_connection import Registry

_LONGEST_REASONS = 5000
"""MLflow's servers of old take no longer tag."""


def promote(registry: Registry, reference: Reference, reasons: Sequence[str]) -> Version:
    """Make a version the champion, for ``reasons``; the one before becomes ``previous_champion``."""
    version = resolve(registry, reference)
    before = champion_of(registry, version.task)
    if before is None or before.number != version.number:
        replaced = str(before.number) if before else ""
        _tag(registry, version, decision="promoted", reasons=reasons, replaced=replaced)
        _crown(registry, version.task, version.number, before.number if before else None)
    if CHALLENGER in version.aliases:
        with registry.readable_errors():
            registry.client.delete_registered_model_alias(MODEL_PREFIX + version.task, CHALLENGER)
    return resolve(registry, version.reference)


def reject(registry: Registry, reference: Reference, reasons: Sequence[str]) -> Version:
    """Leave the champion as it is, and write down on the version why.

    Raises:
        SeglineError: the version is the champion.
    """
    version = resolve(registry, reference)
    if CHAMPION in version.aliases:
        raise SeglineError(f"{version.name}: is the champion; roll back instead")
    _tag(registry, version, decision="rejected", reasons=reasons)
    return resolve(registry, version.reference)


def rollback(registry: Registry, task: str) -> Version:
    """Make the champion's predecessor the champion again; can be repeated down to the first.

    Raises:
        SeglineError: there is no champion, or nothing before it.
    """
    now = resolve(registry, Reference(task, alias=CHAMPION))
    if now.replaced is None:
        raise SeglineError(f"{now.name}: is the first champion; there is nothing to roll back to")
    before = resolve(registry, Reference(task, number=now.replaced))
    _tag(registry, now, decision="rolled back", reasons=[f"rolled back to version {before.number}"])
    _crown(registry, task, before.number, before.replaced)
    return resolve(registry, Reference(task, number=before.number))


def champion_of(registry: Registry, task: str) -> Version | None:
    """The champion of a task, if it has one."""
    return next((version for version in versions(registry, task) if CHAMPION in version.aliases), None)


def _crown(registry: Registry, task: str, number: int, previous: int | None) -> None:
    """The champion last: what is killed in between is done again by the same call."""
    name = MODEL_PREFIX + task
    with registry.readable_errors():
        if previous is None:
            registry.client.delete_registered_model_alias(name, PREVIOUS)
        else:
            registry.client.set_registered_model_alias(name, PREVIOUS, str(previous))
        registry.client.set_registered_model_alias(name, CHAMPION, str(number))


def _tag(registry: Registry, version: Version, *, decision: str, reasons: Sequence[str], **more: str) -> None:
    joined = REASONS_BETWEEN.join(reasons)[:_LONGEST_REASONS]
    tags = {
        "segline.decision": decision,
        "segline.reasons": joined,
        **{f"segline.{k}": v for k, v in more.items()},
    }
    with registry.readable_errors():
        for key, value in tags.items():
            registry.client.set_model_version_tag(
                MODEL_PREFIX + version.task, str(version.number), key, value
            )
