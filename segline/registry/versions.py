"""Versions: one registered model a task, whose aliases say which version is the champion."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from segline.common.errors import SeglineError
from segline.common.wording import in_columns
from segline.evaluation.estimates import Estimate
from segline.registry.references import MODEL_PREFIX, Reference
from segline.tracking.mlflow_connection import Registry

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

PACKAGE_TAG = "segline.package"
REASONS_BETWEEN = "\n"
SCORE_TAG = "segline.score"
"""Estimate of the figure that decides, by the reference."""


@dataclass(frozen=True)
class Version:
    """A registered version.

    Attributes:
        decision: ``promoted``, ``rejected``, ``rolled back``, or empty before any.
        score: mean over the test cases of the figure that decides, by the reference backend.
        replaced: the version that was champion before this one was.
    """

    task: str
    number: int
    aliases: tuple[str, ...]
    run: str
    registered: datetime
    score: Estimate | None
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
            task=stored.name.removeprefix(MODEL_PREFIX),
            number=int(stored.version),
            aliases=tuple(sorted(aliases)),
            run=tags.get("segline.run", ""),
            registered=datetime.fromtimestamp(stored.creation_timestamp / 1000, UTC),
            score=_score_of(tags),
            backends=tuple(filter(None, tags.get("segline.backends", "").split(","))),
            dataset_digest=tags.get("segline.dataset", ""),
            plan_digest=tags.get("segline.plan", ""),
            package_digest=tags.get(PACKAGE_TAG, ""),
            decision=tags.get("segline.decision", ""),
            reasons=tuple(filter(None, tags.get("segline.reasons", "").split(REASONS_BETWEEN))),
            replaced=int(tags["segline.replaced"]) if tags.get("segline.replaced") else None,
        )


def versions(registry: Registry, task: str | None = None) -> list[Version]:
    """The versions of a task, or of all tasks, newest first; none where nothing was registered."""
    registered = registry.patiently(lambda: list(_registered(registry, task)))
    return sorted(registered, key=lambda version: (version.task, -version.number))


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


def as_table(listed: Sequence[Version]) -> str:
    """Versions as lines of text, a column each for version, alias, score, backends, date and data set."""
    head = ("VERSION", "ALIAS", "SCORE (95 % CI)", "BACKENDS", "REGISTERED", "DATA SET")
    return in_columns([head, *(_row(version) for version in listed)])


def _row(version: Version) -> tuple[str, ...]:
    return (
        version.name,
        ", ".join(version.aliases) or version.decision or "-",
        _in_words(version.score),
        ", ".join(version.backends),
        f"{version.registered:%Y-%m-%d %H:%M}",
        version.dataset_digest[:12],
    )


def _score_of(tags: Mapping[str, str]) -> Estimate | None:
    """Versions were first tagged with the figure's own name."""
    written = tags.get(SCORE_TAG) or tags.get("segline.dice")
    return Estimate.model_validate_json(written) if written else None


def _in_words(estimate: Estimate | None) -> str:
    if estimate is None or estimate.mean is None:
        return "-"
    between = "({:.4f}-{:.4f})".format(*estimate.ci95) if estimate.ci95 else "(one case)"
    return f"{estimate.mean:.4f} {between}"


def _registered(registry: Registry, task: str | None) -> Iterator[Version]:
    for model in _all(registry.client.search_registered_models, f"name LIKE '{MODEL_PREFIX}%'"):
        if task is None or model.name == MODEL_PREFIX + task:
            for stored in _all(registry.client.search_model_versions, f"name = '{model.name}'"):
                yield Version.of(stored, _aliases_of(model.aliases, stored.version))


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
