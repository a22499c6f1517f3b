"""Documents: what a stage leaves for the next as one readable JSON file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from segline.common import atomic
from segline.common.documents.texts import LARGEST_JSON, parse_json, parse_loose_json, read_bounded
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
            text = read_bounded(path, str(path), LARGEST_JSON)
        except OSError as error:
            raise SeglineError(f"{path}: cannot be read ({error.strerror}); run {cls.stage} first") from error
        try:
            parse_json(text)  # which refuses more than pydantic's own parser does
            return cls.model_validate_json(text)
        except ValueError as error:
            fault = first_fault(error) if isinstance(error, ValidationError) else f"not JSON: {error}"
            raise SeglineError(f"{path}: not {cls.kind}, {fault}; run {cls.stage} again") from error

    def write(self, path: Path) -> None:
        """Write as JSON, atomically."""
        atomic.write_text(path, self.model_dump_json(indent=2) + "\n")


class Sealed(Protocol):
    """What is kept in a file together with its own digest."""

    @property
    def digest(self) -> str:
        """Of the content."""

    def model_dump(self, *, mode: str) -> dict[str, Any]:
        """As pydantic's."""


Kept = TypeVar("Kept", bound=Sealed)


def write_sealed(path: Path, document: Sealed) -> None:
    """Write as JSON, with the digest, atomically."""
    content = {"digest": document.digest, **document.model_dump(mode="json")}
    atomic.write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_sealed(path: Path, parse: Callable[[dict[str, Any]], Kept], otherwise: str) -> Kept:
    """Read what :func:`write_sealed` wrote.

    Args:
        path: of the file.
        parse: makes the document of its values, and raises a ``SeglineError`` where it cannot.
        otherwise: what to do where the content is not that of its digest.

    Raises:
        SeglineError: no such file, not JSON, what ``parse`` raises, or edited after it was made.
    """
    content = _read_object(path, str(path), parse_json)
    written = content.pop("digest", None)
    document = parse(content)
    if document.digest != written:
        raise SeglineError(
            f"{path}: its digest {str(written)[:12]} does not fit its content ({document.digest[:12]}); "
            f"{otherwise}"
        )
    return document


def first_fault(error: ValidationError, root: str = "") -> str:
    """The first fault of a validation, in words: where (below ``root``, a dotted path), what."""
    faults = error.errors()
    where = ".".join([*filter(None, [root]), *map(str, faults[0]["loc"])]) or "document"
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return f"{where}: {faults[0]['msg']}{more}"


def read_json_object(path: Path, name: str, most: int = LARGEST_JSON) -> dict[str, Any]:
    """The JSON object of a file of at most so many bytes, called ``name``; numbers may be NaN and infinite.

    Raises:
        SeglineError: no such file, too large, or not such JSON as :func:`parse_loose_json` takes.
    """
    return _read_object(path, name, parse_loose_json, most)


def _read_object(
    path: Path, name: str, parse: Callable[[bytes], Any], most: int = LARGEST_JSON
) -> dict[str, Any]:
    try:
        text = read_bounded(path, name, most)
    except OSError as error:
        raise SeglineError(f"{name}: cannot be read ({error.strerror})") from error
    if not text.strip():
        raise SeglineError(f"{name}: the file is empty; fetch it again")
    try:
        content = parse(text)
    except UnicodeDecodeError as error:
        raise SeglineError(f"{name}: not UTF-8 text ({error})") from error
    except ValueError as error:
        raise SeglineError(f"{name}: not JSON ({error})") from error
    if not isinstance(content, dict):
        raise SeglineError(f"{name}: a JSON object is needed, this is a {type(content).__name__}")
    return content
