"""Recurring runs over HTTP: made, listed, paused, resumed, deleted."""

import os
from pathlib import Path

import pytest

from pipelines import schedule

from .kfp_server import KfpServer

Output = pytest.CaptureFixture[str]


@pytest.fixture()
def run(kfp_host: str, tmp_path: Path) -> "Command":
    """The command, against a service."""
    return Command(kfp_host, tmp_path)


class Command:
    """``make schedule``."""

    def __init__(self, host: str, folder: Path) -> None:
        kubeconfig = os.environ.get("KUBECONFIG") or str(folder / "no-kubeconfig")
        self.common = ["--host", host, "--kubeconfig", kubeconfig, "--accelerator", "none"]

    def __call__(self, *arguments: str) -> int:
        return schedule.main([*arguments, *self.common])


def test_a_schedule_goes_through_its_whole_life(run: Command, capsys: Output) -> None:
    def listed() -> list[str]:
        capsys.readouterr()
        assert run("list") == 0
        return [line for line in capsys.readouterr().out.splitlines() if "segline-phantom" in line]

    assert run("create", "--cron", "0 30 3 * * 6") == 0
    (line,) = listed()
    assert line.split()[1:8] == ["enabled", "0", "30", "3", "*", "*", "6"]
    assert run("pause") == 0
    assert listed()[0].split()[1] == "paused"
    assert run("resume") == 0
    assert listed()[0].split()[1] == "enabled"
    assert run("delete") == 0
    assert listed() == []


def test_one_run_at_a_time_and_nothing_is_made_up_for(run: Command, kfp_server: KfpServer) -> None:
    run("create")
    (made,) = kfp_server.objects["recurringruns"].values()
    assert made["max_concurrency"] == "1"
    assert made["no_catchup"] is True
    assert made["trigger"] == {"cron_schedule": {"cron": "0 0 2 * * 0"}}


def test_what_is_scheduled_is_the_retraining(run: Command, kfp_server: KfpServer) -> None:
    run("create")
    (pipeline,) = kfp_server.objects["pipelines"].values()
    assert pipeline["display_name"] == "segline-retrain"


def test_each_run_has_a_folder_of_its_own(run: Command, kfp_server: KfpServer) -> None:
    run("create")
    (made,) = kfp_server.objects["recurringruns"].values()
    assert made["runtime_config"]["parameters"] == {"task": "phantom"}
    ((pipeline, _),) = kfp_server.packages.values()
    named = {
        task["inputs"]["parameters"]["run"]["runtimeValue"]["constant"]
        for of in (pipeline["root"], *pipeline["components"].values())
        for task in of.get("dag", {}).get("tasks", {}).values()
        if "run" in task.get("inputs", {}).get("parameters", {})
    }
    assert named == {"{{$.pipeline_job_resource_name}}"}


def test_a_schedule_made_again_takes_the_place_of_the_first(run: Command, kfp_server: KfpServer) -> None:
    run("create", "--cron", "0 0 1 * * *")
    run("create", "--cron", "0 0 2 * * *", "--set", "training.epochs=3")
    (made,) = kfp_server.objects["recurringruns"].values()
    assert made["trigger"]["cron_schedule"]["cron"] == "0 0 2 * * *"


def test_schedules_of_other_tasks_are_left_alone(run: Command, kfp_server: KfpServer) -> None:
    run("create")
    run("create", "--task", "hippocampus")
    run("pause", "--task", "hippocampus")
    states = {one["display_name"]: one["status"] for one in kfp_server.objects["recurringruns"].values()}
    assert states == {"segline-phantom": "ENABLED", "segline-hippocampus": "DISABLED"}


def test_a_schedule_is_known_by_the_file_that_it_was_made_from(run: Command, tiny_task: Path) -> None:
    assert run("create", "--task", str(tiny_task)) == 0
    assert run("pause", "--task", str(tiny_task)) == 0
    assert run("delete", "--task", "tiny") == 0


def test_a_schedule_that_is_not_there_is_told_with_those_that_are(run: Command, capsys: Output) -> None:
    run("create", "--task", "hippocampus")
    assert run("pause", "--task", "phantom") == 2
    assert "task 'phantom': no schedule; there are: hippocampus" in capsys.readouterr().err
    run("delete", "--task", "hippocampus")


def test_five_fields_are_not_enough(run: Command, kfp_server: KfpServer, capsys: Output) -> None:
    assert run("create", "--cron", "0 2 * * 0") == 2
    assert "six fields are needed, seconds first" in capsys.readouterr().err
    assert not kfp_server.objects["recurringruns"]


def test_a_service_that_is_away_is_one_line(tmp_path: Path, capsys: Output) -> None:
    assert Command("http://kfp.invalid", tmp_path)("list") == 2
    assert capsys.readouterr().err.count("\n") == 1
