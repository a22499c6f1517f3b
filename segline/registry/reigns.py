"""Reigns: which version is the champion, who was before, and why."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

from segline.common.errors import SeglineError
from segline.common.locks import exclusive, exclusive_at_once
from segline.registry.references import CHALLENGER, CHAMPION, MODEL_PREFIX, PREVIOUS, Reference
from segline.registry.versions import REASONS_BETWEEN, Version, resolve, versions
from segline.tracking.mlflow_connection import Registry

_LONGEST_REASONS = 5000
"""MLflow's servers of old take no longer tag."""

_log = logging.getLogger(__name__)


@contextmanager
def undisturbed(registry: Registry, task: str) -> Iterator[None]:
    """Let no other process register for a task or roll it back meanwhile, where the registry is a file.

    A server has no such lock; who decides by its champion asks again before it acts.

    Raises:
        SeglineError: the folder cannot be written.
    """
    with ExitStack() as held:
        if registry.database:
            lock = registry.database.path.with_name(f"{task}.lock")
            try:
                held.enter_context(exclusive_at_once(lock))
            except SeglineError:
                _log.warning("%s: another registration of %s goes on; waiting for its end", lock, task)
                held.enter_context(exclusive(lock))
        yield


def promote(registry: Registry, reference: Reference, reasons: Sequence[str]) -> Version:
    """Make a version the champion, for ``reasons``; the one before becomes ``previous_champion``."""
    version = resolve(registry, reference)
    before = champion_of(registry, version.task)
    if before is None or before.number != version.number:
        replaced = str(before.number) if before else ""
        _tag(registry, version, decision="promoted", reasons=reasons, replaced=replaced)
        _crown(registry, version.task, version.number, before.number if before else None)
    if CHALLENGER in version.aliases:
        _without_alias(registry, version.task, CHALLENGER)
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
    with undisturbed(registry, task):
        return _rollback(registry, task)


def champion_of(registry: Registry, task: str) -> Version | None:
    """The champion of a task, if it has one."""
    return next((version for version in versions(registry, task) if CHAMPION in version.aliases), None)


def _rollback(registry: Registry, task: str) -> Version:
    now = resolve(registry, Reference(task, alias=CHAMPION))
    if now.replaced is None:
        raise SeglineError(f"{now.name}: is the first champion; there is nothing to roll back to")
    before = resolve(registry, Reference(task, number=now.replaced))
    _tag(registry, now, decision="rolled back", reasons=[f"rolled back to version {before.number}"])
    _crown(registry, task, before.number, before.replaced)
    return resolve(registry, Reference(task, number=before.number))


def _crown(registry: Registry, task: str, number: int, previous: int | None) -> None:
    """The champion last: what is killed in between is done again by the same call."""
    if previous is None:
        _without_alias(registry, task, PREVIOUS)
    else:
        _with_alias(registry, task, PREVIOUS, previous)
    _with_alias(registry, task, CHAMPION, number)


def _with_alias(registry: Registry, task: str, alias: str, number: int) -> None:
    name = MODEL_PREFIX + task
    registry.patiently(lambda: registry.client.set_registered_model_alias(name, alias, str(number)))


def _without_alias(registry: Registry, task: str, alias: str) -> None:
    registry.patiently(lambda: registry.client.delete_registered_model_alias(MODEL_PREFIX + task, alias))


def _tag(registry: Registry, version: Version, *, decision: str, reasons: Sequence[str], **more: str) -> None:
    joined = REASONS_BETWEEN.join(reasons)[:_LONGEST_REASONS]
    tags = {
        "segline.decision": decision,
        "segline.reasons": joined,
        **{f"segline.{k}": v for k, v in more.items()},
    }
    set_tag = partial(registry.client.set_model_version_tag, MODEL_PREFIX + version.task, str(version.number))
    for key, value in tags.items():
        registry.patiently(partial(set_tag, key, value))
