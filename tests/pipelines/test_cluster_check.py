"""``python -m pipelines.check`` over HTTP: what is there, what is missing, and how to make it."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.check import main
from pipelines.cluster.api import Kubernetes
from pipelines.cluster.footprint import Demand
from pipelines.cluster.readiness import Finding, examine

from ..s3_server import S3Server, free_port
from .k8s_server import SPACE, KubernetesServer, many, node

DEMAND = Demand()
Output = pytest.CaptureFixture[str]


def finding(name: str, kubeconfig: Path, demand: Demand = DEMAND, s3_endpoint: str = "") -> Finding:
    """What is said of one thing."""
    found = examine(Kubernetes.connect(kubeconfig), demand, s3_endpoint)
    return next(one for one in found if one.name == name)


def test_every_point_is_told(kubeconfig: Path, capsys: Output) -> None:
    status = main(["--kubeconfig", str(kubeconfig)])
    shown = capsys.readouterr().out.splitlines()
    assert [line[5:23].strip() for line in shown] == [
        "cluster",
        "namespace",
        "nodes",
        "gpu",
        "room",
        "quota",
        "s3 secret",
        "settings",
        "launcher",
        "bucket",
        "mlflow",
    ]
    assert status == (2 if any(line.startswith("no") for line in shown) else 0)


def test_a_complete_cluster_is_ready(cluster: KubernetesServer, kubeconfig: Path) -> None:
    assert cluster.objects
    assert {one.name: one.ok for one in examine(Kubernetes.connect(kubeconfig), DEMAND)} == {
        one.name: True for one in examine(Kubernetes.connect(kubeconfig), DEMAND)
    }


def test_gpus_are_counted_by_node(cluster: KubernetesServer, kubeconfig: Path) -> None:
    cluster.objects["/api/v1/nodes"] = many("Node", node("a", gpus=2), node("b"), node("c", gpus=8))
    assert finding("gpu", kubeconfig).detail == "nvidia.com/gpu: a 2, c 8"


def test_a_cluster_without_gpus_is_told_what_to_do(cluster: KubernetesServer, kubeconfig: Path) -> None:
    cluster.objects["/api/v1/nodes"] = many("Node", node("a"), node("b", gpus=1, ready=False))
    found = finding("gpu", kubeconfig)
    assert found.ok is False
    assert "no GPU node" in found.detail and "ACCELERATOR=none" in found.detail


def test_no_gpu_is_fine_where_none_is_asked_for(cluster: KubernetesServer, kubeconfig: Path) -> None:
    cluster.objects["/api/v1/nodes"] = many("Node", node("a"))
    assert finding("gpu", kubeconfig, Demand("none")).ok


def test_a_gpu_node_without_its_label_is_told_with_the_command(
    cluster: KubernetesServer, kubeconfig: Path
) -> None:
    cluster.objects["/api/v1/nodes"] = many("Node", node("a", gpus=1, labelled=False))
    assert "kubectl label node a nvidia.com/gpu.present=true" in finding("gpu", kubeconfig).detail


def test_nodes_that_are_not_ready_do_not_count(cluster: KubernetesServer, kubeconfig: Path) -> None:
    cluster.objects["/api/v1/nodes"] = many("Node", node("a", ready=False))
    assert finding("nodes", kubeconfig).detail.startswith("0 of 1 ready")


@pytest.mark.parametrize(
    ("path", "name", "command"),
    [
        ("secrets/segline-s3", "s3 secret", "create secret generic segline-s3"),
        ("configmaps/segline-settings", "settings", "create configmap segline-settings"),
        ("configmaps/kfp-launcher", "launcher", "create configmap kfp-launcher"),
        ("services/mlflow:5000/proxy/health", "mlflow", "kubectl apply -k"),
    ],
)
def test_what_is_missing_is_told_with_how_to_make_it(
    path: str, name: str, command: str, cluster: KubernetesServer, kubeconfig: Path
) -> None:
    del cluster.objects[f"{SPACE}/{path}"]
    found = finding(name, kubeconfig)
    assert found.ok is False
    assert command in found.detail


def test_a_secret_without_one_of_its_keys_is_told(cluster: KubernetesServer, kubeconfig: Path) -> None:
    del cluster.objects[f"{SPACE}/secrets/segline-s3"]["data"]["AWS_SECRET_ACCESS_KEY"]
    assert "segline-s3 lacks AWS_SECRET_ACCESS_KEY" in finding("s3 secret", kubeconfig).detail


def test_no_secret_is_ever_shown(cluster: KubernetesServer, kubeconfig: Path, capsys: Output) -> None:
    main(["--kubeconfig", str(kubeconfig)])
    held = cluster.objects[f"{SPACE}/secrets/segline-s3"]["data"]["AWS_SECRET_ACCESS_KEY"]
    assert held not in "".join(capsys.readouterr())


def test_a_missing_namespace_ends_the_look(cluster: KubernetesServer, kubeconfig: Path) -> None:
    del cluster.objects[SPACE]
    *_, last = examine(Kubernetes.connect(kubeconfig), DEMAND)
    assert (last.name, last.ok) == ("namespace", False)
    assert "kubectl create namespace kubeflow" in last.detail


def quota(hard: dict[str, str], used: dict[str, str]) -> dict[str, Any]:
    """A team's, as the cluster tells of it."""
    status = {"hard": hard, "used": used}
    one = {"metadata": {"name": "team"}, "spec": {"hard": hard}, "status": status}
    return many("ResourceQuota", one)


