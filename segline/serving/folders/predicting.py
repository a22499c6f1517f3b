"""Every image below a folder answered into another: the next one read while the network works on this one."""

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from segline.common import atomic
from segline.common.digests import sha256_of_file
from segline.common.errors import LostDeviceError, SeglineError, plain_error
from segline.common.locks import exclusive_at_once
from segline.common.progress import Progress, silent
from segline.imaging.volume import Volume
from segline.serving.folders.finding import Image, find_images
from segline.serving.folders.journal import Journal, Row, as_csv, stamp_of
from segline.serving.models.served import Served

TABLE = "volumes.csv"
_OWN = ".segline"
"""Folder among the answers: the lock, the journal, and what is being written."""
_TABLE_EVERY_S = 10.0


@dataclass(frozen=True)
class Totals:
    """How many images came to what."""

    answered: int
    done_before: int
    failed: int
    others: int
    """Files that are no images."""

    def __str__(self) -> str:
        """For a line on the console."""
        told = {"answered": self.answered, "done before": self.done_before, "failed": self.failed}
        others = [f"{self.others} files that are no images passed over"] if self.others else []
        return ", ".join([f"{count} {word}" for word, count in told.items() if count] + others)


def predict_folder(
    served: Served,
    source: Path,
    target: Path,
    heard: Callable[[Row], None],
    progress: Progress = silent,
) -> Totals:
    """Answer every image below ``source`` into ``target``, at the same place below it; a table beside.

    An answer that this model made of this very file is left as it is. What cannot be answered is told, and
    the rest done. Killed and called again, it goes on. Two volumes are in memory at most, each of
    ``SEGLINE_LARGEST_GB`` at most: one at the network, and the next one.

    Args:
        served: the model.
        source: see :func:`~segline.serving.folders.finding.find_images`.
        target: made if it is missing; holds :data:`TABLE` of all that was ever answered into it.
        heard: called with each image that is answered now, or cannot be.
        progress: told of each, too.

    Raises:
        SeglineError: the folders are one, an answer cannot be written, another process is at the same work,
            or there are no images.
    """
    if target.exists() and target.samefile(source):
        raise SeglineError(f"{target}: is the folder of the images itself; write the answers to another")
    images, others = find_images(source, served.plan, served.answers.suffixes[0], target)
    if not images:
        raise SeglineError(f"{source}: no images below it; give a folder with volumes or DICOM series")
    with exclusive_at_once(target / _OWN / "lock"), _Folder.opened(served, source, target) as folder:
        waiting = [image for image in images if not folder.has(image)]
        done_before = len(images) - len(waiting)
        for number, row in enumerate(folder.answered(waiting), 1):
            heard(row)
            told = f"{number} of {len(waiting)} images" + (f", {done_before} before" * bool(done_before))
            progress(number / len(waiting), told)
    failed = len(folder.failures)
    return Totals(len(waiting) - failed, done_before, failed, others)


@dataclass(frozen=True)
class _Read:
    """A volume from its files, or why not."""

    image: Image
    stamp: str
    seconds: float
    volume: Volume | None
    error: str = ""


class _Folder:
    """The answers, while they are made."""

    def __init__(self, served: Served, source: Path, target: Path) -> None:
        self._served = served
        self._source = source
        self._target = target
        self._scratch = target / _OWN / "writing"
        self._journal = Journal(target / _OWN / "journal.jsonl", target)
        self._table_at = time.monotonic()
        self.failures: list[Row] = []

    @classmethod
    @contextmanager
    def opened(cls, served: Served, source: Path, target: Path) -> "Iterator[_Folder]":
        """Without what a kill left half written; in the end the table is whole, however it ends."""
        folder = cls(served, source, target)
        shutil.rmtree(folder._scratch, ignore_errors=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder._scratch, ignore_errors=True)
            folder._write_table()

    def has(self, image: Image) -> bool:
        """Whether it is answered."""
        return self._journal.standing(image.answer, self._served.digest, _stamp(image)).is_done

    def answered(self, images: Sequence[Image]) -> Iterator[Row]:
        """Each in turn; its answer is in its place, unless the row says why not."""
        if images:
            self._served.opened()  # what is wrong with the model is no image's fault
        for read in _read_ahead(images, self._read):
            row = self._row(read)
            if row.error:
                self.failures.append(row)
            if time.monotonic() - self._table_at > _TABLE_EVERY_S:
                self._write_table()
            yield row

    def _read(self, image: Image) -> _Read:
        begin, stamp = time.perf_counter(), _stamp(image)
        standing = self._journal.standing(image.answer, self._served.digest, stamp)
        try:
            if standing.is_of_others:
                raise SeglineError(
                    f"{self._target / image.answer}: is there and was not made here, or was changed since; "
                    "move it away, or write to another folder"
                )
            volume = image.read()
        except Exception as error:
            return _Read(image, stamp, time.perf_counter() - begin, None, _line(error))
        return _Read(image, stamp, time.perf_counter() - begin, volume)

    def _row(self, read: _Read) -> Row:
        image, begin = read.image, time.perf_counter()
        row = Row(image=image.name, answer=image.answer, model=self._served.digest, stamp=read.stamp)
        if read.volume is None:
            return row.model_copy(update={"error": read.error})
        try:
            reply = self._served.reply(read.volume)
        except Exception as error:
            return row.model_copy(update={"error": f"{self._source / image.name}: {_line(error)}"})
        scratch = self._scratch / Path(image.answer).name
        self._served.answers.write(scratch, reply.answer)
        seconds = read.seconds + time.perf_counter() - begin
        told = {
            "figures": reply.figures,
            "remarks": reply.remarks,
            "trust": reply.trust,
            "warnings": reply.warnings,
        }
        row = row.model_copy(update={**told, "sha256": sha256_of_file(scratch), "seconds": seconds})
        self._journal.add(row)
        self._put(scratch, self._target / image.answer)
        return row

    def _put(self, scratch: Path, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            scratch.replace(path)
        except (FileExistsError, NotADirectoryError) as error:
            raise SeglineError(
                f"{error.filename}: is a file, and no folder to write {path.name} into"
            ) from error

    def _write_table(self) -> None:
        failed = {row.answer for row in self.failures}
        kept = [row for row in self._journal.rows() if row.answer not in failed]
        atomic.write_text(self._target / TABLE, as_csv([*kept, *self.failures]))
        self._table_at = time.monotonic()


def _read_ahead(images: Sequence[Image], read: Callable[[Image], _Read]) -> Iterator[_Read]:
    """Each as it was read, in order; the next one is read in a thread meanwhile, and no other."""
    with ThreadPoolExecutor(1) as reader:
        coming = [reader.submit(read, image) for image in images[:1]]
        for following in [*images[1:], None]:
            if not coming:
                return
            this = coming.pop().result()
            if following is not None:
                coming.append(reader.submit(read, following))
            yield this
            del this


def _stamp(image: Image) -> str:
    try:
        return stamp_of(image.stamp)
    except OSError:  # whoever reads it says so
        return ""


def _line(error: Exception) -> str:
    """What went wrong with one image, which is no reason to leave the others.

    Raises:
        LostDeviceError: none of the others could be answered either.
    """
    readable = plain_error(error)
    if isinstance(readable, LostDeviceError):
        raise readable
    if isinstance(readable, SeglineError):
        return str(readable)
    return f"unexpected {type(error).__name__}: {' '.join(str(error).split())[:200]}"
