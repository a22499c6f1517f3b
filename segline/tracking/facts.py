"""Facts of a run, whatever tracks it: parameters, curves, figures, tags and documents by name.

No patient is named: cases go by the short digest of their content, of which the private map stays in the
run's folder.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from segline.common.digests import sha256_of_json
from segline.data.pseudonyms import Pseudonyms
from segline.plan import Plan
from segline.plan.part import every_setting
from segline.runs.contents import Contents
from segline.runs.records import RunInfo
from segline.runs.run import Run
from segline.tracking.curves import Point, curves
from segline.tracking.documents import documents
from segline.tracking.figures import figures

_NAMING_CASES = {"split", "pseudonyms"}


@dataclass(frozen=True)
class Facts:
    """What there is to know of a run, in the words of no tracker."""

    run: str
    """Its id; of a fold its number."""
    task: str
    asked: str
    """Digest of what was asked for, and when: the same from the run's start to its end."""
    started: datetime
    ended: datetime
    content: str = ""
    """Digest of all that the run came to; empty while it goes on."""
    failed: bool = False
    parent: str = ""
    """Of a fold, the id of the run that it is part of."""
    commit: str = ""
    """Of the code that made it."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    curves: tuple[Point, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)
    documents: Mapping[str, str] = field(default_factory=dict)
    """Path to text."""
    folds: tuple["Facts", ...] = ()
    """Of the runs nested in it."""

    @property
    def title(self) -> str:
        """What the run is called among others."""
        return f"{self.parent} fold {self.run}" if self.parent else self.run

    @property
    def values(self) -> dict[str, str | float]:
        """The parameters, numbers as such."""
        return {name: _value(written) for name, written in self.parameters.items()}


def facts_at_start(info: RunInfo, commit: str = "", parent: str = "") -> Facts:
    """Of a run of which no more is known than what was asked for; ``parent`` is the run of a fold."""
    return Facts(
        run=info.id,
        task=info.task.name,
        asked=sha256_of_json(info.model_dump(mode="json")),
        started=info.started,
        ended=info.started,
        parent=parent,
        commit=commit,
        parameters=dict(_run_parameters(info)),
        tags={"segline.run": info.id, "segline.task": info.task.name},
    )


def facts_of(run: Run, commit: str = "") -> Facts:
    """Of a run, in whatever state it is.

    Args:
        run: in which at least ``run.json`` lies.
        commit: of the code that made it.

    Raises:
        SeglineError: this is not a run's folder.
    """
    return _facts(run, run.contents, commit)


def facts_with_folds(run: Run, commit: str = "") -> Facts:
    """Of a cross-validation, and of each of its folds.

    Raises:
        SeglineError: this is not a run's folder.
    """
    contents = run.contents
    whole = _facts(run, contents, commit)
    each = [_facts(fold, replace(fold.contents, manifest=contents.manifest), commit) for fold in run.folds]
    return replace(whole, folds=tuple(replace(fold, parent=whole.run) for fold in each))


def _facts(run: Run, contents: Contents, commit: str) -> Facts:
    names, start = Pseudonyms.of(contents.manifest), facts_at_start(run.info, commit)
    return replace(
        start,
        ended=_ended(run),
        content=_content_digest(run, contents),
        failed=any(record.status == "failed" for record in run.stages),
        parameters={**start.parameters, **dict(_parameters(contents))},
        tags={**start.tags, **_tags(contents)},
        curves=tuple(curves(contents.history, start.started)) if contents.history else (),
        figures={name: float(value) for name, value in figures(contents, names) if value is not None},
        documents=dict(documents(run, names)),
    )


def _content_digest(run: Run, contents: Contents) -> str:
    documents = (
        run.info,
        contents.plan,
        contents.history,
        *contents.evaluations,
        contents.verdict,
        contents.benchmark,
    )
    written = [document.model_dump_json() for document in documents if document is not None]
    return sha256_of_json([*written, contents.model.digests() if contents.model else None])


def _ended(run: Run) -> datetime:
    ends = (record.started + timedelta(seconds=record.seconds) for record in run.stages)
    return max([run.info.started, *ends])


def _tags(contents: Contents) -> dict[str, str]:
    verdict = contents.verdict
    tags = {
        "segline.dataset": contents.manifest.digest if contents.manifest else "",
        "segline.plan": contents.plan.digest if contents.plan else "",
        "segline.verdict": "none" if verdict is None else "passed" if verdict.passed else "blocked",
    }
    return {key: value for key, value in tags.items() if value}


def _run_parameters(info: RunInfo) -> Iterator[tuple[str, str]]:
    yield from ((f"versions.{name}", version) for name, version in info.versions.items())
    yield "machine", info.machine


def _parameters(contents: Contents) -> Iterator[tuple[str, str]]:
    if contents.plan:
        yield from _plan_parameters(contents.plan)
    if contents.history:
        yield "train.device", contents.history.device
        yield "train.resumed_from_step", str(contents.history.resumed_from_step)


def _plan_parameters(plan: Plan) -> Iterator[tuple[str, str]]:
    """The plan and what is built of it, one value each; of the split only how many, since it names cases."""
    from segline.networks.description import built_settings

    values = {name: value for name, value in every_setting(plan).items() if name not in _NAMING_CASES}
    for part in ("train", "val", "test"):
        values[f"split.{part}"] = len(getattr(plan.split, part))
    for path, value in _flat({"plan": values, "built": built_settings(plan)}):
        yield path, value if isinstance(value, str) else json.dumps(value)


def _value(written: str) -> str | float:
    """As a number, if it is one.

    >>> _value("0.5"), _value("true"), _value("unet")
    (0.5, 'true', 'unet')
    """
    try:
        read = json.loads(written)
    except ValueError:
        return written
    return read if isinstance(read, int | float) and not isinstance(read, bool) else written


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
