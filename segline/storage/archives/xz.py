"""Xz streams read in bounded memory: their headers may ask for a dictionary of 4 GiB, and fill it."""

import io
import lzma
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_MEMORY_BYTES = 128 << 20
"""``xz -9`` takes 65 MiB."""
_CHUNK_BYTES = 1 << 16


class XzReader(io.RawIOBase):
    """What an xz file holds, as :class:`lzma.LZMAFile`, which knows no limit of memory.

    Going back starts from the beginning. Reading raises :class:`lzma.LZMAError` where the file is damaged
    or asks for more memory, and :class:`EOFError` where it is cut.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._start()

    def _start(self) -> None:
        self._file.seek(0)
        self._position = 0
        self._pending = b""
        self._decoder = _decoder()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET:
            raise io.UnsupportedOperation("only a position from the beginning")
        if offset < self._position:
            self._start()
        while self._position < offset and self.read(min(_CHUNK_BYTES, offset - self._position)):
            pass
        return self._position

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer).cast("B")
        data = self._some(len(view))
        view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()

    def _some(self, most: int) -> bytes:
        while not self._decoder.eof or self._begins_again():
            taken, self._pending = self._pending, b""
            if self._decoder.needs_input and not taken:
                taken = self._file.read(_CHUNK_BYTES)
                if not taken:
                    raise EOFError("the content ends before its end mark")
            if data := self._decoder.decompress(taken, most):
                return data
        return b""

    def _begins_again(self) -> bool:
        """Whether another stream follows the one that has ended; zeros may lie between."""
        following = self._decoder.unused_data or self._file.read(_CHUNK_BYTES)
        while following and not (begun := following.lstrip(b"\0")):
            following = self._file.read(_CHUNK_BYTES)
        if not following:
            return False
        self._pending, self._decoder = begun, _decoder()
        return True


def _decoder() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY_BYTES)
