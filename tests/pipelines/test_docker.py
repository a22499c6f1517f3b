"""Stages in containers: against an engine of the tests' own, and against a real one where there is one."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import DockerException, ImageNotFound
from kfp import dsl
from kfp.local import docker_task_handler

from pipelines import run as command
from pipelines.cluster.footprint import Demand
from pipelines.docker import Containers, Engine, Mounts, User
from pipelines.interruption import Interruption
from pipelines.local import run_pipeline
from pipelines.resources import USER_ID, Variant
from pipelines.stage import Stage
from segline.common.errors import SeglineError, UnavailableError
from segline.plan import Task
from segline.runs.records import StageRecord
from segline.runs.run import Run
from segline.stages import start_run

from ..tiny_task import run_task
from .docker_server import DockerServer, Script
from .test_dag import bad_dataset, summary_of

IMAGE = Variant.of(Demand("none")).image("base")
S3 = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key"}
TRACKING = {"MLFLOW_TRACKING_TOKEN": "token"}


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def compare(run: str, lines: int, status: int) -> None:
    """A stage that says who it is, prints much, and ends with a status."""
    import os
    import sys
    from pathlib import Path

    Path(run, "whoami").write_text(f"{os.getuid()}:{os.getgid()}")
    for number in range(lines):
        sys.stdout.write(f"line {number} " + "x" * 100 + "\n")
    if status:
        sys.stderr.write("segline compare: nothing can be compared\n")
    sys.exit(status) if status else None


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def report(run: str) -> None:
    """A stage that runs whatever happens."""
    from pathlib import Path

    Path(run, "reported").touch()


@dsl.pipeline(name="noisy")
def noisy_pipeline(run: str, lines: int, status: int) -> None:
    """One stage, and what runs whatever becomes of it."""
    with dsl.ExitHandler(report(run=run)):
        compare(run=run, lines=lines, status=status)


@pytest.fixture()
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[DockerServer]:
    """An engine of the tests' own, which ``DOCKER_HOST`` names."""
    with DockerServer(IMAGE).serving() as serving:
        monkeypatch.setenv("DOCKER_HOST", serving.address)
        yield serving


@pytest.fixture(scope="session")
def engine() -> Engine:
    """A real one, with the image."""
    try:
        docker.from_env().images.get(IMAGE)
    except ImageNotFound:
        pytest.skip(f"image {IMAGE} is not here; run `make images`")
    except DockerException as error:
        pytest.skip(f"no Docker engine answers: {error}")
    return Engine.connect("cpu")


@pytest.fixture()
def run(tmp_path: Path) -> Run:
    """A run that has just begun."""
    folder = tmp_path / "run"
    start_run(folder, Task(name="tiny", source="phantom:6"))
    return Run(folder)


def view_of(run: Run, **environment: str) -> Mounts:
    """What the containers of a run see that keeps its store beside it."""
    return Mounts.of(run.folder, str(run.folder.parent / "store"), "phantom:6", environment)


def noisy(engine: Engine, run: Run, lines: int, status: int) -> None:
    """Run the pipeline of this file."""
    interruption = Interruption()
    with interruption.heeded():
        run_pipeline(
            noisy_pipeline,
            run,
            lambda _, interrupted: Containers(engine, view_of(run), interrupted).runner(),
            {"lines": lines, "status": status},  # type: ignore[dict-item]
            interruption,
        )


def recorded(run: Run) -> dict[str, StageRecord]:
    """The records of a run, by name."""
    return {record.name: record for record in run.stages}


def executor_command(stage: str, **inputs: Any) -> list[str]:
    """As Kubeflow starts a component."""
    told = json.dumps({"inputs": {"parameterValues": inputs}, "outputs": {}})
    return ["sh", "-ec", "...", "--executor_input", told, "--function_to_execute", stage]


