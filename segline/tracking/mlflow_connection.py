"""The connection to MLflow: a server, or a SQLite file with a folder beside it."""

import logging
import math
import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, TypeVar
from urllib.error import HTTPError
from urllib.parse import urlsplit, urlunsplit
from urllib.request import Request, urlopen

from segline.common import atomic
from segline.common.errors import SeglineError, UnavailableError, imports_of
from segline.common.locks import exclusive
from segline.storage.access import is_uri
from segline.storage.retries import Patience, seconds_of
from segline.tracking.mlflow_database import Database
from segline.tracking.mlflow_faults import LostError, is_locked, no_answer, waited_s
from segline.tracking.mlflow_settings import keys_apart, quiet_mlflow, tracking_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient

_PATIENCE = "MLFLOW_PATIENCE_S"
_PATIENCE_S = 120.0
"""With one that answered before, as with an S3 server."""
_LONGEST_HEALTH_S, _LONGEST_ANSWER_S = 10.0, 120.0
_WATCH_FROM_S, _WATCH_UP_TO_S = 5.0, 60.0
Result = TypeVar("Result")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Registry:
    """MLflow at one tracking URI, for runs and for models.

    Attributes:
        uri: ``http(s)://`` of a server, or ``sqlite:///`` and a path. A server with PostgreSQL and S3 behind
            it is used like any other.
        patience_s: how long to wait for a server that does not answer or only that it fails, and for a file
            that another process holds. By default not at all for a server that never answered, whose URI may
            be wrong, and 120 s for what is lost in the middle of the work.
    """

    uri: str
    patience_s: float | None = None

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
        return self.database is None or self.database.path.is_file()

    @property
    def database(self) -> Database | None:
        """Where it is a file."""
        return Database.at(self.uri)

    @property
    def address(self) -> str:
        """The URI as MLflow is given it."""
        return self.database.address if self.database else self.uri

    @cached_property
    def client(self) -> "MlflowClient":
        """MLflow's own client, once the other side has answered.

        Raises:
            SeglineError: MLflow is not installed, the server does not answer, or the file cannot be opened.
        """
        client_of = _require_mlflow()
        if self.database:
            self._wait(Patience(self._patience_s))
            return self._open_file(client_of, self.database)
        self._wait(Patience(self.patience_s or 0.0))
        with self.readable_errors():
            return client_of(self.uri, self.uri)

    def patiently(self, work: Callable[[], Result]) -> Result:
        """What ``work`` returns; it begins anew where the other side is lost in its middle.

        It must be safe to repeat, also where it was done and only the answer was lost. The log tells of the
        waiting.

        Raises:
            SeglineError: as ``work``, or the patience is over.
        """
        patience: Patience | None = None
        while True:
            try:
                with self._watched(), self.readable_errors():
                    return work()
            except LostError as error:
                lost = error
            if patience is None:
                patience = Patience(self._patience_s - lost.waited_s)
                if patience.limit_s > 0:
                    _log.warning("%s; trying again for %.0f s", lost, patience.limit_s)
            # not as what was lost, for which an outer work would wait once more
            self._wait(patience, SeglineError(str(lost)))

    @contextmanager
    def readable_errors(self) -> Iterator[None]:
        """Turn MLflow's errors into the one line a user needs.

        Raises:
            LostError: the other side does not answer any more, or is locked.
            SeglineError: it refuses.
        """
        _require_mlflow()
        from mlflow.exceptions import MlflowException
        from requests import RequestException  # type: ignore[import-untyped]

        try:
            yield
        except (MlflowException, RequestException) as error:
            first = str(error).strip().split("\n", 1)[0]
            lost = self._lost(error)
            raise lost or SeglineError(f"{self.shown_uri}: MLflow refuses: {first}") from error

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
        return self.database.artifacts.as_uri() if self.database else None

    @property
    def _patience_s(self) -> float:
        """With what answered before."""
        return _PATIENCE_S if self.patience_s is None else self.patience_s

    def _open_file(self, client_of: "type[MlflowClient]", database: Database) -> "MlflowClient":
        path = database.path
        with exclusive(path.with_name(f"{path.name}.lock")):  # two that make the tables at once break them
            try:
                if not path.exists():
                    _make_tables(client_of, database)
                client = client_of(database.address, database.address)
                client.search_registered_models(max_results=1)
                database.follow_the_store()
            except Exception as error:  # SQLAlchemy's own, which MLflow lets through
                if lost := self._lost(error):
                    raise lost from error
                first = str(error).strip().split("\n", 1)[0]
                raise SeglineError(f"{path}: cannot be opened as MLflow's database ({first})") from error
        return client

    def _wait(self, patience: Patience, lost: SeglineError | None = None) -> None:
        """Until it can be used, as far as can be told from outside, and a moment where it was lost just now.

        Raises:
            SeglineError: the patience is over.
        """
        fault = lost or self._fault()
        while fault:
            patience.wait(fault, self.shown_uri)
            fault = self._fault()

    def _fault(self) -> SeglineError | None:
        """Why it cannot be used for the moment; MLflow's client would try for minutes."""
        if self.database:
            return self._lock_fault() if self.database.is_held() else None
        if not self.uri.startswith(("http://", "https://")):
            return None
        try:
            timeout_s = min(_LONGEST_HEALTH_S, answer_s(self._patience_s))
            with urlopen(Request(self.shown_uri.rstrip("/") + "/health"), timeout=timeout_s):
                return None
        except HTTPError as error:
            if error.code < 500:
                return None
            told = f"the MLflow server answers {error.code} {error.reason}; try later"
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            told = f"no MLflow server answers ({reason}); start it, or give another URI"
        return SeglineError(f"{self.shown_uri}: {told}")

    def _lost(self, error: BaseException) -> LostError | None:
        """What an error of MLflow's means, if it is no answer or a lock."""
        if self.database:
            return LostError(str(self._lock_fault())) if is_locked(error) else None
        asked = time.monotonic()
        reason, fault = no_answer(error), self._fault()
        if reason is None and fault is None:
            return None
        lost = LostError(str(fault or f"{self.shown_uri}: the MLflow server does not answer ({reason})"))
        lost.waited_s = waited_s(reason) + time.monotonic() - asked
        return lost

    def _lock_fault(self) -> SeglineError:
        path = self.database.path if self.database else self.shown_uri
        return SeglineError(f"{path}: locked by another process; let it end, and try again")

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Tell, within seconds, of a server that is silent while the block waits for it."""
        done = Event()

        def watch() -> None:
            pause_s = _WATCH_FROM_S
            while not done.wait(pause_s):
                if (fault := self._fault()) and not done.is_set():
                    _log.warning("%s; still waiting", fault)
                pause_s = min(2 * pause_s, _WATCH_UP_TO_S)

        Thread(target=watch, daemon=True, name="mlflow-watch").start()
        try:
            yield
        finally:
            done.set()


def answer_s(patience_s: float) -> int:
    """How long one answer may take: half of the patience, so that there is a second try.

    An upload is answered once the server has put it into its S3.
    """
    return math.ceil(min(_LONGEST_ANSWER_S, patience_s / 2)) or math.ceil(_LONGEST_HEALTH_S)


def registry_at(store: str | Path, tracking: str, environment: MutableMapping[str, str]) -> Registry:
    """The registry of ``tracking``, a URI, else the store's own; for entry points, MLflow quiet.

    A bucket has none of its own: that is the server of ``MLFLOW_TRACKING_URI``. ``MLFLOW_PATIENCE_S`` is how
    long to wait, see :class:`Registry`.

    Raises:
        SeglineError: the store is a bucket, and no server is named; its path can be no address of MLflow's;
            or the patience is no number.
    """
    quiet_mlflow(environment)
    named = tracking or (environment.get("MLFLOW_TRACKING_URI", "") if is_uri(store) else "")
    named = keys_apart(named, environment)
    registry = Registry(tracking_uri(store, named), _patience(environment))
    answer = answer_s(_PATIENCE_S if registry.patience_s is None else registry.patience_s)
    environment.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(answer))
    return registry


def _patience(environment: MutableMapping[str, str]) -> float | None:
    return seconds_of(environment, _PATIENCE, 0.0) if environment.get(_PATIENCE) else None


def _make_tables(client_of: "type[MlflowClient]", database: Database) -> None:
    """Aside, and renamed once all are there: tables that were half made could never be opened again."""
    with atomic.new_file(database.path) as scratch:
        uri = database.address_of(scratch)
        client_of(uri, uri).search_registered_models(max_results=1)


def _require_mlflow() -> "type[MlflowClient]":
    with imports_of("registry", "the registry", UnavailableError):
        from mlflow import MlflowClient
    return MlflowClient
