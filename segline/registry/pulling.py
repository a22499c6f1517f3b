"""A version's whole package, brought to a folder, every file checked."""

import shutil
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from segline.common import atomic
from segline.common.documents.names import PACKING_LIST
from segline.common.errors import SeglineError
from segline.model.package import Model
from segline.registry.packing import require_whole
from segline.registry.references import MODEL_PREFIX, Reference
from segline.registry.versions import Version, resolve
from segline.tracking.mlflow_connection import Registry


def pull(registry: Registry, reference: Reference, folder: Path) -> Model:
    """Bring a version's whole package to ``folder``, every file checked; one that lies there is kept.

    Raises:
        SeglineError: no such version, ``folder`` holds something else, or a file is not what was registered.
    """
    version = resolve(registry, reference)
    if not version.package_digest:
        raise SeglineError(f"{version.name}: was not registered by segline; register a run's model")
    if not folder.exists() or not any(folder.iterdir()):
        with atomic.new_folder(folder) as scratch:
            registry.patiently(partial(_download, registry, version, scratch))
            require_whole(scratch, version.package_digest, version.name)
    elif not (folder / PACKING_LIST).is_file():
        raise SeglineError(f"{folder}: holds something else than {version.name}; give a new folder")
    require_whole(folder, version.package_digest, f"{folder}, {version.name}")
    return Model.open(folder)


def _download(registry: Registry, version: Version, folder: Path) -> None:
    from mlflow.artifacts import download_artifacts

    name, number = MODEL_PREFIX + version.task, str(version.number)
    with TemporaryDirectory() as scratch:
        # not models:/<name>, which MLflow would look up at the registry of the whole process
        saved = registry.client.get_model_version_download_uri(name, number)
        got = download_artifacts(f"{saved}/data", dst_path=scratch, tracking_uri=registry.address)
        data = next(Path(got).rglob(PACKING_LIST), None)
        if data is None:
            raise SeglineError(
                f"{version.name}: {PACKING_LIST} is missing from the registry; register it again"
            )
        for path in data.parent.iterdir():
            shutil.move(path, folder / path.name)