class TestExitStatus:
    """Read from an engine of the tests' own."""

    def test_a_noisy_container_that_fails_is_a_failed_stage(self, server: DockerServer, run: Run) -> None:
        server.script = Script(b"x" * 99 + b"\n" * 100_000, status=3)
        noisy(Engine.connect("cpu"), run, 0, 0)
        assert recorded(run)["compare"].status == "failed"
        assert recorded(run)["compare"].reason == "its container ended with status 3"

    def test_what_a_stage_says_of_its_own_end_stands(self, server: DockerServer, run: Run) -> None:
        server.script = Script(
            b"segline register: the gate blocked the model; it is not registered\n", status=1
        )
        with run.stage("compare"):
            raise UnavailableError("the gate blocked the model; it is not registered")
        noisy(Engine.connect("cpu"), run, 0, 0)
        assert recorded(run)["compare"].status == "skipped"
        assert recorded(run)["compare"].reason == "the gate blocked the model; it is not registered"

    def test_kubeflows_own_function_takes_that_for_success(self, server: DockerServer) -> None:
        server.script = Script(b"x" * 99 + b"\n" * 100_000, status=3)
        assert docker_task_handler.run_docker_container(docker.from_env(), IMAGE, ["false"], {}) == 0

    def test_a_container_that_succeeds_is_no_failure(self, server: DockerServer, run: Run) -> None:
        server.script = Script(b"done\n", status=0)
        noisy(Engine.connect("cpu"), run, 0, 0)
        assert recorded(run) == {}

    def test_a_container_that_was_killed_is_told_so(self, server: DockerServer, run: Run) -> None:
        server.script = Script(status=137)
        noisy(Engine.connect("cpu"), run, 0, 0)
        assert "status 137: killed" in recorded(run)["compare"].reason

    def test_what_a_stage_said_itself_stands(self, server: DockerServer, run: Run) -> None:
        with pytest.raises(ValueError), run.stage("compare"):
            raise ValueError("its own words")
        server.script = Script(status=1)
        noisy(Engine.connect("cpu"), run, 0, 0)
        assert recorded(run)["compare"].reason == "ValueError: its own words"

    def test_a_stage_that_says_it_succeeded_but_did_not_end_well_has_failed(
        self, server: DockerServer, run: Run
    ) -> None:
        with run.stage("compare"):
            pass
        server.script = Script(status=1)
        noisy(Engine.connect("cpu"), run, 0, 0)
        assert recorded(run)["compare"].status == "failed"

    def test_an_engine_that_goes_away_fails_the_stage(self, server: DockerServer, run: Run) -> None:
        engine = Engine.connect("cpu")
        server.script = Script(broken=True)
        noisy(engine, run, 0, 0)
        assert recorded(run)["compare"].reason.startswith("Docker: ")

    def test_containers_are_removed_after_their_status_was_read(self, server: DockerServer, run: Run) -> None:
        noisy(Engine.connect("cpu"), run, 0, 0)
        assert server.removed.is_set()
        assert not any(each["HostConfig"].get("AutoRemove") for each in server.created)


class TestInterrupt:
    """Nothing is left running, and the last stage still runs."""

    def interrupt_each(self, server: DockerServer, number: signal.Signals, times: int) -> None:
        """Send a signal as a container starts that runs until it is removed."""
        server.script = Script(runs_until_removed=times)

        def interrupt() -> None:
            for _ in range(times):
                server.started.wait(20)
                server.started.clear()
                os.kill(os.getpid(), number)

        threading.Thread(target=interrupt, daemon=True).start()

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_the_running_container_is_removed_and_the_report_is_made(
        self, number: signal.Signals, server: DockerServer, run: Run
    ) -> None:
        self.interrupt_each(server, number, 1)
        noisy(Engine.connect("cpu"), run, 0, 0)
        assert recorded(run)["compare"].reason == "interrupted"
        assert [created["Labels"]["segline.stage"] for created in server.created] == ["compare", "report"]
        assert server.removed.is_set()

    def test_a_second_signal_ends_the_report_too(self, server: DockerServer, run: Run) -> None:
        self.interrupt_each(server, signal.SIGINT, 2)
        with pytest.raises(KeyboardInterrupt):
            noisy(Engine.connect("cpu"), run, 0, 0)
        assert len(server.created) == 2
        assert server.removed.is_set()


