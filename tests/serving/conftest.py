"""A server of the tiny model for all tests that do it no harm, and what is sent to it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from segline.data.phantom.scanner import phantom_case
from segline.imaging.files import write_volume
from segline.model.package import Model

from .server import Server

SILENT_S, UPLOAD_MB = 2.0, 64


@pytest.fixture(scope="session")
def server(tiny_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server, with small limits."""
    limits = ["--silent-seconds", str(SILENT_S), "--upload-mb", str(UPLOAD_MB)]
    with Server(tiny_model.folder, tmp_path_factory.mktemp("serve"), *limits) as running:
        yield running


@pytest.fixture(scope="session")
def ct_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made-up CT."""
    path = tmp_path_factory.mktemp("ct") / "ct.nii.gz"
    write_volume(path, phantom_case(7)[0])
    return path


@pytest.fixture(scope="session")
def ct(ct_file: Path) -> bytes:
    """The same as it is sent."""
    return ct_file.read_bytes()
