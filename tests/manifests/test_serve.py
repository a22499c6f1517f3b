"""The server on a cluster: what it is asked to do, who may ask it, and whom it may ask."""

import argparse
from typing import Any

import pytest

from segline import __version__

from .conftest import Document
from .network import Address, Pod, allowed
from .test_kustomize import DNS, INTERNET, MINIO, MLFLOW, NODE_CREDENTIALS, POSTGRES, RUN, named

SERVER = Pod("segline-serve", {"app.kubernetes.io/name": "segline-serve"})
CLIENT = Pod("viewers", space={"segline-client": "true"})
STRANGER, PROMETHEUS = Pod("default"), Pod("monitoring")


def server(documents: list[Document]) -> Any:
    """Its container."""
    (container,) = named(documents, "Deployment", "segline-serve")["spec"]["template"]["spec"]["containers"]
    return container


def parsed(documents: list[Document]) -> argparse.Namespace:
    """The options, as the command takes them once Kubernetes has put the settings in."""
    from segline.cli.main import _parser

    settings: dict[str, str] = {}
    for source in server(documents)["envFrom"]:
        if "configMapRef" in source:
            settings |= named(documents, "ConfigMap", source["configMapRef"]["name"])["data"]
    words = server(documents)["args"]
    for name, value in settings.items():
        words = [word.replace(f"$({name})", value) for word in words]
    return _parser().parse_args(words)


def test_the_command_takes_what_it_is_given(serve: list[Document]) -> None:
    options = parsed(serve)
    assert (options.command, options.model, options.host, options.port) == (
        "serve",
        "phantom@champion",
        "0.0.0.0",
        8000,
    )
    assert options.tracking == "http://mlflow.segline.svc.cluster.local:5000"
    assert server(serve)["image"] == f"segline-serve:{__version__}"


def test_what_is_sent_fits_into_the_pods_scratch_and_what_is_at_work_may_end(serve: list[Document]) -> None:
    pod = named(serve, "Deployment", "segline-serve")["spec"]["template"]["spec"]
    sizes = {volume["name"]: int(volume["emptyDir"]["sizeLimit"][:-2]) for volume in pod["volumes"]}
    mounts = {mount["mountPath"]: mount["name"] for mount in server(serve)["volumeMounts"]}
    options = parsed(serve)
    assert options.spool_gb * 1e9 < sizes[mounts["/tmp"]] * 2**30
    assert str(options.store) in mounts
    assert sum(sizes.values()) <= int(server(serve)["resources"]["limits"]["ephemeral-storage"][:-2])
    assert options.drain_seconds < pod["terminationGracePeriodSeconds"]


def test_the_quota_has_room_for_all_that_may_be_started(serve: list[Document]) -> None:
    hard = named(serve, "ResourceQuota", "servers")["spec"]["hard"]
    most = 1 + named(serve, "HorizontalPodAutoscaler", "segline-serve")["spec"]["maxReplicas"]
    resources = server(serve)["resources"]
    for side in ("requests", "limits"):
        assert most * int(resources[side]["cpu"]) <= int(hard[f"{side}.cpu"])
        assert most * int(resources[side]["memory"][:-2]) <= int(hard[f"{side}.memory"][:-2])


def test_a_drain_leaves_a_server(serve: list[Document]) -> None:
    assert "replicas" not in named(serve, "Deployment", "segline-serve")["spec"]
    least = named(serve, "HorizontalPodAutoscaler", "segline-serve")["spec"]["minReplicas"]
    assert least > named(serve, "PodDisruptionBudget", "segline-serve")["spec"]["maxUnavailable"]


def test_a_key_is_asked_for_where_there_is_one(serve: list[Document]) -> None:
    from segline.cli.serve import KEY_VARIABLE

    (variable,) = server(serve)["env"]
    assert variable["name"] == KEY_VARIABLE
    assert variable["valueFrom"]["secretKeyRef"] == {
        "name": "segline-serve-key",
        "key": "key",
        "optional": True,
    }


def test_every_probe_asks_what_the_server_answers(serve: list[Document]) -> None:
    paths = {
        probe: server(serve)[f"{probe}Probe"]["httpGet"]["path"]
        for probe in ("startup", "readiness", "liveness")
    }
    assert paths == {"startup": "/readyz", "readiness": "/readyz", "liveness": "/healthz"}


def test_it_scales_by_the_cpu_or_by_what_waits(serve: list[Document], serve_with_all: list[Document]) -> None:
    (cpu,) = named(serve, "HorizontalPodAutoscaler", "segline-serve")["spec"]["metrics"]
    (waiting,) = named(serve_with_all, "HorizontalPodAutoscaler", "segline-serve")["spec"]["metrics"]
    assert cpu["resource"]["name"] == "cpu"
    assert waiting["pods"]["metric"]["name"] == "segline_queue_length"


@pytest.mark.parametrize(
    ("source", "target", "port", "protocol"),
    [
        (CLIENT, SERVER, 8000, "TCP"),
        (SERVER, MLFLOW, 5000, "TCP"),
        (SERVER, DNS, 53, "UDP"),
        (RUN, MLFLOW, 5000, "TCP"),
    ],
)
def test_what_is_needed_can_be_reached(
    rendered: dict[str, list[Document]],
    serve: list[Document],
    source: Pod,
    target: Pod,
    port: int,
    protocol: str,
) -> None:
    assert allowed([*rendered["kind"], *serve], source, target, port, protocol)


@pytest.mark.parametrize(
    ("source", "target", "port"),
    [
        (STRANGER, SERVER, 8000),
        (PROMETHEUS, SERVER, 8000),
        (RUN, SERVER, 8000),
        (SERVER, SERVER, 8000),
        (CLIENT, MLFLOW, 5000),
        (SERVER, POSTGRES, 5432),
        (SERVER, MINIO, 9000),
        (SERVER, INTERNET, 443),
        (SERVER, NODE_CREDENTIALS, 80),
    ],
)
def test_nothing_else_can(
    rendered: dict[str, list[Document]],
    serve: list[Document],
    source: Pod,
    target: Pod | Address,
    port: int,
) -> None:
    assert not allowed([*rendered["kind"], *serve], source, target, port)


def test_components_open_the_way_for_metrics_and_s3_and_no_further(
    rendered: dict[str, list[Document]], serve_with_all: list[Document]
) -> None:
    everything = [*rendered["kind"], *serve_with_all]
    assert allowed(everything, PROMETHEUS, SERVER, 8000)
    assert allowed(everything, SERVER, MINIO, 9000)
    assert allowed(everything, SERVER, INTERNET, 443)
    assert not allowed(everything, SERVER, NODE_CREDENTIALS, 443)
    assert not allowed(everything, STRANGER, SERVER, 8000)


def test_a_namespace_of_its_own_denies_by_default(serve: list[Document]) -> None:
    denial = named(serve, "NetworkPolicy", "deny-all")
    assert denial["metadata"]["namespace"] == "segline-serve"
    assert denial["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert {one["metadata"]["name"] for one in serve if one["kind"] == "Namespace"} == {"segline-serve"}
