"""A task: what a user writes in YAML. Everything else of a plan is proposed from the data."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from segline.common.errors import SeglineError


class PromotionRule(BaseModel):
    """When a newly trained model takes the champion's place; no part of what it was trained under."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rule: Literal["better", "not_worse_and_faster"] = "better"
    """``not_worse_and_faster`` promotes a better one too."""
    margin: float = Field(default=0.002, ge=0, le=1)
    """Of the mean Dice, by which one that is faster may be worse."""
    faster_by: float = Field(default=0.05, ge=0, lt=1)
    """Share of the champion's time that a faster one must save; repeated timings differ by a few percent."""
    tail_margin: float = Field(default=0.05, ge=0, le=1)
    """Dice that a case of the lower tail may lose."""
    tail_share: float = Field(default=0.1, ge=0, le=1)
    """Of the cases, rounded up and at least one: each model's worst ones are the lower tail."""
    min_cases: int = Field(default=6, ge=2)
    """That a comparison needs. Of five equal models one in 32 is better in every case by chance alone."""


class Task(BaseModel):
    """A segmentation task, as data. ``plan`` overrides any part of the proposed plan, by the plan's names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    kind: Literal["segmentation"] = "segmentation"
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
        import yaml

        try:
            return cls.parse(yaml.safe_load(path.read_text(encoding="utf-8")), str(path))
        except OSError as error:
            raise SeglineError(f"{path}: cannot be read ({error.strerror})") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise SeglineError(f"{path}: not YAML ({error})") from error

    def override(self, path: str, value: Any) -> "Task":
        """A copy with one value of ``plan`` replaced; ``path`` is dotted, ``"training.epochs"``."""
        return self.model_copy(update={"plan": merged(self.plan, _nested(path.split("."), value))})


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """``base`` with the values of ``over``, nested mappings merged key by key.

    >>> merged({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}})
    {'a': {'b': 1, 'c': 3}}
    """
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def first_fault(error: ValidationError, root: str = "") -> str:
    """The first fault of a validation, in words: where (below ``root``, a dotted path), what."""
    faults = error.errors()
    where = ".".join([*filter(None, [root]), *map(str, faults[0]["loc"])]) or "document"
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return f"{where}: {faults[0]['msg']}{more}"


def _nested(keys: list[str], value: Any) -> dict[str, Any]:
    for key in reversed(keys):
        value = {key: value}
    return dict(value)
