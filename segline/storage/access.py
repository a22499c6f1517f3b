"""What a process needs to open depots and stores, from its environment."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from segline.common.digests import sha256_of_json
from segline.common.errors import SeglineError
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
        bucket: where runs lie that are given by their bare names, under ``runs``, and the store that is given
            by none; empty where there is no such place.
    """

    s3: S3Settings | None
    scratch: Path
    bucket: str = ""

    @classmethod
    def from_environment(cls, mapping: Mapping[str, str]) -> "Access":
        """Settings as :meth:`S3Settings.from_environment`, ``SEGLINE_SCRATCH`` and ``SEGLINE_BUCKET``.

        For entry points.
        """
        cache = mapping.get("XDG_CACHE_HOME") or (f"{mapping['HOME']}/.cache" if "HOME" in mapping else "")
        scratch = mapping.get("SEGLINE_SCRATCH") or f"{cache or tempfile.gettempdir()}/segline"
        bucket = mapping.get("SEGLINE_BUCKET", "").rstrip("/")
        return cls(S3Settings.from_environment(mapping), Path(scratch), bucket)

    def run_at(self, run: str | Path) -> str | Path:
        """Where a run lies: in the bucket, if there is one and ``run`` is a bare name."""
        if not self.bucket or is_uri(run) or Path(run).is_absolute():
            return run
        return f"{self.bucket}/runs/{run}"

    def store_at(self, store: str | Path) -> str | Path:
        """Where a store lies: in the bucket, if none is named.

        Raises:
            SeglineError: there is no bucket either.
        """
        if str(store):
            return store
        if not self.bucket:
            raise SeglineError("no store is named, and SEGLINE_BUCKET is not set; give one of them")
        return f"{self.bucket}/store"

    def depot(self, location: str | Path) -> Depot:
        """The depot at ``s3://bucket/prefix``, ``file:///folder`` or a folder, which need not exist.

        Raises:
            SeglineError: as :meth:`store_at` and :func:`open_store`.
        """
        store = self.store(self.store_at(location))
        if isinstance(store.objects, FileObjects):
            return Depot.here(store.objects.root)
        return Depot(store, self.scratch / sha256_of_json(store.uri)[:_NAME_DIGITS])

    def store(self, location: str | Path) -> Store:
        """The store at a location, as :func:`open_store`."""
        return open_store(str(location), self.s3)
