"""Cleaning a bucket: what no registered model and no recent run needs goes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath

from segline.common.errors import SeglineError
from segline.common.parallel import do_all
from segline.data.cases import upkeep
from segline.data.manifest import Manifest
from segline.registry.versions import versions
from segline.storage.access import Access, is_uri
from segline.storage.depot import Depot
from segline.storage.objects import StoredObject
from segline.storage.store import Store
from segline.tracking.mlflow_connection import Registry

RUNS, STORE, PIPELINES = "runs", "store", "pipelines"
"""What lies in the bucket: runs by name, what is kept between them, and what Kubeflow's launcher hands on."""


@dataclass(frozen=True)
class Leftovers:
    """What nothing needs any more, by key in its part of the bucket."""

    runs: tuple[str, ...]
    """Names."""
    cases: tuple[str, ...]
    """Preprocessed; the next run that needs one computes it again."""
    files: tuple[str, ...]
    """Of data sets; the next run fetches them from their source again."""
    notes: tuple[str, ...]
    """Manifests of those data sets, and checkpoints of trainings that were given up."""
    artifacts: tuple[str, ...]
    """Kubeflow's copies of what stages made."""

    def __str__(self) -> str:
        counted = [("runs", self.runs), ("cases", self.cases), ("files of data sets", self.files)]
        counted += [("manifests and checkpoints", self.notes), ("artifacts", self.artifacts)]
        return ", ".join(f"{len(keys)} {name}" for name, keys in counted)


def leftovers(bucket: str, registry: Registry, access: Access, age: timedelta) -> Leftovers:
    """Look for what nobody wrote or used for ``age``, a day or more, and longer than any run takes.

    The runs, data sets and manifests of registered versions stay, whatever their age: the report of one can
    be looked at, and the next retraining learns from its manifest what is new.

    Args:
        bucket: ``s3://bucket``, as a cluster's settings name it.
        registry: whose versions count.
        access: how to reach the bucket.
        age: in which something must have been written or used to stay.

    Raises:
        SeglineError: less than a day, ``bucket`` is a folder, or it or the registry cannot be reached.
    """
    place, before = _opened(bucket, access), datetime.now(UTC) - age
    depot = access.depot(f"{bucket}/{STORE}")
    cases = tuple(entry.key for entry in upkeep.unused(depot, age))
    registered = versions(registry)
    runs = {version.run for version in registered}
    manifests = {version.dataset_digest for version in registered}
    old_manifests = tuple(
        item.key
        for item in _below(place / STORE, "manifests")
        if item.modified < before and PurePosixPath(item.key).stem not in manifests
    )
    return Leftovers(
        runs=tuple(name for name in _old_runs(place / RUNS, before) if name not in runs),
        cases=cases,
        files=tuple(_unreferenced(depot, old_manifests, before)),
        notes=(*old_manifests, *_old(place / STORE, ("checkpoints", "tunings"), before)),
        artifacts=tuple(item.key for item in (place / PIPELINES).listed() if item.modified < before),
    )


def clean(bucket: str, found: Leftovers, access: Access, age: timedelta) -> None:
    """Remove what was found; killed in between, the next call removes the rest.

    A run that begins meanwhile with a data set that nobody used for so long may miss a file, says so, and is
    started again.

    Raises:
        SeglineError: as :func:`leftovers`.
    """
    place = _opened(bucket, access)
    for name in found.runs:
        (place / RUNS).delete_folder(name)
    upkeep.collect_garbage(access.depot(f"{bucket}/{STORE}"), age)
    # a manifest after its files: what is left of a data set is found again
    for part, keys in ((STORE, found.files), (STORE, found.notes), (PIPELINES, found.artifacts)):
        do_all((place / part).delete, list(keys), place.threads)


def _opened(bucket: str, access: Access) -> Store:
    if not is_uri(bucket):
        raise SeglineError(f"{bucket!r}: not a bucket; give s3://bucket, or set SEGLINE_BUCKET")
    return access.store(bucket)


def _below(store: Store, prefix: str) -> Iterator[StoredObject]:
    """The objects under a prefix, by their keys in the store."""
    for item in (store / prefix).listed():
        yield replace(item, key=f"{prefix}/{item.key}")


def _old(store: Store, prefixes: Sequence[str], before: datetime) -> Iterator[str]:
    for prefix in prefixes:
        yield from (item.key for item in _below(store, prefix) if item.modified < before)


def _old_runs(runs: Store, before: datetime) -> Iterator[str]:
    """Names of those of which nothing was written since."""
    written: dict[str, datetime] = {}
    for item in runs.listed():
        name = PurePosixPath(item.key).parts[0]
        written[name] = max(item.modified, written.get(name, item.modified))
    return (name for name, last in written.items() if last < before)


def _unreferenced(depot: Depot, old_manifests: Sequence[str], before: datetime) -> Iterator[str]:
    """Old files of data sets that no manifest which stays names."""
    needed: set[str] = set()
    for item in _below(depot.store, "manifests"):
        if item.key not in old_manifests:
            manifest = Manifest.read(depot.bring_file(item.key))
            needed |= {file.sha256 for case in manifest.cases for file in case.files}
    for item in _below(depot.store, "files"):
        if item.modified < before and PurePosixPath(item.key).name not in needed:
            yield item.key
