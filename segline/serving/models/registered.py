"""Registered versions as what should answer: by a number that stays, or an alias that moves."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from segline.model.package import Model
from segline.registry.pulling import pull
from segline.registry.references import Reference
from segline.registry.versions import Version, resolve
from segline.serving.models.live import Candidate
from segline.serving.models.served import Served
from segline.tracking.mlflow_connection import Registry

Opened = Callable[[Model, str], Served]
"""Opens a package under a version's name, and proves it."""


def kept_model(registry: Registry, version: Version, store: Path) -> Model:
    """The package of a version, pulled into the store once.

    Raises:
        SeglineError: as :func:`~segline.registry.pulling.pull`.
    """
    return pull(registry, version.reference, store / "models" / version.package_digest)


class Named:
    """The version that a reference names now; see :data:`~segline.serving.models.live.Source`."""

    def __init__(self, registry: Registry, reference: Reference, store: Path, opened: Opened) -> None:
        self.reference = reference
        self._registry, self._store, self._opened = registry, store, opened

    def __call__(self) -> Candidate:
        """Ask the registry.

        Raises:
            SeglineError: it cannot be reached, or has no such version.
        """
        version = resolve(self._registry, self.reference)
        return Candidate(version.name, partial(self._load, version))

    def _load(self, version: Version) -> Served:
        return self._opened(kept_model(self._registry, version, self._store), version.name)
