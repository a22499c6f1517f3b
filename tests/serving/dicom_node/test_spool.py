"""Tests for the spool: threads that take folders away while others look into them."""

import os
from pathlib import Path

import pytest

from segline.serving.dicom_node.spool import Spool


def test_a_folder_goes_while_what_is_kept_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool, scandir = Spool(tmp_path, most_bytes=10), os.scandir
    with spool.opened():
        done, other = (spool.complete(spool.add("PACS", series, "1", b"image")) for series in ("1", "2"))

        def moved_before(path: Path | int) -> object:
            if str(path) == str(other.folder):
                other.folder.rename(tmp_path / "outbox" / other.folder.name)
            return scandir(path)

        monkeypatch.setattr(os, "scandir", moved_before)
        spool.remove(done)
        assert not other.folder.exists()
        assert spool.has_room(5)
