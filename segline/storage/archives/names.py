"""How archives are named, and what the names in them may be."""

import re
from collections.abc import Iterable
from itertools import pairwise
from pathlib import PurePosixPath

from segline.common.errors import SeglineError

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")
"""In any case; which format a file really has is known by its content."""

_DRIVE = re.compile(r"[A-Za-z]:/")
_UNDECODED = re.compile("[\ud800-\udfff]")
_LONGEST_PART_BYTES = 255
_LONGEST = 1024
"""Of all parts together; what macOS takes, and S3 as a key. Linux takes more."""
_DEEPEST = 32


def archive_stem(name: str) -> str | None:
    """A file name without its archive's suffix; None where the name is not an archive's.

    >>> archive_stem("Task09_Spleen.tar.gz")
    'Task09_Spleen'
    """
    lower = name.lower()
    return next((name[: -len(suffix)] for suffix in SUFFIXES if lower.endswith(suffix)), None)


def inner_path(name: str, where: str) -> PurePosixPath:
    """``name`` as a relative path that cannot lead out of the folder it is joined to.

    Raises:
        SeglineError: absolute, with ``..``, or empty; ``where`` says who named it.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
        raise SeglineError(f"{where}: path {name!r} leads out of the folder; use plain relative paths")
    return path


def member_path(name: str, where: str) -> PurePosixPath:
    """:func:`inner_path` of a name that may come from Windows, where ``\\`` parts folders.

    Raises:
        SeglineError: as :func:`inner_path`, on a drive, or longer, deeper or of other bytes than file systems
            and what is written about them take.
    """
    slashed = name.replace("\\", "/")
    parts = slashed.encode(errors="surrogatepass").split(b"/")
    if len(slashed) > _LONGEST or len(parts) > _DEEPEST or max(map(len, parts)) > _LONGEST_PART_BYTES:
        raise SeglineError(
            f"{where}: the name {f'{name[:40]}...'!r} is longer or deeper than file systems take; shorten it"
        )
    if _DRIVE.match(slashed):
        raise SeglineError(f"{where}: path {name!r} leads out of the folder; use plain relative paths")
    if _UNDECODED.search(slashed):
        raise SeglineError(f"{where}: the name {name!r} is not UTF-8; rename the file")
    return inner_path(slashed, where)


def require_distinct(paths: Iterable[PurePosixPath], where: str) -> None:
    """See to it that each file keeps a place of its own, also where ``A`` and ``a`` are one name.

    Raises:
        SeglineError: two of the files share a name, or one has the name of another's folder.
    """
    # NUL is in no name and comes before all that is: what lies in a folder follows the folder's own name.
    places = sorted((str(path).casefold().replace("/", "\0"), path) for path in paths)
    for (place, path), (next_place, next_path) in pairwise(places):
        if path == next_path:
            raise SeglineError(f"{where}: holds {str(path)!r} twice; pack each file once")
        if place == next_place:
            both = f"{str(path)!r} and {str(next_path)!r}"
            raise SeglineError(f"{where}: {both} are one file where case does not count; rename one")
        if next_place.startswith(f"{place}\0"):
            raise SeglineError(f"{where}: {str(path)!r} is both a file and the folder of another; rename one")


def is_junk(path: PurePosixPath) -> bool:
    """Whether macOS left the file beside the real ones (``._name``, a resource fork, or in ``__MACOSX``)."""
    return path.name.startswith("._") or "__MACOSX" in path.parts