class TestWhatAContainerGets:
    """As the engine is told."""

    def created(self, server: DockerServer, run: Run) -> dict[str, Any]:
        """The first container of a run."""
        noisy(Engine.connect("cpu"), run, 0, 0)
        return server.created[0]

    def test_is_its_image_and_no_privilege(self, server: DockerServer, run: Run) -> None:
        told = self.created(server, run)
        assert told["Image"] == IMAGE
        assert told["HostConfig"]["CapDrop"] == ["ALL"]
        assert told["HostConfig"]["SecurityOpt"] == ["no-new-privileges"]

    def test_is_a_user_who_is_not_root(self, server: DockerServer, run: Run) -> None:
        uid, gid = map(int, self.created(server, run)["User"].split(":"))
        assert (uid, gid) == (os.getuid() or USER_ID, os.getgid() if os.getuid() else USER_ID)

    def test_is_the_run_and_the_store_at_the_same_paths(self, server: DockerServer, run: Run) -> None:
        binds = self.created(server, run)["HostConfig"]["Binds"]
        for folder in (run.folder, run.folder.parent / "store"):
            assert f"{folder}:{folder}:rw" in binds

    def test_is_the_data_only_to_be_read(self, tmp_path: Path) -> None:
        view = Mounts.of(tmp_path / "run", str(tmp_path / "store"), str(tmp_path / "data"), {})
        volumes = view.volumes("z")
        assert volumes[str(tmp_path / "data")] == {"bind": str(tmp_path / "data"), "mode": "ro,z"}
        assert volumes[str(tmp_path / "run")]["mode"] == "rw,z"

    def test_is_shared_memory_for_workers_that_send_tensors(
        self, server: DockerServer, run: Run, tmp_path: Path
    ) -> None:
        containers = Containers(Engine.connect("cpu"), view_of(run), Interruption())
        with containers.runner():
            train = executor_command("train", run=str(run.folder))
            volumes = {str(tmp_path): {"bind": str(tmp_path), "mode": "rw"}}
            docker_task_handler.run_docker_container(docker.from_env(), IMAGE, train, volumes)
        assert server.created[0]["HostConfig"]["ShmSize"] == 16 * 2**30

    @pytest.mark.parametrize(
        ("stage", "store", "keys"),
        [
            ("download", "/store", {*S3}),
            ("train", "/store", set()),
            ("train", "s3://bucket/store", {*S3, "SEGLINE_SCRATCH"}),
        ],
    )
    def test_is_the_keys_of_the_object_store_only_where_it_goes_there(
        self, stage: str, store: str, keys: set[str], tmp_path: Path
    ) -> None:
        view = Mounts.of(tmp_path, store, "s3://bucket/data", {**S3, **TRACKING, "PAGER": "less"})
        asked = Stage.of(executor_command(stage, run="/run"))
        assert view.variables(asked).keys() == keys

    def test_is_the_registrys_token_only_where_it_goes_there(self, tmp_path: Path) -> None:
        view = Mounts.of(tmp_path, "/store", "phantom:6", {**S3, **TRACKING})
        asked = Stage.of(executor_command("register", run="/run", tracking="http://127.0.0.1:5000"))
        assert view.variables(asked) == TRACKING

    @pytest.mark.parametrize("stage", ["train", "report", "evaluate"])
    def test_is_the_key_and_the_folders_of_trackers_only_where_a_run_is_shown(
        self, stage: str, tmp_path: Path
    ) -> None:
        asked = {"TENSORBOARD": "1", "WANDB_API_KEY": "key", "WANDB_PROJECT": "ward", "WANDB_RUN_ID": "mine"}
        view = Mounts.of(tmp_path / "runs" / "run", str(tmp_path / "store"), "phantom:6", asked)
        beside = {"TENSORBOARD": tmp_path / "runs/tensorboard", "WANDB_DIR": tmp_path / "runs/wandb"}
        assert view.work == (tmp_path / "runs" / "run", tmp_path / "store", *beside.values())
        told = {name: str(folder) for name, folder in beside.items()}
        told |= {"WANDB_API_KEY": "key", "WANDB_PROJECT": "ward"}
        variables = view.variables(Stage.of(executor_command(stage, run="/run")))
        assert variables == ({} if stage == "evaluate" else told)