def test_a_quota_that_is_used_up_is_told(cluster: KubernetesServer, kubeconfig: Path) -> None:
    hard = {"requests.nvidia.com/gpu": "2", "limits.memory": "100Gi", "pods": "250"}
    used = {"requests.nvidia.com/gpu": "2", "limits.memory": "2048Mi", "pods": "12"}
    cluster.objects[f"{SPACE}/resourcequotas"] = quota(hard, used)
    found = finding("quota", kubeconfig)
    assert found.ok is False
    assert "team requests.nvidia.com/gpu: train asks for 1, 2 of 2 are used" in found.detail
    assert "memory" not in found.detail and "pods" not in found.detail


def test_a_quota_without_gpus_is_enough_where_none_is_asked_for(
    cluster: KubernetesServer, kubeconfig: Path
) -> None:
    cluster.objects[f"{SPACE}/resourcequotas"] = quota(
        {"requests.nvidia.com/gpu": "0"}, {"requests.nvidia.com/gpu": "0"}
    )
    assert finding("quota", kubeconfig, Demand("none")).ok
    assert finding("quota", kubeconfig).ok is False


@pytest.mark.parametrize(
    ("name", "hard", "used", "told"),
    [
        ("requests.memory", "20Gi", "0", "train asks for 24Gi, 0 of 20Gi are used"),
        ("memory", "30Gi", "8Gi", "train asks for 24Gi, 8Gi of 30Gi are used"),
        ("limits.cpu", "16", "9500m", "preprocess asks for 8, 9500m of 16 are used"),
        ("pods", "5", "5", "start asks for 1, 5 of 5 are used"),
    ],
)
def test_a_quota_with_less_left_than_the_largest_stage_asks_for_is_told(
    name: str, hard: str, used: str, told: str, cluster: KubernetesServer, kubeconfig: Path
) -> None:
    cluster.objects[f"{SPACE}/resourcequotas"] = quota({name: hard}, {name: used})
    found = finding("quota", kubeconfig)
    assert found.ok is False
    assert f"team {name}: {told}" in found.detail and "PROFILE=small" in found.detail


def test_the_small_profile_fits_a_small_quota(cluster: KubernetesServer, kubeconfig: Path) -> None:
    cluster.objects[f"{SPACE}/resourcequotas"] = quota(
        {"requests.memory": "4Gi", "limits.memory": "8Gi"}, {"requests.memory": "1Gi", "limits.memory": "0"}
    )
    assert finding("quota", kubeconfig, Demand(profile="small")).ok


