import subprocess
import sys
from pathlib import Path

import pytest

from segline.serving.work.spool import FullError, Spool

from ...waiting import wait_until


def test_it_goes_with_all_that_is_in_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    (spool.new_folder() / "image.nii.gz").write_bytes(b"x")
    assert spool.folder.stat().st_mode & 0o077 == 0
    spool.remove()
    assert not list(tmp_path.iterdir())


def test_it_goes_with_a_process_that_is_killed(tmp_path: Path) -> None:
    script = (
        f"import os, pathlib, signal\nfrom segline.serving.work.spool import Spool\n"
        f"folder = Spool(pathlib.Path({str(tmp_path)!r})).new_folder()\n"
        "(folder / 'image').write_bytes(b'x')\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    wait_until(lambda: not list(tmp_path.iterdir()))


def test_what_a_machine_that_went_down_left_goes_at_the_next_start(tmp_path: Path) -> None:
    left = tmp_path / "segline-spool-left"
    left.mkdir()
    (left / "lock").touch()
    other = Spool(tmp_path)
    spool = Spool(tmp_path)
    assert not left.exists() and other.folder.is_dir()
    other.remove()
    spool.remove()


def test_no_more_is_kept_than_may_be(tmp_path: Path) -> None:
    spool = Spool(tmp_path, most_bytes=100)
    first, second = spool.new_folder(), spool.new_folder()
    spool.take(first, 90)
    with pytest.raises(FullError):
        spool.take(second, 20)
    spool.give_back(first)
    spool.take(second, 20)
    spool.remove()
