"""Gzip taken apart no further than what is wanted of it."""

from isal.igzip_lib import DECOMP_GZIP, IgzipDecompressor

_MAGIC = b"\x1f\x8b"
_SLACK_BYTES = 1 << 20


def is_gzipped(raw: bytes) -> bool:
    """Whether bytes begin as gzip does."""
    return raw[:2] == _MAGIC


def unzipped(raw: bytes, most: int) -> bytes:
    """The content of all members, its first ``most`` bytes where it has more.

    The checksum of a member is compared where its end is reached.

    Raises:
        EOFError: the content ends before its end mark, or is not gzip.
        isal.igzip_lib.IsalError: it is damaged.
    """
    parts: list[bytes] = []
    left = most
    while left > 0 and (is_gzipped(raw) or not parts):
        member = IgzipDecompressor(DECOMP_GZIP)
        parts.append(member.decompress(raw, left))
        left -= len(parts[-1])
        if not member.eof:
            if left > 0:
                raise EOFError("the content ends before its end mark")
            break
        raw = member.unused_data
    return parts[0] if len(parts) == 1 else b"".join(parts)


def peeled(raw: bytes) -> bytes:
    """Without the outer gzip, where there is one about another; what is gzipped once stays.

    Raises:
        EOFError, isal.igzip_lib.IsalError: as :func:`unzipped`.
    """
    if is_gzipped(raw) and is_gzipped(unzipped(raw, len(_MAGIC))):
        return unzipped(raw, 2 * len(raw) + _SLACK_BYTES)  # what is zipped hardly shrinks
    return raw
