"""Phantoms by name, written once: which body, how many cases, from which seed, how large."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from segline.common.errors import SeglineError
from segline.common.locks import exclusive
from segline.data.phantom.writing import SMALLEST_SCALE

UNDERSTOOD = "phantom[:cases[:seed]], or phantom-heart, phantom-brain, phantom-iseg [:cases[:seed[:scale]]]"
_ASKED = re.compile(
    r"phantom(?P<body>-heart|-brain|-iseg)?(?::(?P<cases>\d+)(?::(?P<seed>\d+)(?::(?P<scale>\d+(?:\.\d+)?))?)?)?"
)


class _Body(NamedTuple):
    """How phantoms of one kind are written."""

    cases: int
    """So many by default."""
    scale: float | None
    """By default: of the real ones' number of voxels along an axis; ``None`` where there is one size."""
    version: int
    write: Callable[[Path, int, int, float], None]
    """Given the folder, cases, seed and scale."""


def is_one(source: str) -> bool:
    """Whether a data source is a phantom."""
    return bool(_ASKED.fullmatch(source))


def written(source: str, store: Path) -> Path:
    """The folder of a phantom in ``store``, made where it is not there yet.

    Raises:
        SeglineError: no cases are asked for, or another size than there is.
    """
    asked = _ASKED.fullmatch(source)
    assert asked
    body = _body(asked["body"])
    cases, seed = int(asked["cases"] or body.cases), int(asked["seed"] or 0)
    scale = float(asked["scale"]) if asked["scale"] else body.scale
    if asked["scale"] and body.scale is None:
        raise SeglineError(f"{source}: has one size; leave the scale out")
    if scale is not None and not SMALLEST_SCALE <= scale <= 1:
        raise SeglineError(f"{source}: a scale of {scale:g}; give a scale of {SMALLEST_SCALE:g} to 1")
    size = "" if scale is None else f"-{scale:g}"
    name = f"phantom{asked['body'] or ''}-{cases}-{seed}{size}-v{body.version}"
    folder = store / "datasets" / name
    with exclusive(store / "locks" / f"{name}.lock"):
        if not folder.is_dir():
            body.write(folder, cases, seed, scale or 1.0)
    return folder


def _body(name: str | None) -> _Body:
    """Each is imported when it is asked for."""
    if name is None:
        from segline.data.phantom.scanner import PHANTOM_VERSION, write_phantom

        return _Body(
            24, None, PHANTOM_VERSION, lambda folder, cases, seed, _: write_phantom(folder, cases, seed)
        )
    if name == "-heart":
        from segline.data.phantom.heart import HEART_VERSION, SCALE, write_heart_phantom

        return _Body(20, SCALE, HEART_VERSION, write_heart_phantom)
    from segline.data.phantom.gliomas import write_gliomas
    from segline.data.phantom.heads import HEADS_VERSION
    from segline.data.phantom.infants import write_infants

    def write(folder: Path, cases: int, seed: int, scale: float) -> None:
        (write_gliomas if name == "-brain" else write_infants)(folder, cases, seed, 1 / scale)

    return _Body(12, 1.0, HEADS_VERSION, write)
