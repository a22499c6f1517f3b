"""What a process needs to open depots and stores, from its environment."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from segline.common.digests import sha256_of_json
from segline.storage.depot import Depot
from segline.storage.folder_objects import FileObjects
from segline.storage.s3_settings import S3Settings
from segline.storage.store import Store, open_store

_NAME_DIGITS = 12


def is_uri(location: str | Path) -> bool:
    """Whether a place is in an object store, and not a folder of this machine."""
    return str(location).startswith("s3://")


@dataclass(frozen=True)
class Access:
    """What a process needs to open depots.

    Attributes:
        s3: how to reach the object store; None where there are no credentials.
        scratch: folder for the working copies of depots in S3.
    """

    s3: S3Settings | None
    scratch: Path

    @classmethod
    def from_environment(cls, mapping: Mapping[str, str]) -> "Access":
        """Settings as :meth:`S3Settings.from_environment`, and ``SEGLINE_SCRATCH``. For entry points."""
        cache = mapping.get("XDG_CACHE_HOME") or (f"{mapping['HOME']}/.cache" if "HOME" in mapping else "")
        scratch = mapping.get("SEGLINE_SCRATCH") or f"{cache or tempfile.gettempdir()}/segline"
        return cls(S3Settings.from_environment(mapping), Path(scratch))

    def depot(self, location: str | Path) -> Depot:
        """The depot at ``s3://bucket/prefix``, ``file:///folder`` or a folder, which need not exist.

        Raises:
            SeglineError: as :func:`open_store`.
        """
        store = self.store(location)
        if isinstance(store.objects, FileObjects):
            return Depot.here(store.objects.root)
        return Depot(store, self.scratch / sha256_of_json(store.uri)[:_NAME_DIGITS])

    def store(self, location: str | Path) -> Store:
        """The store at a location, as :func:`open_store`."""
        return open_store(str(location), self.s3)
