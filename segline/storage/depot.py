"""The depot: what is kept between runs, on this machine or in an object store with a working copy here."""

from dataclasses import dataclass
from pathlib import Path

from segline.common.parallel import do_all
from segline.common.progress import Progress, silent
from segline.storage.folder_objects import FileObjects
from segline.storage.store import FOLDER_MARKER, Store, open_store


@dataclass(frozen=True)
class Depot:
    """Files and folders by key, worked on below ``folder``.

    Where the store is in S3, ``folder`` is this machine's copy of the part that was needed here: what is
    kept is sent there, what is brought is fetched from there unless it is here already. Where the store is
    a folder, it is worked on in place, and keeping and bringing cost nothing.

    Raises:
        SeglineError: from every method, as :class:`Store`.
    """

    store: Store
    folder: Path

    @classmethod
    def here(cls, folder: Path) -> "Depot":
        """The depot in a folder of this machine."""
        return cls(open_store(str(folder)), folder)

    @property
    def is_remote(self) -> bool:
        """Whether the store is elsewhere."""
        return not isinstance(self.store.objects, FileObjects)

    def path(self, key: str) -> Path:
        """Where the file or folder is worked on."""
        return self.folder / key

    def bring_file(self, key: str) -> Path:
        """The file as it is in the store, or the path it will have where there is none yet."""
        path = self.path(key)
        if self.is_remote and self.store.stat(key):
            self.store.get_file(key, path)
        return path

    def keep_file(self, key: str) -> None:
        """Send the file, replacing what the store has under its key."""
        if self.is_remote:
            self.store.put_file(self.path(key), key)

    def bring_files(self, prefix: str) -> Path:
        """The folder of small files under ``prefix``, those of the store that were not here among them."""
        folder = self.path(prefix)
        if self.is_remote:
            part = self.store / prefix
            missing = [item.key for item in part.listed() if not (folder / item.key).is_file()]
            do_all(lambda name: part.get_file(name, folder / name), missing, part.threads)
        return folder

    def keep_files(self, prefix: str) -> None:
        """Send the files under ``prefix`` that the store does not have."""
        if self.is_remote:
            part, folder = self.store / prefix, self.path(prefix)
            there = {item.key for item in part.listed()}
            send = [path.name for path in folder.glob("[!.]*") if path.is_file() and path.name not in there]
            do_all(lambda name: part.put_file(folder / name, name), send, part.threads)

    def forget_file(self, key: str) -> None:
        """Remove the file, here and in the store."""
        self.path(key).unlink(missing_ok=True)
        if self.is_remote:
            self.store.delete(key)

    def has_folder(self, key: str) -> bool:
        """Whether the store has the whole folder."""
        if self.is_remote:
            return self.store.stat(f"{key}/{FOLDER_MARKER}") is not None
        return self.path(key).is_dir()

    def bring_folder(self, key: str) -> Path:
        """The folder, fetched whole if it is not here; one that is here is taken as it is."""
        path = self.path(key)
        if self.is_remote and not path.is_dir():
            self.store.get_folder(key, path)
        return path

    def keep_folder(self, key: str) -> None:
        """Send the folder unless the store has one; for others it is there once all of it is."""
        if self.is_remote and not self.has_folder(key):
            self.store.put_folder(self.path(key), key)

    def bring_folders(self, keys: list[str], what: str, progress: Progress = silent) -> None:
        """:meth:`bring_folder` each of them, several at a time."""
        missing = [key for key in keys if not self.path(key).is_dir()]
        do_all(self.bring_folder, missing, self.store.threads, f"{what} fetched", progress)
