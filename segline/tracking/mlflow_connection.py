"""The connection to MLflow: a server, or a SQLite file with a folder beside it."""

import logging
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import Request, urlopen

from segline.common import atomic
from segline.common.errors import SeglineError, UnavailableError
from segline.common.locks import exclusive
from segline.storage.access import is_uri
from segline.storage.retries import Patience, seconds_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

_SQLITE = "sqlite:///"
_TIMEOUT_S = 10
_CHATTY = (
    "alembic",
    "mlflow.pyfunc",
    "mlflow.store.db.utils",
    "mlflow.store.model_registry.abstract_store",
    "mlflow.utils.requirements_utils",
)


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
    """The tracking URI of the registry that a store has by default."""
    return f"{_SQLITE}{(store / 'mlflow' / 'mlflow.db').absolute()}"


def quiet_mlflow(environment: MutableMapping[str, str]) -> None:
    """Switch off MLflow's telemetry, its chatter and its detours; for entry points, before it is imported.

    Its servers on S3 offer the store's own addresses for downloads, which whoever pulls from outside a
    cluster cannot reach; its client then tries for minutes. What the server itself sends comes in any case.
    """
    environment.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    environment.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    environment.setdefault("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "false")
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.ERROR)


@dataclass(frozen=True)
class Registry:
    """MLflow at one tracking URI, for runs and for models.

    Attributes:
        uri: ``http(s)://`` of a server, or ``sqlite:///`` and a path. A server with PostgreSQL and S3 behind
            it is used like any other.
        patience_s: how long to wait for a server that does not answer, or only that it fails.
    """

    uri: str
    patience_s: float = 0.0

    def __repr__(self) -> str:
        return f"Registry({self.shown_uri!r})"

    @property
    def shown_uri(self) -> str:
        """The URI without user and password."""
        parts = urlsplit(self.uri)
        return (
            urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if parts.netloc else self.uri
        )

    @property
    def exists(self) -> bool:
        """Whether there is something to ask; of a server that is not known before it is asked."""
        return not self.uri.startswith(_SQLITE) or Path(self.uri.removeprefix(_SQLITE)).is_file()

    @cached_property
    def client(self) -> "MlflowClient":
        """MLflow's own client, once the other side has answered.

        Raises:
            SeglineError: MLflow is not installed, the server does not answer, or the file cannot be opened.
        """
        client_of = _require_mlflow()
        if self.uri.startswith(_SQLITE):
            return self._open_file(client_of)
        if self.uri.startswith(("http://", "https://")):
            patience = Patience(self.patience_s)
            while fault := self._fault():
                patience.wait(fault, self.shown_uri)
        with self.readable_errors():
            return client_of(self.uri, self.uri)

    @contextmanager
    def readable_errors(self) -> Iterator[None]:
        """Turn MLflow's errors into the one line a user needs."""
        _require_mlflow()
        from mlflow.exceptions import MlflowException

        try:
            yield
        except MlflowException as error:
            first = str(error).strip().split("\n", 1)[0]
            raise SeglineError(f"{self.shown_uri}: MLflow refuses: {first}") from error

    def experiment(self, name: str) -> str:
        """The id of an experiment, which is made if it is new.

        A server chooses where its artifacts lie; those of a SQLite file lie beside it.
        """
        from mlflow.exceptions import MlflowException

        with self.readable_errors():
            known = self.client.get_experiment_by_name(name)
            if known is None:
                try:
                    return self.client.create_experiment(name, artifact_location=self._artifacts)
                except MlflowException as error:
                    if error.error_code != "RESOURCE_ALREADY_EXISTS":
                        raise
                    known = self.client.get_experiment_by_name(name)
        if known is None or known.lifecycle_stage != "active":
            raise SeglineError(
                f"{self.shown_uri}: experiment {name} was deleted; restore it, or name another"
            )
        return str(known.experiment_id)

    @property
    def _artifacts(self) -> str | None:
        if not self.uri.startswith(_SQLITE):
            return None
        return (Path(self.uri.removeprefix(_SQLITE)).absolute().parent / "artifacts").as_uri()

    def _open_file(self, client_of: "type[MlflowClient]") -> "MlflowClient":
        path = Path(self.uri.removeprefix(_SQLITE))
        with exclusive(path.with_name(f"{path.name}.lock")):  # two that make the tables at once break them
            try:
                if not path.exists():
                    _make_tables(client_of, path)
                client = client_of(self.uri, self.uri)
                client.search_registered_models(max_results=1)
            except Exception as error:  # SQLAlchemy's own, which MLflow lets through
                first = str(error).strip().split("\n", 1)[0]
                raise SeglineError(f"{path}: cannot be opened as MLflow's database ({first})") from error
        return client

    def _fault(self) -> SeglineError | None:
        """Why the server cannot be used for the moment; MLflow's client would try for minutes."""
        try:
            with urlopen(Request(self.shown_uri.rstrip("/") + "/health"), timeout=_TIMEOUT_S):
                return None
        except HTTPError as error:
            if error.code < 500:
                return None
            told = f"the MLflow server answers {error.code} {error.reason}; try later"
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            told = f"no MLflow server answers ({reason}); start it, or give another URI"
        return SeglineError(f"{self.shown_uri}: {told}")


def keys_apart(uri: str, environment: MutableMapping[str, str]) -> str:
    """A URI without its user and password, which go into MLflow's own variables: logs show URIs."""
    parts = urlsplit(uri)
    if parts.username is None:
        return uri
    environment["MLFLOW_TRACKING_USERNAME"] = unquote(parts.username)
    environment["MLFLOW_TRACKING_PASSWORD"] = unquote(parts.password or "")
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def registry_at(store: str | Path, tracking: str, environment: MutableMapping[str, str]) -> Registry:
    """The registry of ``tracking``, a URI, else the store's own; for entry points, MLflow quiet.

    A bucket has none of its own: that is the server of ``MLFLOW_TRACKING_URI``. ``MLFLOW_PATIENCE_S`` is how
    long to wait for one that does not answer, not at all by default.

    Raises:
        SeglineError: the store is a bucket, and no server is named; or the patience is no number.
    """
    quiet_mlflow(environment)
    named = tracking or (environment.get("MLFLOW_TRACKING_URI", "") if is_uri(store) else "")
    named = keys_apart(named, environment)
    return Registry(tracking_uri(store, named), seconds_of(environment, "MLFLOW_PATIENCE_S", 0.0))


def _make_tables(client_of: "type[MlflowClient]", path: Path) -> None:
    """Aside, and renamed once all are there: tables that were half made could never be opened again."""
    with atomic.new_file(path) as scratch:
        uri = f"{_SQLITE}{scratch}"
        client_of(uri, uri).search_registered_models(max_results=1)


def _require_mlflow() -> "type[MlflowClient]":
    try:
        from mlflow import MlflowClient
    except ImportError as error:
        raise UnavailableError(
            f"mlflow: cannot be imported ({error}); pip install 'segline[registry]'"
        ) from error
    return MlflowClient
