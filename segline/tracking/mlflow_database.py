"""MLflow's own database: a SQLite file in a store, with the folder of artifacts beside it."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from segline.common.errors import SeglineError
from segline.tracking.mlflow_faults import is_locked

_SQLITE = "sqlite:///"
_READ_AS_MORE = {"%": "%25", "?": "%3F", "#": "%23"}
"""What is not part of a path in a URI; the rest, blanks and umlauts too, is taken as it stands."""
_LOCATIONS = (
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Where MLflow writes down whole paths below that of an experiment."""


@dataclass(frozen=True)
class Database:
    """A SQLite file that is MLflow's.

    Attributes:
        uri: ``sqlite:///`` and a path, in which ``%``, ``?`` and ``#`` of the path are written ``%25``,
            ``%3F`` and ``%23``.
    """

    uri: str

    @classmethod
    def at(cls, uri: str) -> "Database | None":
        """The one that a tracking URI means; ``None`` where that is a server's."""
        return cls(uri) if uri.startswith(_SQLITE) else None

    @classmethod
    def of(cls, store: Path) -> "Database":
        """The one that a store has by default.

        Raises:
            SeglineError: the folder's name is not text, as an address must be.
        """
        path = str((store / "mlflow" / "mlflow.db").absolute())
        try:
            path.encode()
        except UnicodeEncodeError as error:
            raise SeglineError(
                f"{str(store)!r}: not a name in UTF-8, as MLflow's addresses must be; choose another STORE"
            ) from error
        return cls(_SQLITE + "".join(_READ_AS_MORE.get(each, each) for each in path))

    @property
    def path(self) -> Path:
        """The file's, absolute."""
        return Path(unquote(self._in_uri)).absolute()

    @property
    def artifacts(self) -> Path:
        """The folder beside it."""
        return self.path.parent / "artifacts"

    @property
    def address(self) -> str:
        """The URI that MLflow is given; the folder must be there.

        MLflow makes the folder that it reads in a URI, and takes ``%3F`` there for part of the name; what
        SQLAlchemy makes of ``%`` depends on its version. A folder that is not what either reads goes by an
        open descriptor instead.
        """
        return self.uri if self._in_uri == str(self.path) else self.address_of(self.path)

    def address_of(self, path: Path) -> str:
        """As :attr:`address`, of another file in the same folder."""
        folder = path.parent
        if any(each in str(path) for each in _READ_AS_MORE):
            there = folder.stat()
            folder = Path(f"/proc/self/fd/{_descriptor(folder, there.st_dev, there.st_ino)}")
        return f"{_SQLITE}{folder / path.name}"

    def is_held(self) -> bool:
        """Whether another process keeps everybody from reading it, at this moment."""
        if not self.path.is_file():
            return False
        try:
            with closing(sqlite3.connect(self.path, timeout=0)) as connection:
                connection.execute("SELECT name FROM sqlite_master LIMIT 1").fetchall()
        except sqlite3.Error as error:
            return is_locked(error)
        return False

    def follow_the_store(self) -> None:
        """Let what MLflow wrote down of artifacts mean those beside the file, if it was moved or copied.

        Raises:
            sqlite3.Error: the file is no database, or locked.
        """
        with closing(sqlite3.connect(self.path)) as connection, connection:
            ours = self.artifacts.as_uri()
            for theirs in self._other_places(connection):
                _move(connection, theirs, ours)

    def _other_places(self, connection: sqlite3.Connection) -> Iterator[str]:
        """Of experiments of segline's; another name of the same folder is as good."""
        asked = "SELECT DISTINCT artifact_location FROM experiments WHERE name LIKE 'segline-%'"
        for (place,) in connection.execute(asked).fetchall():
            folder = Path(unquote(urlsplit(place or "").path))
            if urlsplit(place).scheme == "file" and not _is_same(folder, self.artifacts):
                yield place

    @property
    def _in_uri(self) -> str:
        return self.uri.removeprefix(_SQLITE).partition("?")[0]


def _move(connection: sqlite3.Connection, old: str, new: str) -> None:
    """Of the tables of MLflow's, in the transaction of ``connection``."""
    connection.execute("UPDATE experiments SET artifact_location = ? WHERE artifact_location = ?", (new, old))
    for table, column in _LOCATIONS:
        connection.execute(
            f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
            (new, len(old) + 1, len(old) + 1, f"{old}/"),
        )


def _is_same(a: Path, b: Path) -> bool:
    try:
        return a == b or a.samefile(b)
    except OSError:
        return False


@cache
def _descriptor(folder: Path, _device: int, _inode: int) -> int:
    """Open as long as the process lives: MLflow keeps its connections by their address."""
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
