"""Submitting a task to Kubeflow Pipelines over HTTP, and following its run."""

import json
import os
from pathlib import Path

import pytest

from pipelines import submit
from pipelines.cluster.api import Kubernetes
from segline.tasks import read_task, split_overrides

from ..s3_server import free_port
from .k8s_server import SPACE, KubernetesServer, ended_container, many, node, stage_pod, waiting_pod
from .kfp_server import Fault, KfpServer, Step

Output = pytest.CaptureFixture[str]
REAL = bool(os.environ.get("KFP_HOST"))


@pytest.fixture(autouse=True)
def no_other_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what a test gives counts."""
    for name in (
        "KFP_TOKEN",
        "KFP_NAMESPACE",
        "ACCELERATOR",
        "PROFILE",
        "GPU_TYPES",
        "S3_ENDPOINT",
        "MLFLOW_TRACKING_URI",
    ):
        if not REAL:
            monkeypatch.delenv(name, raising=False)


def command(host: str, kubeconfig: Path, *more: str) -> list[str]:
    """The arguments of a submission that does not wait long."""
    times = ["--interval", "0.02" if not REAL else "5", "--patience", "2"]
    return ["--host", host, "--kubeconfig", str(kubeconfig), "--accelerator", "none", *times, *more]


@pytest.fixture()
def nowhere(tmp_path: Path) -> Path:
    """No kubeconfig: the cluster is not examined."""
    return tmp_path / "no-kubeconfig"


def test_a_run_is_started_and_followed_to_its_end(kfp_host: str, kubeconfig: Path, capsys: Output) -> None:
    assert submit.main(command(kfp_host, kubeconfig)) == 0
    shown = capsys.readouterr().out
    assert f"{kfp_host}/#/runs/details/" in shown
    assert shown.splitlines()[-1].startswith("succeeded: ")


def test_each_change_of_a_stage_is_shown_once(kfp_server: KfpServer, nowhere: Path, capsys: Output) -> None:
    submit.main(command(kfp_server.host, nowhere))
    changes = [line.split()[1:] for line in capsys.readouterr().out.splitlines() if line[2:3] == ":"]
    assert changes == [
        ["train", "running"],
        ["train", "succeeded"],
        ["report", "running"],
        ["report", "succeeded"],
    ]


def test_a_detached_run_is_only_started(kfp_host: str, kubeconfig: Path, capsys: Output) -> None:
    assert submit.main(command(kfp_host, kubeconfig, "--detach")) == 0
    assert "/#/runs/details/" in capsys.readouterr().out.splitlines()[-1]


def test_the_run_is_told_what_a_person_would_fill_in(kfp_server: KfpServer, nowhere: Path) -> None:
    asked = ("--set", "training.epochs=3", "--set", "preprocessing.spacing_mm=[4, 4, 4]")
    submit.main(command(kfp_server.host, nowhere, *asked, "--data", "s3://bucket/data", "--detach"))
    (run,) = kfp_server.objects["runs"].values()
    given = run["runtime_config"]["parameters"]
    assert given == {
        "task": "phantom",
        "overrides": "training.epochs=3 'preprocessing.spacing_mm=[4, 4, 4]'",
        "data": "s3://bucket/data",
    }
    task = read_task(given["task"], split_overrides(given["overrides"]), given["data"])
    assert task.plan["training"]["epochs"] == 3 and task.source == "s3://bucket/data"


def test_a_task_of_ones_own_goes_along_as_json(kfp_server: KfpServer, nowhere: Path, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("name: own\nsource: phantom:3\n")
    submit.main(command(kfp_server.host, nowhere, "--task", str(tmp_path / "own.yaml"), "--detach"))
    (run,) = kfp_server.objects["runs"].values()
    given = run["runtime_config"]["parameters"]
    assert given.keys() == {"task"} and read_task(given["task"]).name == "own"


def test_no_address_of_this_shell_reaches_a_pod(
    kfp_server: KfpServer, nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:5000")
    submit.main(command(kfp_server.host, nowhere, "--detach"))
    (run,) = kfp_server.objects["runs"].values()
    assert "localhost" not in json.dumps(run)


def test_a_cross_validation_is_a_pipeline_of_its_own(kfp_server: KfpServer, nowhere: Path) -> None:
    assert submit.main(command(kfp_server.host, nowhere, "--folds", "5", "--detach")) == 0
    (pipeline,) = kfp_server.objects["pipelines"].values()
    assert pipeline["display_name"] == "segline-folds"
    (run,) = kfp_server.objects["runs"].values()
    given = run["runtime_config"]["parameters"]
    assert given == {"task": "phantom", "overrides": "split.folds=5 ensemble.members=1"}


def test_the_small_profile_is_what_is_uploaded(kfp_server: KfpServer, nowhere: Path) -> None:
    submit.main(command(kfp_server.host, nowhere, "--profile", "small", "--detach"))
    ((pipeline, _),) = kfp_server.packages.values()
    resources = pipeline["deploymentSpec"]["executors"]["exec-train"]["container"]["resources"]
    assert resources["resourceMemoryRequest"] == "1Gi"


def test_types_of_gpu_are_what_is_uploaded(kfp_server: KfpServer, nowhere: Path) -> None:
    asked = ("--accelerator", "nvidia", "--gpu-types", "NVIDIA-L4 Tesla-T4", "--detach")
    assert submit.main(command(kfp_server.host, nowhere, *asked)) == 0
    ((pipeline, _),) = kfp_server.packages.values()
    assert "exec-build-tensorrt-2" in pipeline["deploymentSpec"]["executors"]


def test_the_run_belongs_to_the_tasks_experiment(kfp_server: KfpServer, nowhere: Path) -> None:
    for _ in range(2):
        submit.main(command(kfp_server.host, nowhere, "--detach"))
    (experiment,) = kfp_server.objects["experiments"].values()
    assert experiment["display_name"] == "phantom"
    assert {run["experiment_id"] for run in kfp_server.objects["runs"].values()} == {
        experiment["experiment_id"]
    }


def test_the_same_pipeline_is_uploaded_once(kfp_server: KfpServer, nowhere: Path, capsys: Output) -> None:
    for _ in range(2):
        submit.main(command(kfp_server.host, nowhere, "--detach"))
    shown = capsys.readouterr().out
    assert "uploaded" in shown and "there already" in shown
    assert len(kfp_server.objects["pipelines"]) == len(kfp_server.objects["versions"]) == 1


def test_another_pipeline_is_another_version(kfp_server: KfpServer, nowhere: Path) -> None:
    for accelerator in ("none", "nvidia"):
        submit.main(command(kfp_server.host, nowhere, "--detach", "--accelerator", accelerator))
    assert (len(kfp_server.objects["pipelines"]), len(kfp_server.objects["versions"])) == (1, 2)


def test_a_version_is_found_on_a_later_page(kfp_server: KfpServer, nowhere: Path) -> None:
    kfp_server.page_size = 1
    for _ in range(2):
        for task in ("phantom", "hippocampus"):
            submit.main(command(kfp_server.host, nowhere, "--detach", "--task", task))
    assert len(kfp_server.objects["versions"]) == 1 and len(kfp_server.objects["experiments"]) == 2


def test_a_version_that_someone_else_uploads_meanwhile_is_used(kfp_server: KfpServer, nowhere: Path) -> None:
    submit.main(command(kfp_server.host, nowhere, "--detach"))
    (first,) = kfp_server.objects["versions"]
    kfp_server.hidden_once = "versions"
    assert submit.main(command(kfp_server.host, nowhere, "--detach")) == 0
    *_, run = kfp_server.objects["runs"].values()
    assert run["pipeline_version_reference"]["pipeline_version_id"] == first


def test_the_uploaded_package_carries_the_resources(kfp_server: KfpServer, nowhere: Path) -> None:
    submit.main(command(kfp_server.host, nowhere, "--detach"))
    ((_, platform),) = kfp_server.packages.values()
    assert "exec-train" in platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


def test_a_failed_run_ends_with_the_stages_own_error(
    kfp_server: KfpServer, nowhere: Path, capsys: Output
) -> None:
    error = "segline plan: cases/7: label grid differs"
    kfp_server.steps = [Step("FAILED", {"plan": "FAILED", "report": "SUCCEEDED"}, {"plan": error})]
    assert submit.main(command(kfp_server.host, nowhere)) == 1
    assert capsys.readouterr().err == f"segline: plan: {error}\n"


def test_a_stage_that_failed_without_a_word_is_named(
    kfp_server: KfpServer, nowhere: Path, capsys: Output
) -> None:
    states = {"for-loop-3": "FAILED", "evaluate-2": "FAILED", "executor": "FAILED", "report": "SUCCEEDED"}
    kfp_server.steps = [Step("FAILED", states)]
    assert submit.main(command(kfp_server.host, nowhere)) == 1
    assert capsys.readouterr().err == "segline: evaluate-2: failed; its log says why\n"


def test_of_what_the_service_lists_the_stages_are_shown(
    kfp_server: KfpServer, nowhere: Path, capsys: Output
) -> None:
    added = ["root", "executor", "train-driver", "train(0)", "for-loop-3", "iteration-0", "exit-handler-1"]
    kfp_server.steps = [Step("SUCCEEDED", dict.fromkeys([*added, "train", "build-tensorrt-2"], "SUCCEEDED"))]
    submit.main(command(kfp_server.host, nowhere))
    shown = [line.split()[1] for line in capsys.readouterr().out.splitlines() if line[2:3] == ":"]
    assert shown == ["train", "build-tensorrt-2"]


@pytest.mark.parametrize("state", ["CANCELED", "SKIPPED", "FAILED"])
def test_only_a_run_that_succeeded_is_a_success(state: str, kfp_server: KfpServer, nowhere: Path) -> None:
    kfp_server.steps = [Step(state)]
    assert submit.main(command(kfp_server.host, nowhere)) == 1


@pytest.mark.parametrize("status", [500, 503])
def test_a_service_that_fails_for_a_moment_does_not_end_the_following(
    status: int, kfp_server: KfpServer, nowhere: Path
) -> None:
    kfp_server.faults = [Fault(status, "upstream connect error", path="/runs/", method="GET", times=3)]
    assert submit.main(command(kfp_server.host, nowhere)) == 0


def test_a_service_that_stays_away_ends_the_following_with_the_link(
    kfp_server: KfpServer, nowhere: Path, capsys: Output
) -> None:
    kfp_server.faults = [Fault(503, "no healthy upstream", path="/runs/", method="GET")]
    assert submit.main(command(kfp_server.host, nowhere, "--patience", "0.1")) == 1
    assert "answers 503 for the moment (no healthy upstream); the run may go on" in capsys.readouterr().err


class TestErrorsBeforeTheRun:
    """Each is one line on standard error, status 2, and no run."""

    def told(self, capsys: Output, arguments: list[str]) -> str:
        """The one line."""
        assert submit.main(arguments) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    def test_no_address(self, nowhere: Path, capsys: Output) -> None:
        assert "give KFP_HOST=http://localhost:8080" in self.told(capsys, command("", nowhere))

    def test_nothing_listens_at_the_address(self, nowhere: Path, capsys: Output) -> None:
        told = self.told(capsys, command(f"http://127.0.0.1:{free_port()}", nowhere))
        assert "cannot be reached (" in told and "Connection refused" in told and "port-forward" in told

    def test_no_such_host(self, nowhere: Path, capsys: Output) -> None:
        assert "cannot be reached" in self.told(capsys, command("http://kfp.invalid", nowhere))

    def test_no_answer(self, kfp_server: KfpServer, nowhere: Path, capsys: Output) -> None:
        kfp_server.delay_s = 0.5
        told = self.told(capsys, command(kfp_server.host, nowhere, "--answer", "0.1"))
        assert told.endswith("no answer within 0.1 s")

    def test_not_authorised(self, kfp_server: KfpServer, nowhere: Path, capsys: Output) -> None:
        kfp_server.token = "right"
        assert "not authorised; give a valid KFP_TOKEN" in self.told(
            capsys, command(kfp_server.host, nowhere)
        )

    def test_not_allowed(self, kfp_server: KfpServer, nowhere: Path, capsys: Output) -> None:
        kfp_server.faults = [Fault(403, "User 'a@b' is not authorized with reason: (no RBAC)")]
        told = self.told(capsys, command(kfp_server.host, nowhere, "--user-namespace", "team-a"))
        assert "not allowed in namespace team-a" in told and "kubeflow-edit" in told

    def test_namespace_missing(self, kfp_server: KfpServer, nowhere: Path, capsys: Output) -> None:
        kfp_server.faults = [Fault(500, 'InternalServerError: namespaces "team-a" not found', "/runs")]
        told = self.told(capsys, command(kfp_server.host, nowhere, "--user-namespace", "team-a"))
        assert told.endswith("namespace team-a is missing: kubectl create namespace team-a")

    def test_quota(self, kfp_server: KfpServer, nowhere: Path, capsys: Output) -> None:
        message = 'workflows "x" is forbidden: exceeded quota: team, requested: count=1, used: 5, limited: 5'
        kfp_server.faults = [Fault(403, message, "/runs")]
        assert "quota exceeded" in self.told(capsys, command(kfp_server.host, nowhere))

    def test_a_login_page(self, kfp_server: KfpServer, nowhere: Path, capsys: Output) -> None:
        kfp_server.page = "<!doctype html><title>Log in</title>"
        told = self.told(capsys, command(kfp_server.host, nowhere))
        assert told.endswith("does not speak Kubeflow Pipelines' API; check KFP_HOST")

    def test_another_service(self, kfp_server: KfpServer, nowhere: Path, capsys: Output) -> None:
        kfp_server.faults = [Fault(404, "page not found")]
        told = self.told(capsys, command(kfp_server.host, nowhere))
        assert told.endswith("answers 404 (page not found); check KFP_HOST")

    def test_volumes_on_this_machine(
        self, kfp_server: KfpServer, nowhere: Path, tmp_path: Path, capsys: Output
    ) -> None:
        told = self.told(capsys, command(kfp_server.host, nowhere, "--data", str(tmp_path)))
        assert "lies on this machine" in told and "s3://" in told

    def test_a_cluster_that_is_too_small(
        self, kfp_server: KfpServer, cluster: KubernetesServer, kubeconfig: Path, capsys: Output
    ) -> None:
        cluster.objects["/api/v1/nodes"] = many("Node", node("laptop", memory="16Gi"))
        told = self.told(capsys, command(kfp_server.host, kubeconfig))
        assert "room: train asks for 4 CPUs and 24Gi" in told and "PROFILE=small" in told
        assert not kfp_server.objects["runs"]
        assert submit.main(command(kfp_server.host, kubeconfig, "--profile", "small", "--detach")) == 0

    def test_no_such_profile(self, kfp_server: KfpServer, nowhere: Path, capsys: Output) -> None:
        told = self.told(capsys, command(kfp_server.host, nowhere, "--profile", "huge"))
        assert told == "segline: PROFILE=huge: unknown; give full or small"

    def test_no_gpu_node(
        self, kfp_server: KfpServer, cluster: KubernetesServer, kubeconfig: Path, capsys: Output
    ) -> None:
        cluster.objects["/api/v1/nodes"] = many("Node", node("cpu-1"))
        told = self.told(capsys, command(kfp_server.host, kubeconfig, "--accelerator", "nvidia"))
        assert "gpu: no GPU node" in told
        assert not kfp_server.objects["runs"]


def test_the_token_is_sent_and_never_shown(
    kfp_server: KfpServer, nowhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    kfp_server.token = "very-secret"
    monkeypatch.setenv("KFP_TOKEN", "very-secret")
    assert submit.main(command(kfp_server.host, nowhere, "--detach")) == 0
    assert "very-secret" not in "".join(capsys.readouterr())
    assert "very-secret" not in repr(submit.Service("http://x", token="very-secret"))


def test_an_image_that_cannot_be_pulled_ends_the_following(
    kfp_server: KfpServer, cluster: KubernetesServer, kubeconfig: Path, capsys: Output
) -> None:
    kfp_server.steps = [Step("RUNNING", {"train": "RUNNING"})]
    submit.main(command(kfp_server.host, kubeconfig, "--detach"))
    (run_id,) = kfp_server.objects["runs"]
    pod = waiting_pod(run_id, "ImagePullBackOff", "Back-off pulling image")
    cluster.objects[f"{SPACE}/pods"] = many("Pod", pod)
    follower = submit.Follower(
        submit.Service(kfp_server.host), Kubernetes.connect(kubeconfig), run_id, 0.02, 1
    )
    assert submit.follow(follower) == 1
    assert "image registry.test/segline-gpu:0.1.0 cannot be pulled" in capsys.readouterr().err


class TestWhatPodsTell:
    """Of a run that has become too large for the service to list its tasks."""

    @pytest.fixture
    def follower(
        self, kfp_server: KfpServer, cluster: KubernetesServer, kubeconfig: Path, capsys: Output
    ) -> submit.Follower:
        assert cluster.objects
        kfp_server.steps = [Step("RUNNING"), Step("FAILED")]
        submit.main(command(kfp_server.host, kubeconfig, "--detach"))
        (run_id,) = kfp_server.objects["runs"]
        capsys.readouterr()
        return submit.Follower(
            submit.Service(kfp_server.host), Kubernetes.connect(kubeconfig), run_id, 0.02, 1
        )

    def test_the_states_of_its_stages(
        self, follower: submit.Follower, cluster: KubernetesServer, capsys: Output
    ) -> None:
        of = [("download", "Succeeded"), ("train", "Running")]
        pods = [stage_pod(follower.run_id, *each) for each in of]
        cluster.objects[f"{SPACE}/pods"] = many("Pod", *pods)
        assert submit.follow(follower) == 1
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[1:] for line in lines[:2]] == [["download", "succeeded"], ["train", "running"]]
        assert len(lines) == 3

    def test_what_one_waits_for(
        self, follower: submit.Follower, cluster: KubernetesServer, capsys: Output
    ) -> None:
        lacks = "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No."
        waits = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": lacks}
        pod = stage_pod(follower.run_id, "train", "Pending", conditions=[waits])
        cluster.objects[f"{SPACE}/pods"] = many("Pod", pod)
        submit.follow(follower)
        told = capsys.readouterr().out.splitlines()[0]
        assert told[10:] == "train                    waits: 0/1 nodes are available: 1 Insufficient cpu"

    def test_which_one_needed_more_memory(
        self, follower: submit.Follower, cluster: KubernetesServer, capsys: Output
    ) -> None:
        killed = ended_container("OOMKilled")
        pod = stage_pod(follower.run_id, "train", "Failed", containerStatuses=[killed])
        cluster.objects[f"{SPACE}/pods"] = many("Pod", pod)
        submit.follow(follower)
        more = "give it more in pipelines/cluster/footprint.py"
        assert capsys.readouterr().err == f"segline: train: killed, it needs more memory than 8Gi; {more}\n"

    def test_the_line_of_one_that_left_no_report(
        self, follower: submit.Follower, cluster: KubernetesServer, capsys: Output
    ) -> None:
        cluster.objects[f"{SPACE}/pods"] = many("Pod", stage_pod(follower.run_id, "start", "Failed"))
        log = "I1128 launcher\nsegline start: task 'splen': no such task\nE1128 exit status 1\n"
        cluster.objects[f"{SPACE}/pods/segline-x-start/log"] = log
        submit.follow(follower)
        assert capsys.readouterr().err == "segline: start: task 'splen': no such task\n"

    def test_why_the_gate_blocked_it(
        self, follower: submit.Follower, cluster: KubernetesServer, kfp_server: KfpServer, capsys: Output
    ) -> None:
        pod = stage_pod(follower.run_id, "register", "Failed")
        cluster.objects[f"{SPACE}/pods"] = many("Pod", pod)
        reason = "pytorch: mean test Dice 0.8280 is below the floor 0.85"
        empty = dict.fromkeys(("dataset", "split", "gate", "benchmark"))
        kfp_server.bucket["segline/runs/segline-x/summary.json"] = {
            "id": "segline-x",
            "task": "phantom",
            "status": "blocked",
            "reasons": [reason],
            "seconds": 1.0,
            "stages": [],
            "metrics": {},
            "model": {},
            **empty,
        }
        assert submit.follow(follower) == 1
        told = capsys.readouterr()
        assert told.out.splitlines()[-1].startswith("blocked: http")
        assert told.err == f"segline: {reason}\n"
