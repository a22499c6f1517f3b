"""Engines that were built on several machines, in one package."""

import shutil
from pathlib import Path

from segline.backends.tensorrt.engine import ENGINES
from segline.common.errors import SeglineError
from segline.model.package import Model


def merge_engines(model: Model, other: Model, folder: Path) -> Model:
    """Copy ``model`` to ``folder``, with the engines of ``other`` beside its own.

    Raises:
        SeglineError: the packages are of different plans, or both hold engines for one architecture.
    """
    other.require_plan(model.plan, model.folder)
    merged = model.copied_to(folder)
    for engines in sorted((other.folder / ENGINES).glob("*")):
        place = merged.folder / ENGINES / engines.name
        if place.exists():
            raise SeglineError(
                f"two engines for {engines.name}: a package holds one for each architecture; "
                "name one GPU of it in GPU_TYPES"
            )
        shutil.copytree(engines, place)
    return merged
