"""How MLflow is addressed, and kept quiet; for entry points."""

import logging
from collections.abc import MutableMapping
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from segline.common.errors import SeglineError
from segline.storage.access import is_uri
from segline.tracking.mlflow_database import Database

_CHATTY = {
    "alembic": logging.ERROR,
    "mlflow.pyfunc": logging.ERROR,
    "mlflow.store.db.utils": logging.CRITICAL,  # tracebacks, of what is waited for or told in one line
    "mlflow.store.model_registry.abstract_store": logging.ERROR,
    "mlflow.utils.requirements_utils": logging.ERROR,
}


def tracking_uri(store: str | Path, tracking: str = "") -> str:
    """``tracking``, or that of the store's own registry.

    Raises:
        SeglineError: the store is a bucket, which has none.
    """
    if not tracking and is_uri(store):
        raise SeglineError(
            f"{store}: no registry in a bucket; name an MLflow server, TRACKING=URI or MLFLOW_TRACKING_URI"
        )
    return tracking or local_uri(Path(store))


def local_uri(store: Path) -> str:
    """The tracking URI of the registry that a store has by default.

    Raises:
        SeglineError: the path can be no address of MLflow's.
    """
    return Database.of(store).uri


def quiet_mlflow(environment: MutableMapping[str, str]) -> None:
    """Switch off MLflow's telemetry, its chatter and its detours; for entry points, before it is imported.

    Its servers on S3 offer the store's own addresses for downloads, which whoever pulls from outside a
    cluster cannot reach; its client then tries for minutes. What the server itself sends comes in any case.
    Nor does the client try again on its own, for minutes and without a word, and makes two versions where the
    answer to the first was lost: :meth:`~segline.tracking.mlflow_connection.Registry.patiently` looks
    first.
    """
    environment.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    environment.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    environment.setdefault("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "false")
    environment.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    for name, level in _CHATTY.items():
        logging.getLogger(name).setLevel(level)


def keys_apart(uri: str, environment: MutableMapping[str, str]) -> str:
    """A URI without its user and password, which go into MLflow's own variables: logs show URIs."""
    parts = urlsplit(uri)
    if parts.username is None:
        return uri
    environment["MLFLOW_TRACKING_USERNAME"] = unquote(parts.username)
    environment["MLFLOW_TRACKING_PASSWORD"] = unquote(parts.password or "")
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
