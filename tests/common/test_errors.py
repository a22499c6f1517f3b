"""Causes outside segline, in the one line that a user needs."""

import errno
import re
import tempfile
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

from segline.common.errors import LostDeviceError, SeglineError, UnavailableError, imports_of, plain_error

FULL = "no space left on the device"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "/data/store/case.npy"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        OSError("4096 requested and 1000 written"),
        RuntimeError("[enforce fail at inline_container.cc:668] . unexpected pos 192 vs 86"),
    ],
)
def test_a_full_disk_is_told_whoever_met_it(error: Exception) -> None:
    assert FULL in str(plain_error(error))


def test_numpy_on_a_disk_that_is_full() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(OSError) as met:
        np.arange(100_000).tofile(full)
    assert FULL in str(plain_error(met.value))


def test_another_fault_of_the_system_keeps_its_name() -> None:
    error = OSError(errno.EIO, "Input/output error")
    assert plain_error(error) is error


def test_a_gpu_that_failed_is_no_defect_of_segline() -> None:
    told = plain_error(torch.AcceleratorError("CUDA error: unspecified launch failure\nCompile with"))
    assert isinstance(told, LostDeviceError)
    assert str(told) == "the GPU failed under the process (CUDA error: unspecified launch failure)"


def test_no_temporary_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "gone")])
    with pytest.raises(FileNotFoundError) as met:
        tempfile.gettempdir()
    assert "no temporary folder can be written to" in str(plain_error(met.value))


@pytest.mark.parametrize("raised", [SeglineError, UnavailableError])
def test_a_package_that_is_not_there_is_told_with_the_extra_that_installs_it(raised: type) -> None:
    with pytest.raises(raised) as told, imports_of("dicom", "to read DICOM", raised):
        import no_such_package  # type: ignore[import-not-found]  # noqa: F401
    line = "to read DICOM: No module named 'no_such_package'; pip install 'segline[dicom]'"
    assert (type(told.value), str(told.value)) == (raised, line)


def test_every_extra_that_is_named_is_there() -> None:
    root = Path(__file__).resolve().parents[2]
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    sources = [*(root / "segline").rglob("*.py"), *(root / "pipelines").rglob("*.py")]
    named = {name for path in sources for name in re.findall(r'imports_of\(\s*"([^"]+)"', path.read_text())}
    assert "dicom" in named
    assert named <= extras.keys()
