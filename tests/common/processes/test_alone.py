import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from segline.common.errors import SeglineError, UnavailableError
from segline.common.processes.alone import in_own_process
from segline.machine.memory import peak_memory_bytes


def refuse() -> None:
    raise UnavailableError("toy: no such device here")


def end_by(number: int) -> None:
    os.kill(os.getpid(), number)


def take_memory(mebibytes: int) -> int:
    """Peak of the process that holds so much."""
    np.ones(mebibytes * 2**20, np.uint8)
    return peak_memory_bytes()


def test_the_work_is_done_elsewhere_and_its_result_comes_back() -> None:
    assert in_own_process("toy", divmod, 17, 5) == (3, 2)
    assert in_own_process("toy", os.getpid) != os.getpid()


def test_an_error_meant_to_be_read_comes_back_as_what_it_was() -> None:
    with pytest.raises(UnavailableError, match=r"^toy: no such device here$"):
        in_own_process("toy", refuse)


@pytest.mark.parametrize(
    ("number", "told"),
    [(signal.SIGSEGV, "ended by SIGSEGV"), (signal.SIGKILL, "killed, perhaps for lack of")],
)
def test_a_crash_is_one_line_that_names_the_signal(number: int, told: str) -> None:
    with pytest.raises(SeglineError, match=rf"^toy: its process was {told}"):
        in_own_process("toy", end_by, number)


def test_a_defect_keeps_its_traceback() -> None:
    script = "from segline.common.processes.alone import in_own_process; in_own_process('toy', divmod, 1, 0)"
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stderr
    assert "ZeroDivisionError: integer division or modulo by zero" in told
    assert "SeglineError: toy: its process ended with status 1" in told


def test_a_long_name_of_the_temporary_folder_is_no_obstacle(tmp_path: Path) -> None:
    folder = tmp_path / ("a" * 60) / ("b" * 60)
    folder.mkdir(parents=True)
    work = "print(in_own_process('toy', divmod, 17, 5))"
    script = f"from segline.common.processes.alone import in_own_process; {work}"
    environment = {**os.environ, "TMPDIR": str(folder)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.stdout == "(3, 2)\n", done.stderr


@pytest.mark.heavy
def test_its_peak_memory_is_its_own() -> None:
    here = np.ones(300 * 2**20, np.uint8)
    small, large = (in_own_process("toy", take_memory, size) for size in (1, 200))
    assert 180 * 2**20 < large - small < 220 * 2**20
    assert peak_memory_bytes() > here.nbytes


def test_it_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import time\nfrom segline.common.processes.alone import in_own_process\n"
        "if __name__ == '__main__':\n    in_own_process('toy', time.sleep, 600)\n"
    )
    parent = psutil.Process(subprocess.Popen([sys.executable, str(script)]).pid)
    child = _child_at_work(parent)
    parent.kill()
    parent.wait(10)
    child.wait(10)


def _child_at_work(parent: psutil.Process) -> psutil.Process:
    """The forked process, once it does nothing but sleep."""
    for _ in range(300):
        for child in parent.children(recursive=True):
            if "forkserver" in " ".join(child.cmdline()) and child.num_threads() > 1:
                return child
        time.sleep(0.1)
    raise AssertionError("no process was started")
