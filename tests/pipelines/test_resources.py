"""What each stage gets on a cluster, read back from the compiled pipeline."""

import json
from pathlib import Path
from typing import Any

import pytest
from kubernetes.utils.quantity import parse_quantity

import components
import components.start
from pipelines.compile import PIPELINES, compile_package, specifications
from pipelines.resources import DIGESTS, STAGES, USER_ID, Target
from segline.errors import SeglineError

BY_NAME = {"base": "segline-base:0.1.0", "gpu": "segline-gpu:0.1.0", "tensorrt": "segline-tensorrt:0.1.0"}
GPU_STAGES = {
    "train": "gpu",
    "build_tensorrt": "tensorrt",
    "evaluate": "tensorrt",
    "benchmark": "tensorrt",
    "register": "gpu",
}
COMPONENTS = {
    "start": components.start.start,
    **{name: getattr(components, name) for name in components.__all__},
}
NAMES = list(COMPONENTS)
ELSEWHERE = {"segline": {"intake", "succeed_plan"}, "segline-retrain": {"download", "plan"}}
"""The stages that only the other pipeline has."""
STAGES_OF = [(name, stage) for name, others in ELSEWHERE.items() for stage in NAMES if stage not in others]


class Compiled:
    """A compiled pipeline, by stage."""

    def __init__(self, path: Path) -> None:
        self.pipeline, platform = specifications(path)
        self.executors = self.pipeline["deploymentSpec"]["executors"]
        self.kubernetes = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]

    def container(self, stage: str) -> dict[str, Any]:
        """Image, command and resources."""
        found: dict[str, Any] = self.executors[_executor(stage)]["container"]
        return found

    def pod(self, stage: str) -> dict[str, Any]:
        """What Kubernetes alone knows of."""
        found: dict[str, Any] = self.kubernetes[_executor(stage)]
        return found

    def component(self, stage: str) -> dict[str, Any]:
        """Inputs and outputs."""
        found: dict[str, Any] = self.pipeline["components"][f"comp-{stage.replace('_', '-')}"]
        return found

    def task(self, stage: str) -> dict[str, Any]:
        """The stage's place in the DAG."""
        dags = [self.pipeline["root"], *self.pipeline["components"].values()]
        name = stage.replace("_", "-")
        return next(of["dag"]["tasks"][name] for of in dags if name in of.get("dag", {}).get("tasks", {}))


def _executor(stage: str) -> str:
    return f"exec-{stage.replace('_', '-')}"


@pytest.fixture(scope="module")
def gpu_pipelines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Compiled]:
    """For a cluster with GPUs, with images by version."""
    return compiled_for(Target("nvidia", {}), tmp_path_factory.mktemp("gpu"))


@pytest.fixture(scope="module")
def cpu_pipelines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Compiled]:
    """For a cluster without."""
    return compiled_for(Target("none", {}), tmp_path_factory.mktemp("cpu"))


def compiled_for(target: Target, folder: Path) -> dict[str, Compiled]:
    """Both pipelines."""
    return {name: Compiled(compile_package(name, target, folder).path) for name in PIPELINES}


@pytest.fixture(params=PIPELINES)
def pipeline(request: pytest.FixtureRequest) -> str:
    """Each of the pipelines."""
    return str(request.param)


@pytest.fixture()
def gpu(gpu_pipelines: dict[str, Compiled], pipeline: str) -> Compiled:
    """A pipeline for a cluster with GPUs."""
    return gpu_pipelines[pipeline]


@pytest.fixture()
def cpu(cpu_pipelines: dict[str, Compiled], pipeline: str) -> Compiled:
    """The same for a cluster without."""
    return cpu_pipelines[pipeline]


def in_the_dag(compiled: Compiled) -> set[str]:
    """The stages that the DAG calls."""
    return {name.removeprefix("exec-").replace("-", "_") for name in compiled.executors}


def test_every_component_has_resources() -> None:
    assert set(NAMES) == set(STAGES)


def test_every_component_is_in_a_pipeline(gpu: Compiled, pipeline: str) -> None:
    assert in_the_dag(gpu) == set(NAMES) - ELSEWHERE[pipeline]


