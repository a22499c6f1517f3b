"""Documents: what a stage leaves for the next as one readable JSON file."""

import json
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from segline.common import atomic
from segline.common.errors import SeglineError


class Document(BaseModel):
    """A frozen record kept as one JSON file."""

    model_config = ConfigDict(frozen=True)

    kind: ClassVar[str]
    """What errors call it, with its article: ``a verdict``."""
    stage: ClassVar[str]
    """The stage that writes it, which errors tell to run."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what :meth:`write` wrote.

        Raises:
            SeglineError: no such file, or not such a document.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise SeglineError(f"{path}: cannot be read ({error.strerror}); run {cls.stage} first") from error
        except ValidationError as error:
            problem = f"{path}: not {cls.kind}, {first_fault(error)}; run {cls.stage} again"
            raise SeglineError(problem) from error

    def write(self, path: Path) -> None:
        """Write as JSON, atomically."""
        atomic.write_text(path, self.model_dump_json(indent=2) + "\n")


def first_fault(error: ValidationError, root: str = "") -> str:
    """The first fault of a validation, in words: where (below ``root``, a dotted path), what."""
    faults = error.errors()
    where = ".".join([*filter(None, [root]), *map(str, faults[0]["loc"])]) or "document"
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return f"{where}: {faults[0]['msg']}{more}"


def read_json_object(path: Path, name: str) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SeglineError(f"{name}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise SeglineError(f"{name}: not UTF-8 text ({error})") from error
    if not text.strip():
        raise SeglineError(f"{name}: the file is empty; fetch it again")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SeglineError(f"{name}: not JSON ({error})") from error
    if not isinstance(content, dict):
        raise SeglineError(f"{name}: a JSON object is needed, this is a {type(content).__name__}")
    return content
