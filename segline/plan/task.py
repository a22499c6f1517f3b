"""A task: what a user writes in YAML. Everything else of a plan is proposed from the data."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from segline.common.documents import first_fault
from segline.common.documents.texts import LARGEST_YAML, parse_yaml, read_bounded
from segline.common.errors import SeglineError
from segline.plan.layouts import of_today
from segline.plan.part import SEGMENTATION
from segline.plan.promotion import PromotionRule


class Task(BaseModel):
    """A task, as data. ``plan`` overrides any part of the proposed plan, by the plan's names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    kind: str = SEGMENTATION
    """What is to be predicted of a volume; one of :data:`segline.kinds.KINDS`."""
    source: str
    description: str = ""
    plan: dict[str, Any] = {}
    promotion: PromotionRule = PromotionRule()

    @classmethod
    def parse(cls, values: Any, name: str) -> "Task":
        """Check a parsed YAML or JSON document.

        Raises:
            SeglineError: a field is missing, unknown or of the wrong type; ``name`` says in which file.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise SeglineError(f"{name}: {first_fault(error)}") from error

    @classmethod
    def read(cls, path: Path) -> "Task":
        """Read a task's YAML.

        Raises:
            SeglineError: no such file, not YAML, or not a task.
        """
        try:
            values = parse_yaml(read_bounded(path, str(path), LARGEST_YAML).decode())
        except OSError as error:
            raise SeglineError(f"{path}: cannot be read ({error.strerror})") from error
        except ValueError as error:
            raise SeglineError(f"{path}: not YAML ({error})") from error
        return cls.parse(values, str(path))

    def override(self, path: str, value: Any) -> "Task":
        """A copy with one value of ``plan`` replaced; ``path`` is dotted, ``"training.epochs"``.

        A setting goes by the name that it has today, whichever name it is given by.
        """
        over = of_today(_nested(path.split("."), value))
        return self.model_copy(update={"plan": merged(of_today(self.plan), over)})


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """``base`` with the values of ``over``, nested mappings merged key by key.

    Settings of another name are other settings, and take the place of the whole.

    >>> merged({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}})
    {'a': {'b': 1, 'c': 3}}
    >>> merged({"a": {"name": "label", "ratio": 3}}, {"a": {"name": "uniform"}})
    {'a': {'name': 'uniform'}}
    """
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        if isinstance(old, dict) and isinstance(value, dict) and not _renamed(old, value):
            value = merged(old, value)
        result[key] = value
    return result


def _renamed(old: Any, new: Any) -> bool:
    return any(key in old and new.get(key, old[key]) != old[key] for key in ("name", "rule"))


def _nested(keys: list[str], value: Any) -> dict[str, Any]:
    for key in reversed(keys):
        value = {key: value}
    return dict(value)
