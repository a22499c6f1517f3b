"""Archives of data sets, unpacked so that nothing can land outside the folder or stay half written.

A format is a function that opens a file and gives its members, and a line in :mod:`unpacking`.
"""

from segline.storage.archives.names import SUFFIXES, archive_stem, inner_path, is_junk
from segline.storage.archives.unpacking import unpack

__all__ = ["SUFFIXES", "archive_stem", "inner_path", "is_junk", "unpack"]