class TestBeforeItStarts:
    """One line, and no run's folder."""

    def refused(self, tmp_path: Path, capsys: pytest.CaptureFixture[str], *more: str) -> str:
        """What a run is answered that cannot start."""
        places = ["--runs", str(tmp_path / "runs"), "--store", str(tmp_path / "store")]
        assert command.main(["--runner", "docker", *places, *more]) == 2
        assert not (tmp_path / "runs").exists()
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        return line

    def test_no_engine(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path / 'none.sock'}")
        assert "segline: no Docker engine answers" in self.refused(tmp_path, capsys)

    def test_no_image(self, server: DockerServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        server.images = ()
        line = self.refused(tmp_path, capsys)
        assert line == f"segline: image {IMAGE}: not here; run `make images`\n"

    def test_a_store_that_holds_segline_itself(self, tmp_path: Path) -> None:
        with pytest.raises(SeglineError, match="holds segline itself; give STORE a folder of its own"):
            Mounts.of(tmp_path, "/", "phantom:6", {})


class TestRealEngine:
    """With Docker and the image."""

    def test_a_noisy_stage_that_fails_fails_and_the_last_stage_still_runs(
        self, engine: Engine, run: Run
    ) -> None:
        noisy(engine, run, 20_000, 3)
        assert recorded(run)["compare"].reason == "its container ended with status 3"
        assert "line 19999 " in (run.folder / "run.log").read_text()
        assert (run.folder / "reported").is_file()

    def test_a_noisy_stage_that_succeeds_is_no_failure(self, engine: Engine, run: Run) -> None:
        noisy(engine, run, 20_000, 0)
        assert recorded(run) == {}

    def test_no_stage_is_root_and_what_it_writes_is_the_callers(self, engine: Engine, run: Run) -> None:
        noisy(engine, run, 1, 0)
        assert (run.folder / "whoami").read_text() == str(User.for_stages())
        assert not (run.folder / "whoami").read_text().startswith("0:")
        assert {path.lstat().st_uid for path in run.folder.rglob("*")} == {os.getuid()}

    def test_no_container_is_left(self, engine: Engine, run: Run) -> None:
        noisy(engine, run, 1, 3)
        of_this_run = {"label": f"segline.run={run.folder}"}
        assert engine.client.containers.list(all=True, filters=of_this_run) == []

    @pytest.mark.usefixtures("engine")
    def test_bad_data_fails_the_run_in_one_line_and_the_report_is_still_written(
        self, tiny_task: Path, tmp_path: Path
    ) -> None:
        data = bad_dataset(tmp_path / "data")
        done = run_task(tmp_path, tiny_task, "--runner", "docker", "--data", str(data))
        assert done.returncode == 1
        assert "segline download: imagesTr/case_1.nii.gz: label grid 8x8x7 differs" in done.stdout
        assert "segline: download: imagesTr/case_1.nii.gz: label grid 8x8x7 differs" in done.stderr
        assert summary_of(tmp_path)["status"] == "failed"
        assert "label grid 8x8x7 differs" in (tmp_path / "runs/latest/report.html").read_text()
