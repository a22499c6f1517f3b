"""What is imported with MONAI's networks, in processes of our own and in those of others."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.heavy

NEVER_CALLED = {"ignite", "matplotlib", "mlflow", "pandas", "skimage", "sklearn"}
CODE = """
import sys
from segline.networks.lean_monai import monai
monai.networks.nets.UNet(3, 1, 2, [4, 8], [2])
print(*(name for name in sys.modules if "." not in name))
import monai.engines, pandas, sklearn
print(*(one.__module__ for one in monai.engines.SupervisedTrainer.__mro__))
"""


def told(lean: str) -> tuple[set[str], str]:
    """Packages that came with the networks, and where MONAI's trainer comes from."""
    env = {**os.environ, "SEGLINE_LEAN": lean}
    run = subprocess.run([sys.executable, "-c", CODE], env=env, capture_output=True, text=True, check=True)
    packages, trainer = run.stdout.splitlines()
    return set(packages.split()), trainer


def test_a_process_of_our_own_imports_networks_and_nothing_that_it_never_calls() -> None:
    packages, _ = told("1")
    assert not packages & NEVER_CALLED


def test_whoever_imports_segline_keeps_all_of_monai() -> None:
    packages, trainer = told("")
    assert packages & NEVER_CALLED and "ignite" in trainer


@pytest.mark.parametrize(
    ("rest", "printed"),
    [
        ("", "1 before at exit\n"),
        ("threading.Timer(0.3, print, ['a thread']).start(); ", "1 before a thread\nat exit\n"),
    ],
)
def test_nothing_is_lost_where_a_process_of_our_own_ends_at_once(rest: str, printed: str) -> None:
    code = (
        "import atexit, os, threading; from segline.common.processes import lean\n"
        f"def main():\n    {rest}print(os.environ[lean.LEAN], 'before', end=' ')\n    return 3\n"
        "atexit.register(print, 'at exit'); raise SystemExit(lean.run(main))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (3, printed, "")


def test_output_that_cannot_be_written_is_told_of() -> None:
    code = "from segline.common.processes import lean; lean.run(lambda: print('lost') or 0)"
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with Path("/dev/full").open("w") as full:
        run = subprocess.run(
            [sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, env=env
        )
    assert run.returncode == 120 and "No space left on device" in run.stderr
    assert "lean.py" not in run.stderr
