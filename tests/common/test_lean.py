"""What is imported with MONAI's networks, in processes of our own and in those of others."""

import os
import subprocess
import sys

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
