"""What an archive of any format lists, before anything of it is unpacked."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

MOST_MEMBERS = 100_000
"""Files and folders; each takes 1.6 kB while it is listed, and public data sets have a tenth of it."""
CHUNK_BYTES = 1 << 20


class Kind(Enum):
    """What a member is, in the words of a refusal."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "link"
    SPECIAL = "device or other special file"
    SPARSE = "sparse file"
    ENCRYPTED = "file encrypted with a password"
    RARE = "file compressed in another way than deflate"


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of an archive, as the archive states it: all of it may be a lie."""

    name: str
    kind: Kind
    size_bytes: int
    chunks: Callable[[], Iterator[bytes]]
    """Read the content, never more than ``size_bytes``, while the archive is open."""

    def content(self) -> Iterator[bytes]:
        """The content in chunks.

        Raises:
            EOFError: it is shorter than stated, or cannot be read.
        """
        left = self.size_bytes
        try:
            for chunk in self.chunks():
                left -= len(chunk)
                yield chunk
        except OSError as error:
            raise EOFError(f"{self.name!r}: {error}") from error
        if left:
            raise EOFError(f"{self.name!r} ends {left} bytes early")


class RefusedError(Exception):
    """An archive holds what is not taken: the rest of a line that begins with the archive's name."""
