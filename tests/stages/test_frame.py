"""What every stage stands in: how its process ends, and when it begins anew."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.heavy

PROGRAM = """
import os, sys
from pathlib import Path
from segline.stages import frame
AcceleratorError = type("AcceleratorError", (RuntimeError,), {})  # as torch's, whose import takes long
frame._PAUSE_S = 0.01
with frame.ended_in_one_line("train"):
    tries = Path(sys.argv[1], "tries")
    count = len(tries.read_text()) if tries.exists() else 0
    tries.write_text("x" * (count + 1))
    from segline.common.errors import plain_error
    if count < int(sys.argv[2]):
        try:
            raise AcceleratorError("CUDA error: unspecified launch failure\\nCompile with")
        except RuntimeError as error:
            raise plain_error(error) from error
    print("trained with", sys.argv[2:])
"""


@pytest.mark.parametrize("as_module", [True, False])
def test_a_stage_whose_gpu_fails_begins_anew(tmp_path: Path, as_module: bool) -> None:
    done = run(tmp_path, as_module, "2")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "trained with ['2', '--deep', 'a b']\n"
    told = "segline train: the GPU failed under the process (CUDA error: unspecified launch failure)"
    assert done.stderr.splitlines() == [f"{told}; trying again"] * 2


def test_not_for_ever(tmp_path: Path) -> None:
    done = run(tmp_path, True, "9")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(", 3 times; look at the node's dmesg for Xid")
    assert (tmp_path / "tries").read_text() == "xxx"


def run(folder: Path, as_module: bool, failures: str) -> "subprocess.CompletedProcess[str]":
    """The program, begun as Kubeflow's executor is, or as a script."""
    (folder / "program.py").write_text(PROGRAM)
    begun = ["-m", "program"] if as_module else [str(folder / "program.py")]
    command = [sys.executable, *begun, str(folder), failures, "--deep", "a b"]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]),
    }
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)
