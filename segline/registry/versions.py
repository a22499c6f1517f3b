"""Versions: one registered model a task, whose aliases say which version is the champion."""

import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from segline import __version__
from segline.acceptance.gate import Verdict
from segline.backends import REFERENCE
from segline.common import atomic
from segline.common.errors import SeglineError
from segline.common.tables import in_columns
from segline.evaluation.estimates import Estimate
from segline.model.package import Model
from segline.registry.logged_models import PACKAGE_TAG, LoggedModel, log_model
from segline.registry.packing import PACKING_LIST, require_whole
from segline.runs.run import Run
from segline.tracking.mlflow import Tracked, track
from segline.tracking.mlflow_connection import Registry

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous_champion"
_PREFIX = "segline-"
_REFERENCE = re.compile(r"(?P<task>[a-z][a-z0-9-]*)(?:@(?P<alias>[A-Za-z_][\w-]*)|/(?P<number>[1-9]\d*))?")
_REASONS_BETWEEN = "\n"
_LONGEST_REASONS = 5000
"""MLflow's servers of old take no longer tag."""


@dataclass(frozen=True)
class Reference:
    """What a user calls a model: ``spleen@champion``, ``spleen/3``, or ``spleen`` for its champion."""

    task: str
    alias: str | None = None
    number: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """Read a reference; MLflow's own ``models:/segline-spleen@champion`` is understood too.

        >>> Reference.parse("spleen/3")
        Reference(task='spleen', alias=None, number=3)

        Raises:
            SeglineError: it is none.
        """
        found = _REFERENCE.fullmatch(text.removeprefix("models:/").removeprefix(_PREFIX))
        if found is None:
            raise SeglineError(f"{text!r}: names no model; write spleen@champion or spleen/3")
        if found["number"]:
            return cls(found["task"], number=int(found["number"]))
        return cls(found["task"], alias=found["alias"] or CHAMPION)

    def __str__(self) -> str:
        return f"{self.task}/{self.number}" if self.number else f"{self.task}@{self.alias}"


@dataclass(frozen=True)
class Version:
    """A registered version.

    Attributes:
        decision: ``promoted``, ``rejected``, ``rolled back``, or empty before any.
        replaced: the version that was champion before this one was.
    """

    task: str
    number: int
    aliases: tuple[str, ...]
    run: str
    registered: datetime
    dice: Estimate | None
    backends: tuple[str, ...]
    dataset_digest: str
    plan_digest: str
    package_digest: str
    decision: str
    reasons: tuple[str, ...]
    replaced: int | None

    @property
    def reference(self) -> Reference:
        """By its number, which no alias moves."""
        return Reference(self.task, number=self.number)

    @property
    def name(self) -> str:
        """As in ``spleen/3``."""
        return f"{self.task}/{self.number}"

    @classmethod
    def of(cls, stored: "ModelVersion", aliases: Sequence[str]) -> "Version":
        """From MLflow's record, whose own aliases not every store fills in."""
        tags = stored.tags
        return cls(
            task=stored.name.removeprefix(_PREFIX),
            number=int(stored.version),
            aliases=tuple(sorted(aliases)),
            run=tags.get("segline.run", ""),
            registered=datetime.fromtimestamp(stored.creation_timestamp / 1000, UTC),
            dice=Estimate.model_validate_json(tags["segline.dice"]) if "segline.dice" in tags else None,
            backends=tuple(filter(None, tags.get("segline.backends", "").split(","))),
            dataset_digest=tags.get("segline.dataset", ""),
            plan_digest=tags.get("segline.plan", ""),
            package_digest=tags.get(PACKAGE_TAG, ""),
            decision=tags.get("segline.decision", ""),
            reasons=tuple(filter(None, tags.get("segline.reasons", "").split(_REASONS_BETWEEN))),
            replaced=int(tags["segline.replaced"]) if tags.get("segline.replaced") else None,
        )


