"""Stages as forks of one process: what each is given, what it leaves, and that none sees another's."""

import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from kfp import dsl, local

from pipelines.interruption import Interruption
from pipelines.processes import Processes
from segline.runs.run import Run


@dsl.component(base_image="python", install_kfp_package=False)
def probe(run: str) -> None:
    """Write down what a stage sees, and leave something behind."""
    import json
    import os
    import sys
    from pathlib import Path

    seen = {
        "torch": "torch" in sys.modules,
        "ran": sys.modules.get("left_behind") is not None,
        "asked": os.environ.get("SEGLINE_PROBE"),
        "name": Path("/proc/self/comm").read_text().strip(),
        "anew": sys.orig_argv,
        "parent": os.getppid(),
    }
    sys.modules["left_behind"] = sys
    os.environ["SEGLINE_PROBE"] = "left behind"
    with Path(run, f"{os.getpid()}.json").open("w") as file:
        json.dump(seen, file)
    sys.stdout.write("to one\n")
    sys.stderr.write("to the other\n")


@dsl.component(base_image="python", install_kfp_package=False)
def refuse(run: str) -> None:
    """End as a stage that meets an error of its user does."""
    raise SystemExit(f"segline refuse: {run}: no")


@dsl.component(base_image="python", install_kfp_package=False)
def crash(run: str, number: int) -> None:
    """End by a signal after its work was said to be done, as a library's clean-up can."""
    import os
    from pathlib import Path

    from segline.runs.run import Run

    with Run(Path(run)).stage("crash"):
        pass
    os.kill(os.getpid(), number)


@pytest.fixture(autouse=True)
def runner(tmp_path: Path) -> Iterator[None]:
    with Processes(Interruption()).runner() as runner:
        local.init(runner=runner, pipeline_root=str(tmp_path / "artifacts"), raise_on_error=False)
        yield


def seen(folder: Path) -> list[dict[str, object]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def test_a_stage_is_a_fork_that_has_imported_what_is_slow_and_nothing_of_another_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEGLINE_PROBE", "asked for")
    probe(run=str(tmp_path))
    probe(run=str(tmp_path))
    first, second = seen(tmp_path)
    assert first["torch"] and second["torch"]
    assert first["parent"] == second["parent"] != os.getpid()
    assert not first["ran"] and not second["ran"]
    assert first["asked"] == second["asked"] == "asked for"
    assert first["name"] == "probe"
    out = capfd.readouterr().out
    assert "    to one\n" in out and "    to the other\n" in out


def test_a_stage_can_begin_anew_by_its_command(tmp_path: Path) -> None:
    probe(run=str(tmp_path))
    (told,) = seen(tmp_path)
    anew = told["anew"]
    assert isinstance(anew, list)
    assert anew[:3] == [sys.executable, "-m", "kfp.dsl.executor_main"]
    assert anew[-1] == "probe"


def test_a_stage_that_refuses_has_failed_in_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    refuse(run=str(tmp_path))
    out = capfd.readouterr().out
    assert f"segline refuse: {tmp_path}: no" in out and "Traceback" not in out
    assert "FAILURE" in out


@pytest.mark.parametrize(
    ("number", "told"),
    [(signal.SIGSEGV, "its process was ended by SIGSEGV"), (signal.SIGKILL, "its process was killed")],
)
def test_a_stage_whose_process_crashed_has_failed_whatever_it_said_before(
    number: int, told: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    crash(run=str(tmp_path), number=int(number))
    (record,) = Run(tmp_path).stages
    assert record.status == "failed"
    assert record.reason.startswith(told)
    assert f"segline crash: {told}" in capfd.readouterr().out


def test_a_stage_that_cannot_be_started_has_failed_and_the_run_goes_on_to_its_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = tmp_path / "missing"
    monkeypatch.setattr(tempfile, "tempdir", str(missing))
    probe(run=str(tmp_path))
    (record,) = Run(tmp_path).stages
    assert record.status == "failed"
    assert record.reason.startswith("its process could not be started: ")
    assert str(missing) in record.reason