def test_nodes_too_small_for_the_largest_stage_are_told(cluster: KubernetesServer, kubeconfig: Path) -> None:
    cluster.objects["/api/v1/nodes"] = many("Node", node("laptop", cpu="8", memory="16290380Ki"))
    found = finding("room", kubeconfig, Demand("none"))
    assert found.ok is False
    assert found.detail.startswith("train asks for 4 CPUs and 24Gi; the largest node has 8 and 15.5Gi;")
    assert "PROFILE=small" in found.detail
    assert finding("room", kubeconfig, Demand("none", "small")).ok


def test_a_stage_with_a_gpu_needs_a_node_with_a_gpu_that_is_large_enough(
    cluster: KubernetesServer, kubeconfig: Path
) -> None:
    nodes = node("big"), node("gpu", gpus=1, memory="16Gi")
    cluster.objects["/api/v1/nodes"] = many("Node", *nodes)
    found = finding("room", kubeconfig)
    assert found.ok is False
    assert "train asks for 4 CPUs and 24Gi; the largest node with a GPU has 16 and 16.0Gi" in found.detail


def test_a_node_with_memory_but_few_cpus_has_no_room(cluster: KubernetesServer, kubeconfig: Path) -> None:
    cluster.objects["/api/v1/nodes"] = many("Node", node("narrow", cpu="3500m"))
    assert "the largest node has 3500m and 64.0Gi" in finding("room", kubeconfig, Demand("none")).detail


def standing(name: str, cpu: str, memory: str, phase: str = "Running", **labels: str) -> dict[str, Any]:
    """A pod of somebody else on the node of that name."""
    requests = {"resources": {"requests": {"cpu": cpu, "memory": memory}}}
    return {
        "metadata": {"name": f"on-{name}", "labels": labels},
        "spec": {"nodeName": name, "containers": [{"name": "main", **requests}, {"name": "beside"}]},
        "status": {"phase": phase},
    }


def test_what_others_take_of_a_node_is_no_room(cluster: KubernetesServer, kubeconfig: Path) -> None:
    cluster.objects["/api/v1/nodes"] = many("Node", node("laptop", cpu="2", memory="8Gi"))
    small = Demand("none", "small")
    cluster.objects["/api/v1/pods"] = many("Pod", standing("laptop", "1200m", "3Gi"))
    assert finding("room", kubeconfig, small).ok
    cluster.objects["/api/v1/pods"] = many(
        "Pod", standing("laptop", "1200m", "3Gi"), standing("laptop", "750m", "1Gi")
    )
    found = finding("room", kubeconfig, small)
    assert found.ok is False
    assert "has 2 and 8.0Gi, of which others leave 0.05 and 4.0Gi" in found.detail


@pytest.mark.parametrize(
    "pod",
    [
        standing("laptop", "2", "8Gi", phase="Succeeded"),
        standing("elsewhere", "2", "8Gi"),
        standing("laptop", "2", "8Gi", **{"pipelines.kubeflow.org/v2_component": "true"}),
    ],
    ids=["ended", "elsewhere", "of a run"],
)
def test_only_what_stays_on_a_node_takes_its_room(
    pod: dict[str, Any], cluster: KubernetesServer, kubeconfig: Path
) -> None:
    cluster.objects["/api/v1/nodes"] = many("Node", node("laptop", cpu="2", memory="8Gi"))
    cluster.objects["/api/v1/pods"] = many("Pod", pod)
    assert finding("room", kubeconfig, Demand("none", "small")).ok


def test_who_may_not_look_at_others_pods_counts_the_whole_node(
    cluster: KubernetesServer, kubeconfig: Path
) -> None:
    cluster.refused["/api/v1/pods"] = 403
    assert finding("room", kubeconfig, Demand("none", "small")).ok