def register(run: Run, registry: Registry, commit: str = "") -> Version:
    """Track a run and make its model the newest version of its task, with the alias ``challenger``.

    Safe to repeat: a package is registered once.

    Raises:
        SeglineError: the gate did not pass it, or MLflow cannot be reached or refuses.
    """
    verdict = _require_passed(run)
    tracked = track(run, registry, commit)
    logged = log_model(run, registry, tracked)
    if logged is None:
        raise SeglineError(f"{run.folder}: no model package to register; run train and export_onnx first")
    task = run.info.task.name
    there = versions(registry, task)
    known = next((each for each in there if each.package_digest == logged.package_digest), None)
    made = known or _create(registry, task, tracked, logged, _version_tags(run, verdict, logged))
    if not made.decision and CHAMPION not in made.aliases:
        with registry.told():
            registry.client.set_registered_model_alias(_PREFIX + task, CHALLENGER, str(made.number))
    return resolve(registry, Reference(task, number=made.number))


def versions(registry: Registry, task: str | None = None) -> list[Version]:
    """The versions of a task, or of all tasks, newest first; none where nothing was registered."""
    with registry.told():
        models = _all(registry.client.search_registered_models, f"name LIKE '{_PREFIX}%'")
        found = []
        for model in models:
            if task is None or model.name == _PREFIX + task:
                stored = list(_all(registry.client.search_model_versions, f"name = '{model.name}'"))
                found += [Version.of(each, _aliases_of(model.aliases, each.version)) for each in stored]
    return sorted(found, key=lambda version: (version.task, -version.number))


def resolve(registry: Registry, reference: Reference) -> Version:
    """The version a reference stands for.

    Raises:
        SeglineError: no such model, version or alias, naming those that there are.
    """
    there = versions(registry, reference.task)
    if not there:
        known = ", ".join(sorted({version.task for version in versions(registry)})) or "none"
        raise SeglineError(
            f"{reference}: no model of task {reference.task} is registered; there are: {known}"
        )
    for version in there:
        if version.number == reference.number or reference.alias in version.aliases:
            return version
    if reference.number:
        known = ", ".join(str(version.number) for version in there)
        raise SeglineError(f"{reference}: no such version; there are: {known}")
    known = ", ".join(f"{alias} (version {v.number})" for v in there for alias in v.aliases) or "none"
    raise SeglineError(f"{reference}: no version has this alias; there are: {known}")


def promote(registry: Registry, reference: Reference, reasons: Sequence[str]) -> Version:
    """Make a version the champion, for ``reasons``; the one before becomes ``previous_champion``."""
    version = resolve(registry, reference)
    before = champion_of(registry, version.task)
    if before is None or before.number != version.number:
        replaced = str(before.number) if before else ""
        _tag(registry, version, decision="promoted", reasons=reasons, replaced=replaced)
        _crown(registry, version.task, version.number, before.number if before else None)
    if CHALLENGER in version.aliases:
        with registry.told():
            registry.client.delete_registered_model_alias(_PREFIX + version.task, CHALLENGER)
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


def pull(registry: Registry, reference: Reference, folder: Path) -> Model:
    """Bring a version's whole package to ``folder``, every file checked; one that lies there is kept.

    Raises:
        SeglineError: no such version, ``folder`` holds something else, or a file is not what was registered.
    """
    version = resolve(registry, reference)
    if not version.package_digest:
        raise SeglineError(f"{version.name}: was not registered by segline; register a run's model")
    if not folder.exists() or not any(folder.iterdir()):
        with atomic.new_folder(folder) as scratch:
            _download(registry, version, scratch)
            require_whole(scratch, version.package_digest, version.name)
    elif not (folder / PACKING_LIST).is_file():
        raise SeglineError(f"{folder}: holds something else than {version.name}; give a new folder")
    require_whole(folder, version.package_digest, f"{folder}, {version.name}")
    return Model.open(folder)


def as_table(found: Sequence[Version]) -> str:
    """Versions as lines of text, a column each for version, alias, Dice, backends, date and data set."""
    head = ("VERSION", "ALIAS", "DICE (95 % CI)", "BACKENDS", "REGISTERED", "DATA SET")
    return in_columns([head, *(_row(version) for version in found)])