def test_everything_but_the_report_waits_for_the_runs_folder(gpu: Compiled) -> None:
    tasks = gpu.pipeline["root"]["dag"]["tasks"]
    waiting = {name for name, task in tasks.items() if "start" in task.get("dependentTasks", [])}
    assert waiting | {"start", "report"} == set(tasks)


def test_a_stage_that_is_not_in_the_table_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("pipelines.resources.STAGES", {})
    with pytest.raises(SeglineError, match=r"stage start: pipelines/resources.py does not say"):
        compile_package("segline", Target("none", {}), tmp_path)


@pytest.mark.parametrize(("pipeline", "stage"), STAGES_OF)
class TestEveryStage:
    """Holds for each component in each pipeline."""

    def test_runs_its_own_function(self, stage: str, gpu: Compiled) -> None:
        container = gpu.container(stage)
        assert container["command"][:2] == ["sh", "-ec"]
        assert f"def {stage}(" in container["command"][-1]
        assert container["args"][:3] == ["--executor_input", "{{$}}", "--function_to_execute"]
        assert container["args"][3] == stage

    def test_has_the_image_of_its_dependencies(self, stage: str, gpu: Compiled, cpu: Compiled) -> None:
        assert gpu.container(stage)["image"] == BY_NAME[GPU_STAGES.get(stage, "base")]
        assert cpu.container(stage)["image"] == BY_NAME["base"]

    def test_has_requests_within_limits(self, stage: str, gpu: Compiled) -> None:
        given = gpu.container(stage)["resources"]
        for kind in ("Cpu", "Memory"):
            request = parse_quantity(given[f"resource{kind}Request"])
            assert 0 < request <= parse_quantity(given[f"resource{kind}Limit"])

    def test_has_resources_for_older_backends_too(self, stage: str, gpu: Compiled) -> None:
        given = gpu.container(stage)["resources"]
        assert given["cpuLimit"] == pytest.approx(float(parse_quantity(given["resourceCpuLimit"])))
        assert given["memoryLimit"] == pytest.approx(
            float(parse_quantity(given["resourceMemoryLimit"])) / 1e9
        )

    def test_goes_where_the_gpus_are_only_if_it_uses_one(self, stage: str, gpu: Compiled) -> None:
        accelerator = gpu.container(stage)["resources"].get("accelerator")
        (affinity,) = gpu.pod(stage)["nodeAffinity"]
        (expression,) = affinity["matchExpressions"]
        if stage in GPU_STAGES:
            assert (accelerator["resourceType"], accelerator["resourceCount"]) == ("nvidia.com/gpu", "1")
            assert gpu.pod(stage)["tolerations"] == [
                {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
            ]
            assert expression == {"key": "nvidia.com/gpu.present", "operator": "In", "values": ["true"]}
            assert "weight" not in affinity
        else:
            assert accelerator is None and "tolerations" not in gpu.pod(stage)
            assert expression == {"key": "nvidia.com/gpu.present", "operator": "DoesNotExist"}
            assert affinity["weight"] == 50

    def test_needs_no_gpu_on_a_cluster_without(self, stage: str, cpu: Compiled) -> None:
        assert "accelerator" not in cpu.container(stage)["resources"]
        assert "tolerations" not in cpu.pod(stage)
        assert all(term["weight"] for term in cpu.pod(stage)["nodeAffinity"])

    def test_has_shared_memory_if_its_workers_share_tensors(self, stage: str, gpu: Compiled) -> None:
        mounts = gpu.pod(stage).get("emptyDirMounts", [])
        needed = stage in ("preprocess", "train", "evaluate", "benchmark", "register")
        assert [mount["mountPath"] for mount in mounts] == (["/dev/shm"] if needed else [])
        for mount in mounts:
            limit = gpu.container(stage)["resources"]["resourceMemoryLimit"]
            assert mount["medium"] == "Memory"
            assert parse_quantity(mount["sizeLimit"]) <= parse_quantity(limit) / 2

    def test_ends_sometime(self, stage: str, gpu: Compiled) -> None:
        assert 0 < int(gpu.pod(stage)["activeDeadlineSeconds"]) <= 72 * 3600

    def test_is_tried_again_with_growing_pauses_unless_twice_is_not_as_once(
        self, stage: str, gpu: Compiled
    ) -> None:
        policy = gpu.task(stage).get("retryPolicy")
        if stage == "register":
            assert policy is None
        else:
            assert policy["maxRetryCount"] >= 1
            assert (policy["backoffDuration"], policy["backoffFactor"]) == ("30s", 2.0)
            assert policy["backoffMaxDuration"] == "600s"

    def test_is_never_taken_from_the_cache(self, stage: str, gpu: Compiled) -> None:
        assert gpu.task(stage)["cachingOptions"] == {}

    def test_gets_keys_only_if_it_reads_the_object_store(self, stage: str, gpu: Compiled) -> None:
        secrets = gpu.pod(stage).get("secretAsEnv", [])
        if stage not in ("download", "intake"):
            assert secrets == []
            return
        (secret,) = secrets
        assert secret["secretName"] == "segline-s3"
        assert [pair["envVar"] for pair in secret["keyToEnv"]] == [
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
        ]

    def test_is_told_only_the_addresses_it_uses(self, stage: str, gpu: Compiled) -> None:
        maps = gpu.pod(stage).get("configMapAsEnv", [])
        told = [pair["envVar"] for one in maps for pair in one["keyToEnv"]]
        assert told == (["S3_ENDPOINT", "AWS_REGION"] if stage in ("download", "intake") else [])

    def test_holds_no_secret_itself(self, stage: str, gpu: Compiled) -> None:
        assert "env" not in gpu.container(stage)

    def test_sees_the_shared_workspace(self, stage: str, gpu: Compiled) -> None:
        (mount,) = gpu.pod(stage)["pvcMount"]
        assert (mount["constant"], mount["mountPath"]) == ("segline-workspace", "/segline")

    def test_is_not_root(self, stage: str, gpu: Compiled) -> None:
        assert gpu.pod(stage)["securityContext"] == {
            "runAsNonRoot": True,
            "runAsUser": str(USER_ID),
            "runAsGroup": str(USER_ID),
        }

    def test_can_be_selected_by_network_policies(self, stage: str, gpu: Compiled) -> None:
        assert gpu.pod(stage)["podMetadata"]["labels"] == {
            "app.kubernetes.io/part-of": "segline",
            "app.kubernetes.io/component": stage,
        }

    def test_has_the_inputs_and_outputs_of_its_component(self, stage: str, gpu: Compiled) -> None:
        component = COMPONENTS[stage].component_spec
        compiled = gpu.component(stage)
        for declared, spec in (("inputs", "inputDefinitions"), ("outputs", "outputDefinitions")):
            found = compiled.get(spec, {})
            names = {*found.get("parameters", {}), *found.get("artifacts", {})}
            assert names == set(getattr(component, declared) or {})


def test_the_benchmark_has_its_cpus_for_itself(gpu: Compiled) -> None:
    given = gpu.container("benchmark")["resources"]
    assert given["resourceCpuRequest"] == given["resourceCpuLimit"]
    assert given["resourceMemoryRequest"] == given["resourceMemoryLimit"]


def test_built_images_go_by_digest(tmp_path: Path) -> None:
    image = f"registry.test/segline-gpu@sha256:{'a' * 64}"
    (tmp_path / "digests.json").write_text(json.dumps({"gpu": image}))
    target = Target.of("nvidia", tmp_path / "digests.json")
    compiled = Compiled(compile_package("segline", target, tmp_path).path)
    assert compiled.container("train")["image"] == image


def test_an_image_by_tag_among_the_digests_is_refused(tmp_path: Path) -> None:
    (tmp_path / "digests.json").write_text('{"gpu": "segline-gpu:latest"}')
    with pytest.raises(SeglineError, match=r"digests.json: every image must be given by digest"):
        Target.of("nvidia", tmp_path / "digests.json")


def test_damaged_digests_are_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "digests.json").write_text('{"gpu": ')
    with pytest.raises(SeglineError, match=r"digests.json: damaged .*make images"):
        Target.of("nvidia", tmp_path / "digests.json")


def test_an_unknown_accelerator_is_refused() -> None:
    with pytest.raises(SeglineError, match="ACCELERATOR=tpu: unknown; give nvidia or none"):
        Target.of("tpu", DIGESTS)
