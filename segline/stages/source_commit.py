"""Which code made a run: the commit of the checkout it runs from."""

import subprocess
from pathlib import Path


def source_commit(folder: Path) -> str:
    """The git commit of a checkout, ``-dirty`` with changes; empty where there is no git or no checkout."""
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
