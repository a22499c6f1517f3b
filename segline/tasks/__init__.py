"""The tasks that come along, and how any task is asked for: by name, by a YAML's path, or as JSON.

Knows what a task is; nothing of data sets and of what is made of them.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segline.common.documents.texts import parse_json, parse_yaml
from segline.common.errors import SeglineError
from segline.plan import Task

FOLDER = Path(__file__).parent
SUFFIXES = (".yaml", ".yml")
_SHOWN = 80
"""Characters of an override that an error repeats."""


def names() -> list[str]:
    """Of the tasks that come along."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def read_task(asked: str, overrides: Sequence[str] = (), data: str = "") -> Task:
    """A task by its name, its YAML's path, or its JSON; with values of its plan and its source replaced.

    Args:
        asked: such as ``spleen``, ``liver.yaml`` or ``{"name": "liver", ...}``.
        overrides: ``key=value`` each, such as ``training.max_minutes=20``.
        data: where the volumes come from, in place of the task's source.

    Raises:
        SeglineError: there is no such task, or an override is not ``key=value`` with a YAML value.
    """
    task = _task(asked.strip())
    for override in overrides:
        task = task.override(*_key_and_value(override))
    return task.model_copy(update={"source": data}) if data else task


def split_overrides(line: str) -> list[str]:
    """The overrides of one line, between spaces; quotes keep spaces together.

    >>> split_overrides("training.epochs=3 preprocessing.spacing_mm='[1, 1, 2]'")
    ['training.epochs=3', 'preprocessing.spacing_mm=[1, 1, 2]']

    Raises:
        SeglineError: a quote is not closed.
    """
    try:
        return shlex.split(line)
    except ValueError as error:
        raise SeglineError(f"overrides {line!r}: {error}; close the quote") from error


def _key_and_value(override: str) -> tuple[str, Any]:
    named = f"override {_short(override)}"
    key, equals, value = override.partition("=")
    if not equals or not all(part.isidentifier() for part in key.split(".")):
        raise SeglineError(f"{named}: key=value is needed, such as training.epochs=50")
    try:
        return key, parse_yaml(value)
    except ValueError as error:
        raise SeglineError(f"{named}: the value is not YAML ({error})") from error


def _short(text: str) -> str:
    """Quoted, in ASCII: what is not UTF-8 on a command line cannot be printed."""
    return ascii(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")


def _task(asked: str) -> Task:
    if asked.startswith("{"):
        try:
            return Task.parse(parse_json(asked), "task")
        except ValueError as error:
            raise SeglineError(f"task: not JSON ({error})") from error
    own = asked.endswith(SUFFIXES)
    path = Path(asked) if own else FOLDER / f"{asked}.yaml"
    if not path.is_file() or not (own or asked in names()):
        raise SeglineError(
            f"task {asked!r}: no such task; there are {', '.join(names())}, or give the path of a YAML"
        )
    return Task.read(path)