def _row(version: Version) -> tuple[str, ...]:
    return (
        version.name,
        ", ".join(version.aliases) or version.decision or "-",
        _dice(version.dice),
        ", ".join(version.backends),
        f"{version.registered:%Y-%m-%d %H:%M}",
        version.dataset_digest[:12],
    )


def _dice(estimate: Estimate | None) -> str:
    if estimate is None or estimate.mean is None:
        return "-"
    between = "({:.4f}-{:.4f})".format(*estimate.ci95) if estimate.ci95 else "(one case)"
    return f"{estimate.mean:.4f} {between}"


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
    found = run.contents
    dice = next((each.overall["dice"] for each in found.evaluations if each.backend == REFERENCE), None)
    return {
        PACKAGE_TAG: logged.package_digest,
        "segline.run": run.info.id,
        "segline.version": __version__,
        "segline.dataset": found.plan.dataset_digest if found.plan else "",
        "segline.plan": found.plan.digest if found.plan else "",
        "segline.backends": ",".join(judged.backend for judged in verdict.backends),
        **({"segline.dice": dice.model_dump_json()} if dice else {}),
    }


def _create(
    registry: Registry, task: str, tracked: Tracked, logged: LoggedModel, tags: dict[str, str]
) -> Version:
    from mlflow.exceptions import MlflowException

    name = _PREFIX + task
    with registry.told():
        try:
            registry.client.create_registered_model(name, {"segline.task": task})
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        # not models:/<id>, which MLflow would look up at the tracking URI of the whole process
        place = registry.client.get_logged_model(logged.model_id).artifact_location
        stored = registry.client.create_model_version(
            name, place, tracked.run_id, tags, model_id=logged.model_id
        )
    return Version.of(stored, ())


def champion_of(registry: Registry, task: str) -> Version | None:
    """The champion of a task, if it has one."""
    return next((version for version in versions(registry, task) if CHAMPION in version.aliases), None)


def _crown(registry: Registry, task: str, number: int, previous: int | None) -> None:
    """The champion last: what is killed in between is done again by the same call."""
    name = _PREFIX + task
    with registry.told():
        if previous is None:
            registry.client.delete_registered_model_alias(name, PREVIOUS)
        else:
            registry.client.set_registered_model_alias(name, PREVIOUS, str(previous))
        registry.client.set_registered_model_alias(name, CHAMPION, str(number))


def _tag(registry: Registry, version: Version, *, decision: str, reasons: Sequence[str], **more: str) -> None:
    told = _REASONS_BETWEEN.join(reasons)[:_LONGEST_REASONS]
    tags = {
        "segline.decision": decision,
        "segline.reasons": told,
        **{f"segline.{k}": v for k, v in more.items()},
    }
    with registry.told():
        for key, value in tags.items():
            registry.client.set_model_version_tag(_PREFIX + version.task, str(version.number), key, value)


def _download(registry: Registry, version: Version, folder: Path) -> None:
    from mlflow.artifacts import download_artifacts

    name, number = _PREFIX + version.task, str(version.number)
    with TemporaryDirectory() as scratch, registry.told():
        # not models:/<name>, which MLflow would look up at the registry of the whole process
        saved = registry.client.get_model_version_download_uri(name, number)
        got = download_artifacts(f"{saved}/data", dst_path=scratch, tracking_uri=registry.uri)
        data = next(Path(got).rglob(PACKING_LIST), None)
        if data is None:
            raise SeglineError(
                f"{version.name}: {PACKING_LIST} is missing from the registry; register it again"
            )
        for path in data.parent.iterdir():
            shutil.move(path, folder / path.name)


def _all(search: Any, filter_string: str) -> Iterator[Any]:
    """Every item of a search that answers in pages."""
    token = None
    while True:
        page = search(filter_string, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _aliases_of(aliases: dict[str, Any], number: str | int) -> list[str]:
    return [alias for alias, version in aliases.items() if str(version) == str(number)]
