"""Files of ``torch.save``: torch itself looks neither at what they unpack to nor at their checksums."""

import pickletools
import re
import zipfile
from pathlib import Path

from segline.common.limits import require_fits

_PICKLE = "data.pkl"
_DOS_FOLDER = 0x10
_OF_STATE_DICTS = re.compile(
    r"collections OrderedDict|torch\._utils _rebuild_tensor_v2"
    r"|torch (Float|Double|Half|BFloat16|Long|Int)Storage"
)
"""What the pickle within may name. Torch allows ``bytearray`` besides: of any size, in a line."""


def require_whole(path: Path) -> None:
    """Check every record's CRC-32, which ``torch.save`` writes and ``torch.load`` does not read.

    20 MB take 20 ms. Nothing is unpacked: records are stored as they are, and lie within the file.

    Raises:
        ValueError: not such a file, damaged, or made to unpack to more than itself; in words.
        OSError: there is none.
        SeglineError: larger than a file may be.
    """
    require_fits(path.stat().st_size, str(path))
    try:
        with zipfile.ZipFile(path) as archive:
            _require_stored(archive, path.stat().st_size)
            if (damaged := archive.testzip()) is not None:
                raise ValueError(f"{damaged} is damaged")
    except ValueError:
        raise
    except Exception as error:  # zipfile raises anything from BadZipFile to OSError over a damaged list
        raise ValueError(f"damaged, or no file of torch.save: {error}") from error


def require_state_dict(path: Path) -> None:
    """Check in the pickle of such a file that it makes nothing but tensors, numbers and texts in mappings.

    How long it takes to make them is not known from that, nor whose weights they are.

    Raises:
        ValueError: it names anything else.
    """
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.rpartition("/")[2] == _PICKLE:
                _require_plain(archive.read(name))


def _require_stored(archive: zipfile.ZipFile, size: int) -> None:
    records = archive.infolist()
    for record in records:
        if record.compress_type != zipfile.ZIP_STORED or record.file_size != record.compress_size:
            raise ValueError(f"{record.filename} is packed, which torch.save never does")
        if record.is_dir() or record.external_attr & _DOS_FOLDER:
            raise ValueError(f"{record.filename} is called a folder")  # torch would give memory of before
    if sum(record.file_size for record in records) > size:
        raise ValueError("its records are larger than itself")


def _require_plain(pickle: bytes) -> None:
    for opcode, argument, _ in pickletools.genops(pickle):
        if opcode.name in ("GLOBAL", "STACK_GLOBAL", "INST") and not _OF_STATE_DICTS.fullmatch(str(argument)):
            raise ValueError(f"it names {str(argument)[:80]!r}, which is no part of weights")
