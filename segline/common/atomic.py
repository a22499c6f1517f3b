"""Files and folders that appear whole or not at all: written aside, then renamed."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SCRATCH = ".writing-"
"""How the names of what is still being written begin."""


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Give a scratch path beside ``path``; rename it to ``path`` on success, remove it on failure.

    The scratch name keeps the suffixes (``.nii.gz``), which some writers look at.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=SCRATCH, suffix="".join(path.suffixes[-2:]))
    os.close(handle)
    scratch = Path(name)
    try:
        yield scratch
        scratch.chmod(0o666 & ~_umask())
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give a scratch folder beside ``path``; rename it to ``path`` on success, remove it on failure.

    If ``path`` has appeared meanwhile (another worker was faster), theirs is kept.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=path.parent, prefix=SCRATCH))
    try:
        yield scratch
        scratch.chmod(0o777 & ~_umask())
        try:
            scratch.rename(path)
        except OSError:
            if not path.is_dir():
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, UTF-8."""
    with new_file(path) as scratch:
        scratch.write_text(text, encoding="utf-8")


def _umask() -> int:
    """What this process lets nobody do; read where it can be, since to ask the kernel is to change it."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
