"""Files and folders that appear whole or not at all."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from segline.common import atomic


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestNewFile:
    def test_it_appears_when_the_block_ends(self, tmp_path):
        with atomic.new_file(tmp_path / "plan.json") as scratch:
            scratch.write_text("whole")
            assert not (tmp_path / "plan.json").exists()
        assert (tmp_path / "plan.json").read_text() == "whole"
        assert names_in(tmp_path) == ["plan.json"]

    def test_a_failure_leaves_nothing(self, tmp_path):
        with pytest.raises(RuntimeError), atomic.new_file(tmp_path / "plan.json") as scratch:
            scratch.write_text("half")
            raise RuntimeError
        assert names_in(tmp_path) == []

    def test_an_interrupt_leaves_nothing(self, tmp_path):
        with pytest.raises(KeyboardInterrupt), atomic.new_file(tmp_path / "plan.json") as scratch:
            scratch.write_text("half")
            raise KeyboardInterrupt
        assert names_in(tmp_path) == []

    def test_a_failure_keeps_the_file_that_was_there(self, tmp_path):
        (tmp_path / "plan.json").write_text("old")
        with pytest.raises(RuntimeError), atomic.new_file(tmp_path / "plan.json") as scratch:
            scratch.write_text("half")
            raise RuntimeError
        assert (tmp_path / "plan.json").read_text() == "old"

    def test_success_replaces_the_file_that_was_there(self, tmp_path):
        (tmp_path / "plan.json").write_text("old")
        atomic.write_text(tmp_path / "plan.json", "new")
        assert (tmp_path / "plan.json").read_text() == "new"

    def test_the_scratch_file_keeps_the_suffixes_and_the_folder(self, tmp_path):
        with atomic.new_file(tmp_path / "case.nii.gz") as scratch:
            assert scratch.name.endswith(".nii.gz")
            assert scratch.parent == tmp_path

    def test_everyone_may_read_it(self, tmp_path):
        atomic.write_text(tmp_path / "plan.json", "{}")
        assert (tmp_path / "plan.json").stat().st_mode & 0o777 == 0o644

    def test_missing_folders_are_made(self, tmp_path):
        atomic.write_text(tmp_path / "a" / "b" / "plan.json", "{}")
        assert (tmp_path / "a" / "b" / "plan.json").read_text() == "{}"

    def test_text_is_utf8(self, tmp_path):
        atomic.write_text(tmp_path / "card.md", "Größe in mm²")
        assert (tmp_path / "card.md").read_bytes() == "Größe in mm²".encode()


class TestNewFolder:
    def test_it_appears_when_the_block_ends(self, tmp_path):
        with atomic.new_folder(tmp_path / "case") as scratch:
            (scratch / "image.npy").write_text("whole")
            assert not (tmp_path / "case").exists()
        assert names_in(tmp_path) == ["case"]
        assert (tmp_path / "case" / "image.npy").read_text() == "whole"

    def test_a_failure_leaves_nothing(self, tmp_path):
        with pytest.raises(RuntimeError), atomic.new_folder(tmp_path / "case") as scratch:
            (scratch / "image.npy").write_text("half")
            raise RuntimeError
        assert names_in(tmp_path) == []

    def test_a_folder_that_came_meanwhile_is_kept(self, tmp_path):
        with atomic.new_folder(tmp_path / "case") as scratch:
            (scratch / "image.npy").write_text("ours")
            (tmp_path / "case").mkdir()
            (tmp_path / "case" / "image.npy").write_text("theirs")
        assert (tmp_path / "case" / "image.npy").read_text() == "theirs"
        assert names_in(tmp_path) == ["case"]

    def test_a_file_in_the_way_is_an_error_and_is_kept(self, tmp_path):
        (tmp_path / "case").write_text("a file")
        with pytest.raises(OSError), atomic.new_folder(tmp_path / "case") as scratch:
            (scratch / "image.npy").write_text("ours")
        assert (tmp_path / "case").read_text() == "a file"
        assert names_in(tmp_path) == ["case"]

    def test_everyone_may_enter_it(self, tmp_path):
        with atomic.new_folder(tmp_path / "case"):
            pass
        assert (tmp_path / "case").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("kind", ["new_file", "new_folder"])
def test_a_killed_process_leaves_nothing_under_the_final_name(tmp_path, kind):
    script = f"""
import os, pathlib, signal
from segline.common import atomic
with atomic.{kind}(pathlib.Path({str(tmp_path)!r}) / "result") as scratch:
    (scratch if scratch.is_file() else scratch / "part").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
    assert not (tmp_path / "result").exists()
    assert all(name.startswith(".writing-") for name in names_in(tmp_path))


@pytest.mark.parametrize(("mask", "of_file", "of_folder"), [(0o077, 0o600, 0o700), (0o002, 0o664, 0o775)])
def test_what_the_user_lets_nobody_see_nobody_sees(tmp_path, mask, of_file, of_folder):
    before = os.umask(mask)
    try:
        atomic.write_text(tmp_path / "plan.json", "mine")
        with atomic.new_folder(tmp_path / "case") as scratch:
            (scratch / "image").write_text("mine")
    finally:
        os.umask(before)
    assert (tmp_path / "plan.json").stat().st_mode & 0o777 == of_file
    assert (tmp_path / "case").stat().st_mode & 0o777 == of_folder