def test_a_type_of_gpu_that_no_node_has_is_told_with_those_there_are(
    cluster: KubernetesServer, kubeconfig: Path
) -> None:
    nodes = node("a", gpus=1, product="NVIDIA-L4"), node("b", gpus=1, product="Tesla-T4")
    cluster.objects["/api/v1/nodes"] = many("Node", *nodes)
    found = finding("gpu", kubeconfig, Demand(gpu_types=("NVIDIA-L4", "NVIDIA-H200")))
    assert found.ok is False
    assert (
        "no ready node has nvidia.com/gpu.product=NVIDIA-H200; there are: NVIDIA-L4, Tesla-T4" in found.detail
    )
    assert finding("gpu", kubeconfig, Demand(gpu_types=("NVIDIA-L4", "Tesla-T4"))).ok


def test_a_bucket_that_is_missing_is_told(cluster: KubernetesServer, kubeconfig: Path) -> None:
    settings = cluster.objects[f"{SPACE}/configmaps/segline-settings"]
    settings["data"]["SEGLINE_BUCKET"] = "s3://no-such-bucket"
    found = finding("bucket", kubeconfig)
    assert found.ok is False
    assert "no such bucket" in found.detail


def test_wrong_keys_of_the_object_store_are_told(cluster: KubernetesServer, kubeconfig: Path) -> None:
    data = cluster.objects[f"{SPACE}/secrets/segline-s3"]["data"]
    data["AWS_SECRET_ACCESS_KEY"] = data["AWS_ACCESS_KEY_ID"]
    assert finding("bucket", kubeconfig).ok is False


def test_a_store_that_only_the_cluster_reaches_is_unknown_and_can_be_forwarded(
    cluster: KubernetesServer, kubeconfig: Path, s3_server: S3Server
) -> None:
    settings = cluster.objects[f"{SPACE}/configmaps/segline-settings"]["data"]
    settings["S3_ENDPOINT"] = f"http://127.0.0.1:{free_port()}"
    found = finding("bucket", kubeconfig)
    assert found.ok is None and "set S3_ENDPOINT" in found.detail
    assert finding("bucket", kubeconfig, s3_endpoint=f"http://{s3_server.settings.endpoint}").ok


def test_what_this_account_may_not_see_is_unknown_and_blocks_nothing(
    cluster: KubernetesServer, kubeconfig: Path, capsys: Output
) -> None:
    cluster.refused["/api/v1/nodes"] = 403
    assert finding("gpu", kubeconfig).ok is None
    assert main(["--kubeconfig", str(kubeconfig)]) == 0
    assert "this account may not look at it" in capsys.readouterr().out


def test_an_mlflow_outside_the_cluster_is_not_looked_at(cluster: KubernetesServer, kubeconfig: Path) -> None:
    settings = cluster.objects[f"{SPACE}/configmaps/segline-settings"]["data"]
    settings["MLFLOW_TRACKING_URI"] = "https://mlflow.example.org"
    assert finding("mlflow", kubeconfig).ok is None


def test_a_token_that_has_expired_is_one_line(
    cluster: KubernetesServer, tmp_path: Path, capsys: Output
) -> None:
    kubeconfig = cluster.write_kubeconfig(tmp_path / "old", token="expired")
    assert main(["--kubeconfig", str(kubeconfig)]) == 2
    assert "not authorised; log in to the cluster again" in capsys.readouterr().out


def test_a_cluster_that_is_away_is_one_line(cluster: KubernetesServer, tmp_path: Path) -> None:
    path = cluster.write_kubeconfig(tmp_path / "away")
    path.write_text(path.read_text().replace(cluster.host, f"http://127.0.0.1:{free_port()}"))
    (found,) = examine(Kubernetes.connect(path), DEMAND)
    assert found.ok is False and "cannot be reached" in found.detail and "KUBECONFIG" in found.detail


@pytest.mark.parametrize("text", ["", "{", "kind: Config\n"])
def test_a_kubeconfig_that_cannot_be_used_is_one_line(text: str, tmp_path: Path, capsys: Output) -> None:
    (tmp_path / "config").write_text(text)
    assert main(["--kubeconfig", str(tmp_path / "config")]) == 2
    assert "no usable kubeconfig" in capsys.readouterr().err
