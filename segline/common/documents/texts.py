"""Texts that others wrote, JSON and YAML, to values: however made, none takes more than its size bears.

What comes out can be walked, printed and written again: it is not nested too deep, and holds no character
that UTF-8 does not have.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segline.common.errors import SeglineError

if TYPE_CHECKING:
    import yaml

LARGEST_JSON = 256_000_000
"""Bytes. The manifest of 100,000 cases has 70 million, and what declares them 20."""
LARGEST_YAML = 1_000_000
"""Bytes; PyYAML reads some 200,000 a second."""
_DEEPEST = 100
"""Levels of lists and mappings in each other; a plan has six."""
_MOST_NODES = 100_000
"""Of a YAML, each alias counted as what it stands for."""


def read_bounded(path: Path, name: str, most: int) -> bytes:
    """A file's bytes, which errors call ``name``.

    Raises:
        SeglineError: there are more than ``most``.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise SeglineError(f"{name}: larger than {most / 1e6:g} MB; this is no such document")
    return content


def parse_json(text: str | bytes) -> Any:
    """The values of a JSON text; with a byte-order mark or without one, if it is of bytes.

    Raises:
        UnicodeDecodeError: not UTF-8.
        ValueError: not JSON, nested too deep, with a number that is not finite, or a character that UTF-8
            does not have.
    """
    return _parsed_json(text, _finite)


def parse_loose_json(text: str | bytes) -> Any:
    """The same, but NaN and Infinity pass: for who tells better of which of his values they are."""
    return _parsed_json(text, float)


def parse_yaml(text: str) -> Any:
    """The values of a YAML text.

    Raises:
        ValueError: not YAML, longer than a million bytes, nested too deep, with aliases that stand for too
            much, or a character that UTF-8 does not have; in one line.
    """
    import yaml

    if len(text) > LARGEST_YAML:
        raise ValueError(f"longer than {LARGEST_YAML:,} characters")
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        _require_few(node)
        values = None if node is None else loader.construct_document(node)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    except (AttributeError, KeyError) as error:  # PyYAML's, of a value that is not of the tag before it
        raise ValueError(f"a value is not of its tag ({error})") from error
    except RecursionError as error:
        raise _too_deep() from error
    _require_plain(values)
    return values


def _parsed_json(text: str | bytes, number: Callable[[str], float]) -> Any:
    decoded = text.decode("utf-8-sig") if isinstance(text, bytes) else text
    try:
        values = json.loads(decoded, parse_constant=number, parse_float=number)
    except RecursionError as error:
        raise _too_deep() from error
    _require_plain(values)
    return values


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"{number[:40]} is not a finite number")
    return value


def _too_deep() -> ValueError:
    return ValueError(f"nested deeper than {_DEEPEST} levels")


def _require_plain(values: Any) -> None:
    """Refuse what is nested too deep, and texts that cannot be written."""
    waiting = [(values, 0)]
    while waiting:
        value, depth = waiting.pop()
        if isinstance(value, str):
            _require_utf8(value)
        elif isinstance(value, dict | list | tuple | set):
            if depth == _DEEPEST:
                raise _too_deep()
            parts = [*value.keys(), *value.values()] if isinstance(value, dict) else value
            waiting += [(part, depth + 1) for part in parts]


def _require_utf8(value: str) -> None:
    if value.isascii():
        return
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{value[:40]!a} has half a character: UTF-8 cannot hold it") from error


def _require_few(root: "yaml.Node | None") -> None:
    """Refuse a document that would be too large, or without end, with its aliases written out."""
    sizes: dict[int, int] = {}

    def measured(node: Any) -> int:
        if id(node) not in sizes:
            sizes[id(node)] = _MOST_NODES + 1  # what an alias within itself finds
            parts = node.value if isinstance(node.value, list) else []
            flat = [part for each in parts for part in (each if isinstance(each, tuple) else (each,))]
            sizes[id(node)] = 1 + sum(map(measured, flat))
        return sizes[id(node)]

    if root is not None and measured(root) > _MOST_NODES:
        raise ValueError(f"more than {_MOST_NODES:,} values, with what its aliases stand for")
