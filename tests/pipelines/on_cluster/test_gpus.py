"""Where stages that use a GPU are placed: on a node whose status says by hand that it has some."""

import time
from collections.abc import Iterator, Mapping

import pytest
from kubernetes import client

from pipelines.cluster.api import RunPod
from pipelines.cluster.footprint import Demand
from pipelines.cluster.names import GPU, GPU_LABEL, GPU_PRODUCT, NAMESPACE
from pipelines.resources import Variant

from ...waiting import wait_until
from .pods import Executor, executors

pytestmark = pytest.mark.cluster

TYPES = ("NVIDIA-L4", "NVIDIA-A100-SXM4-80GB")
TAINT = {"key": GPU, "value": "present", "effect": "NoSchedule"}


@pytest.fixture
def node(core: client.CoreV1Api) -> Iterator[str]:
    """The name of the node, which has two GPUs of the first type, and lets nobody else in."""
    name = core.list_node().items[0].metadata.name
    labels = {GPU_LABEL: "true", GPU_PRODUCT: TYPES[0]}
    core.patch_node(name, {"metadata": {"labels": labels}, "spec": {"taints": [TAINT]}})
    offer(core, name, "2")
    yield name
    core.patch_node(name, {"metadata": {"labels": dict.fromkeys(labels)}, "spec": {"taints": None}})
    offer(core, name, None)


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Executor]:
    """Those of a pipeline for two types of GPU, small."""
    target = Variant.of(Demand("nvidia", "small", TYPES))
    return executors("segline", target, tmp_path_factory.mktemp("compiled"))


def offer(core: client.CoreV1Api, name: str, gpus: str | None) -> None:
    """What a device plugin would say."""
    core.patch_node_status(name, {"status": {"capacity": {GPU: gpus}, "allocatable": {GPU: gpus}}})


def placed(core: client.CoreV1Api, name: str, executor: Executor) -> str:
    """The node that the scheduler chooses for a stage's pod; or what it waits for."""
    made = executor.pod(f"segline-check-{name}", ["true"])
    core.create_namespaced_pod(NAMESPACE, made)

    def look() -> str:
        pod = core.read_namespaced_pod(made["metadata"]["name"], NAMESPACE)
        return pod.spec.node_name or RunPod(pod).waits_for

    try:
        wait_until(look, 30)
        return look()
    finally:
        core.delete_namespaced_pod(made["metadata"]["name"], NAMESPACE, grace_period_seconds=0)
        wait_until(lambda: not gpus_counted(core), 60)


def gpus_counted(core: client.CoreV1Api) -> int:
    """What quotas hold against the next pod: they hear of one that has gone a moment later."""
    quotas = core.list_namespaced_resource_quota(NAMESPACE).items
    return sum(int((quota.status.used or {}).get(f"requests.{GPU}", 0)) for quota in quotas)


def test_a_training_goes_to_a_node_with_a_gpu(
    core: client.CoreV1Api, node: str, stages: Mapping[str, Executor]
) -> None:
    assert placed(core, "train", stages["exec-train"]) == node


def test_a_stage_without_a_gpu_keeps_off_a_node_that_is_for_gpus(
    core: client.CoreV1Api, node: str, stages: Mapping[str, Executor]
) -> None:
    assert "had untolerated taint" in placed(core, "plan", stages["exec-plan"])
    core.patch_node(node, {"spec": {"taints": None}})
    assert placed(core, "plan-again", stages["exec-plan"]) == node


def test_each_engine_is_built_on_a_gpu_of_its_type(
    core: client.CoreV1Api, node: str, stages: Mapping[str, Executor]
) -> None:
    first, second = stages["exec-build-tensorrt"], stages["exec-build-tensorrt-2"]
    assert placed(core, "first", first) == node
    assert "didn't match Pod's node affinity" in placed(core, "second", second)
    core.patch_node(node, {"metadata": {"labels": {GPU_PRODUCT: TYPES[1]}}})
    assert placed(core, "second-again", second) == node
    assert "didn't match Pod's node affinity" in placed(core, "first-again", first)


def test_without_a_gpu_that_is_free_it_waits(
    core: client.CoreV1Api, node: str, stages: Mapping[str, Executor]
) -> None:
    offer(core, node, "0")
    time.sleep(1)
    assert f"Insufficient {GPU}" in placed(core, "none-free", stages["exec-train"])


def test_without_the_label_it_waits(
    core: client.CoreV1Api, node: str, stages: Mapping[str, Executor]
) -> None:
    core.patch_node(node, {"metadata": {"labels": {GPU_LABEL: None}}})
    assert "didn't match Pod's node affinity" in placed(core, "no-label", stages["exec-train"])
