"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of small real volumes: ``$SEGLINE_DATA`` or ``../shared/data`` beside the checkout."""
    folder = Path(os.environ.get("SEGLINE_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real volumes are not at {folder}; set SEGLINE_DATA")
    return folder
