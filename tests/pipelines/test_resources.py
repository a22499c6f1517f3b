"""What each stage gets on a cluster, read back from the compiled pipeline."""

import json
from pathlib import Path
from typing import Any

import pytest
from kfp import compiler
from kubernetes.utils.quantity import parse_quantity

import components
import components.start
from pipelines.cluster.footprint import STAGES, Demand
from pipelines.compile import PIPELINES, compile_package, specifications
from pipelines.cross_validation import folds_pipeline
from pipelines.resources import USER_ID, Variant
from segline.backends import CPU_BACKENDS, GPU_BACKENDS
from segline.common.errors import SeglineError

BY_NAME = {"base": "segline-base:0.1.0", "gpu": "segline-gpu:0.1.0", "tensorrt": "segline-tensorrt:0.1.0"}
GPU_STAGES = {
    "train": "gpu",
    "build_tensorrt": "tensorrt",
    "evaluate": "tensorrt",
    "benchmark": "tensorrt",
    "compare_members": "tensorrt",
    "register": "gpu",
}
COMPONENTS = {
    "start": components.start.start,
    **{name: getattr(components, name) for name in components.__all__},
}
NAMES = list(COMPONENTS)
MERGING = {"merge_engines"}
"""Of several GPU types only."""
FOLDS = {"split_folds", "take_fold", "pool", "track_folds"}
ENSEMBLE = {"assemble", "compare_members"}
OF_A_FOLD = {"take_fold", "train", "export_onnx", "evaluate"}
"""The stages whose run is a fold's, where there are folds."""
OF_A_MODEL = {"quantize", "build_tensorrt", "compare", "benchmark", "register"}
ELSEWHERE = {
    "segline": {"intake", "succeed_plan", *FOLDS, *ENSEMBLE},
    "segline-retrain": {"download", "plan", *FOLDS, *ENSEMBLE},
    "segline-folds": {"intake", "succeed_plan", *OF_A_MODEL, *ENSEMBLE, *MERGING},
    "segline-ensemble": {"intake", "succeed_plan"},
}
"""The stages that only other pipelines have."""
STAGES_OF = [(name, stage) for name, others in ELSEWHERE.items() for stage in NAMES if stage not in others]
TYPES = ("NVIDIA-L4", "NVIDIA-A100-SXM4-80GB")
CPU_EVALUATION = "evaluate_2"
"""The task of the backends that hold no GPU."""


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

    @property
    def tasks(self) -> dict[str, Any]:
        """Every task, whichever part of the DAG it is in."""
        dags = [self.pipeline["root"], *self.pipeline["components"].values()]
        return {name: task for of in dags for name, task in of.get("dag", {}).get("tasks", {}).items()}

    def task(self, stage: str) -> dict[str, Any]:
        """The stage's place in the DAG."""
        found: dict[str, Any] = self.tasks[stage.replace("_", "-")]
        return found


def _executor(stage: str) -> str:
    return f"exec-{stage.replace('_', '-')}"


@pytest.fixture(scope="module")
def gpu_pipelines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Compiled]:
    """For a cluster with GPUs of two types, with images by version."""
    return compiled_for(Variant(Demand(gpu_types=TYPES), {}), tmp_path_factory.mktemp("gpu"))


@pytest.fixture(scope="module")
def cpu_pipelines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Compiled]:
    """For a cluster without."""
    return compiled_for(Variant(Demand("none"), {}), tmp_path_factory.mktemp("cpu"))


def compiled_for(target: Variant, folder: Path) -> dict[str, Compiled]:
    """Every pipeline."""
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


def by_component(task: str) -> str:
    """The stage of a task's name: where one is called several times, its tasks are numbered."""
    return task.rstrip("0123456789").rstrip("_")


def test_every_component_has_resources() -> None:
    assert set(NAMES) == set(STAGES)


def test_every_component_is_in_a_pipeline(gpu: Compiled, pipeline: str) -> None:
    assert {by_component(name) for name in in_the_dag(gpu)} == set(NAMES) - ELSEWHERE[pipeline]


def test_everything_but_the_report_waits_for_the_runs_folder(gpu: Compiled) -> None:
    tasks = gpu.pipeline["root"]["dag"]["tasks"]
    waiting = {name for name, task in tasks.items() if "start" in task.get("dependentTasks", [])}
    assert waiting | {"start", "report"} == set(tasks)


def test_a_stage_that_is_not_in_the_table_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("pipelines.cluster.footprint.STAGES", {})
    with pytest.raises(SeglineError, match=r"stage start: pipelines/cluster/footprint.py does not say"):
        compile_package("segline", Variant(Demand("none"), {}), tmp_path)


TO_MLFLOW = ("intake", "train", "register", "track_folds", "report")
TO_TRACKERS = ("train", "report")


@pytest.mark.parametrize(("pipeline", "stage"), STAGES_OF)
class TestEveryStage:
    """Holds for each component in each pipeline."""

    def test_runs_its_own_function(self, stage: str, gpu: Compiled) -> None:
        container = gpu.container(stage)
        assert container["command"][:2] == ["sh", "-ec"]
        source = container["command"][-1]
        assert f"def {stage}(" in source and f"stages.{stage.replace('succeed_plan', 'plan')}(" in source
        assert '"""' not in source and len(source) < 700
        assert container["args"][:3] == ["--executor_input", "{{$}}", "--function_to_execute"]
        assert container["args"][3] == stage

    def test_has_the_image_of_its_dependencies(self, stage: str, gpu: Compiled, cpu: Compiled) -> None:
        assert gpu.container(stage)["image"] == BY_NAME[GPU_STAGES.get(stage, "base")]
        if stage not in MERGING:
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
        expression, *products = affinity["matchExpressions"]
        if stage in GPU_STAGES:
            assert (accelerator["resourceType"], accelerator["resourceCount"]) == ("nvidia.com/gpu", "1")
            assert gpu.pod(stage)["tolerations"] == [
                {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
            ]
            assert expression == {"key": "nvidia.com/gpu.present", "operator": "In", "values": ["true"]}
            assert "weight" not in affinity
            wanted = list(TYPES[:1]) if stage == "build_tensorrt" else list(TYPES)
            assert products == [{"key": "nvidia.com/gpu.product", "operator": "In", "values": wanted}]
        else:
            assert products == []
            assert accelerator is None and "tolerations" not in gpu.pod(stage)
            assert expression == {"key": "nvidia.com/gpu.present", "operator": "DoesNotExist"}
            assert affinity["weight"] == 50

    def test_needs_no_gpu_on_a_cluster_without(self, stage: str, cpu: Compiled) -> None:
        if stage in MERGING:
            assert stage not in in_the_dag(cpu)
            return
        assert "accelerator" not in cpu.container(stage)["resources"]
        assert "tolerations" not in cpu.pod(stage)
        assert "nodeAffinity" not in cpu.pod(stage)

    def test_has_shared_memory_if_its_workers_share_tensors(self, stage: str, gpu: Compiled) -> None:
        mounts = [mount for mount in gpu.pod(stage)["emptyDirMounts"] if mount["volumeName"] == "shm"]
        needed = stage in ("preprocess", "train", "evaluate", "benchmark", "register", "compare_members")
        assert [mount["mountPath"] for mount in mounts] == (["/dev/shm"] if needed else [])
        for mount in mounts:
            limit = gpu.container(stage)["resources"]["resourceMemoryLimit"]
            assert mount["medium"] == "Memory"
            assert parse_quantity(mount["sizeLimit"]) <= parse_quantity(limit) / 2

    def test_ends_sometime(self, stage: str, gpu: Compiled) -> None:
        assert 0 < int(gpu.pod(stage)["activeDeadlineSeconds"]) <= 72 * 3600

    def test_is_tried_again_with_growing_pauses(self, stage: str, gpu: Compiled) -> None:
        policy = gpu.task(stage)["retryPolicy"]
        assert policy["maxRetryCount"] >= 1
        assert (policy["backoffDuration"], policy["backoffFactor"]) == ("30s", 2.0)
        assert policy["backoffMaxDuration"] == "600s"

    def test_is_never_taken_from_the_cache(self, stage: str, gpu: Compiled) -> None:
        assert gpu.task(stage)["cachingOptions"] == {}

    def test_gets_the_keys_to_the_bucket_by_secret(self, stage: str, gpu: Compiled) -> None:
        secret, *_ = gpu.pod(stage)["secretAsEnv"]
        assert secret["secretName"] == "segline-s3"
        assert [pair["envVar"] for pair in secret["keyToEnv"]] == [
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
        ]

    def test_is_told_only_the_addresses_it_uses(self, stage: str, gpu: Compiled) -> None:
        settings, *_ = gpu.pod(stage)["configMapAsEnv"]
        told = [pair["envVar"] for pair in settings["keyToEnv"]]
        tracking = ["MLFLOW_TRACKING_URI"] if stage in TO_MLFLOW else []
        assert told == ["S3_ENDPOINT", "AWS_REGION", "SEGLINE_BUCKET", *tracking]

    def test_may_be_told_of_trackers_where_it_shows_a_run(self, stage: str, gpu: Compiled) -> None:
        _, *settings = gpu.pod(stage)["configMapAsEnv"]
        _, *secrets = gpu.pod(stage)["secretAsEnv"]
        assert len(settings) == len(secrets) == (1 if stage in TO_TRACKERS else 0)
        for given, name in ((settings, "segline-trackers"), (secrets, "segline-wandb")):
            for source in given:
                told = source.get("configMapName") or source["secretName"]
                assert (told, source["optional"]) == (name, True)
        assert [pair["envVar"] for source in secrets for pair in source["keyToEnv"]] in (
            [],
            ["WANDB_API_KEY"],
        )

    def test_holds_no_secret_and_no_address_itself(self, stage: str, gpu: Compiled) -> None:
        values = {one["name"]: one["value"] for one in gpu.container(stage)["env"]}
        patience = {"MLFLOW_PATIENCE_S": "300"} if stage in TO_MLFLOW else {}
        assert values == {"SEGLINE_SCRATCH": "/segline", **patience}

    def test_shares_no_volume_and_has_one_of_its_own(self, stage: str, gpu: Compiled) -> None:
        assert "pvcMount" not in gpu.pod(stage)
        (own,) = [mount for mount in gpu.pod(stage)["emptyDirMounts"] if mount["mountPath"] == "/segline"]
        assert parse_quantity(own["sizeLimit"]) >= 20 * 2**30 and "medium" not in own

    def test_works_on_the_run_of_its_workflow(self, stage: str, gpu: Compiled) -> None:
        given = gpu.task(stage)["inputs"]["parameters"]["run"]
        if stage in OF_A_FOLD and set(gpu.tasks) & {"take-fold"}:
            assert given == {"componentInputParameter": "pipelinechannel--split-folds-Output-loop-item"}
        else:
            assert given == {"runtimeValue": {"constant": "{{$.pipeline_job_resource_name}}"}}

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


@pytest.mark.parametrize("pipeline", ["segline", "segline-retrain"])
class TestFanOut:
    """What runs side by side."""

    def test_every_backend_is_evaluated_where_it_can_use_what_it_holds(self, gpu: Compiled) -> None:
        loops = {name: task for name, task in gpu.tasks.items() if "parameterIterator" in task}
        items = {name: json.loads(task["parameterIterator"]["items"]["raw"]) for name, task in loops.items()}
        assert list(items.values()) == [list(GPU_BACKENDS), list(CPU_BACKENDS)]
        assert gpu.task("evaluate")["inputs"]["parameters"]["device"].keys() == {"componentInputParameter"}
        device = gpu.task(CPU_EVALUATION)["inputs"]["parameters"]["device"]
        assert device == {"runtimeValue": {"constant": "cpu"}}

    def test_backends_without_a_use_for_a_gpu_hold_none(self, gpu: Compiled) -> None:
        assert "accelerator" not in gpu.container(CPU_EVALUATION)["resources"]
        assert "tolerations" not in gpu.pod(CPU_EVALUATION)
        assert gpu.container(CPU_EVALUATION)["image"] == BY_NAME["base"]
        (affinity,) = gpu.pod(CPU_EVALUATION)["nodeAffinity"]
        assert affinity["matchExpressions"][0]["operator"] == "DoesNotExist"

    def test_but_have_the_same_cpus_memory_and_retries(self, gpu: Compiled) -> None:
        with_gpu, without = (dict(gpu.container(task)["resources"]) for task in ("evaluate", CPU_EVALUATION))
        del with_gpu["accelerator"]
        assert without == with_gpu
        assert gpu.task(CPU_EVALUATION)["retryPolicy"] == gpu.task("evaluate")["retryPolicy"]
        assert gpu.pod(CPU_EVALUATION)["emptyDirMounts"] == gpu.pod("evaluate")["emptyDirMounts"]

    def test_the_gate_sees_every_evaluation(self, gpu: Compiled) -> None:
        given = gpu.task("compare")["inputs"]["artifacts"]
        producers = [given[name]["taskOutputArtifact"]["producerTask"] for name in ("on_gpu", "on_cpu")]
        assert len(set(producers)) == 2 and set(producers) <= set(gpu.tasks)

    def test_an_engine_is_built_on_each_type_of_gpu(self, gpu: Compiled) -> None:
        for task, product in (("build_tensorrt", TYPES[0]), ("build_tensorrt_2", TYPES[1])):
            (affinity,) = gpu.pod(task)["nodeAffinity"]
            assert affinity["matchExpressions"][1]["values"] == [product]
            given = gpu.task(task)["inputs"]["parameters"]["gpu"]
            assert given == {"runtimeValue": {"constant": product}}
            assert gpu.task(task)["dependentTasks"] == ["quantize"]

    def test_the_engines_go_into_one_package_that_everything_after_uses(self, gpu: Compiled) -> None:
        given = gpu.task("merge_engines")["inputs"]["artifacts"]
        producers = {name: source["taskOutputArtifact"]["producerTask"] for name, source in given.items()}
        assert producers == {"model": "build-tensorrt", "other": "build-tensorrt-2"}
        used = gpu.task("benchmark")["inputs"]["artifacts"]["model"]["taskOutputArtifact"]
        assert used == {"outputArtifactKey": "merged", "producerTask": "merge-engines"}

    def test_one_engine_for_whatever_is_there_needs_no_merging(self, cpu: Compiled) -> None:
        assert "merge_engines" not in in_the_dag(cpu)
        assert "gpu" in cpu.task("build_tensorrt")["inputs"]["parameters"]


def the_loop(tasks: dict[str, Any]) -> dict[str, Any]:
    """The only one there is."""
    (loop,) = (task for task in tasks.values() if "parameterIterator" in task)
    return dict(loop)


def test_folds_run_all_at_once_on_a_cluster_and_one_by_one_here(
    gpu_pipelines: dict[str, Compiled], tmp_path: Path
) -> None:
    assert "iteratorPolicy" not in the_loop(gpu_pipelines["segline-folds"].tasks)
    compiler.Compiler().compile(folds_pipeline, str(tmp_path / "here.yaml"))
    dags = specifications(tmp_path / "here.yaml")[0]["components"].values()
    here = {name: task for of in dags for name, task in of.get("dag", {}).get("tasks", {}).items()}
    assert the_loop(here)["iteratorPolicy"] == {"parallelismLimit": 1}


def test_folds_train_on_cases_that_were_preprocessed_once(gpu_pipelines: dict[str, Compiled]) -> None:
    compiled = gpu_pipelines["segline-folds"]
    loop = the_loop(compiled.tasks)
    fold = compiled.pipeline["components"][loop["componentRef"]["name"]]["dag"]["tasks"]
    assert set(fold) == {"take-fold", "train", "export-onnx", "evaluate"}
    assert "preprocess" in loop["dependentTasks"]


def test_folds_are_pooled(gpu_pipelines: dict[str, Compiled]) -> None:
    compiled = gpu_pipelines["segline-folds"]
    given = compiled.task("pool")["inputs"]["artifacts"]["evaluations"]["taskOutputArtifact"]
    assert "parameterIterator" in compiled.tasks[given["producerTask"]]
    assert "pipelinechannel--evaluate-evaluation" in given["outputArtifactKey"]


class TestSmallProfile:
    """For a cluster of one laptop."""

    @pytest.fixture(scope="class")
    def small(self, tmp_path_factory: pytest.TempPathFactory) -> Compiled:
        """The training pipeline."""
        target = Variant(Demand("none", "small"), {})
        return Compiled(compile_package("segline", target, tmp_path_factory.mktemp("small")).path)

    def test_no_stage_asks_for_more_than_a_laptop_has(self, small: Compiled) -> None:
        for stage in in_the_dag(small):
            given = small.container(stage)["resources"]
            assert float(parse_quantity(given["resourceCpuRequest"])) <= 0.1
            assert parse_quantity(given["resourceMemoryRequest"]) <= 2**30
            assert parse_quantity(given["resourceMemoryLimit"]) <= 8 * 2**30
            assert parse_quantity(given["resourceCpuRequest"]) <= parse_quantity(given["resourceCpuLimit"])

    def test_no_stage_asks_for_more_than_under_the_full_profile(self, small: Compiled) -> None:
        assert small.container("start")["resources"]["resourceCpuLimit"] == STAGES["start"].cpu[1]
        assert small.container("report")["resources"]["resourceMemoryLimit"] == STAGES["report"].memory[1]

    def test_shared_memory_is_within_the_limit(self, small: Compiled) -> None:
        scratch, shared = small.pod("train")["emptyDirMounts"]
        assert (scratch["sizeLimit"], shared["sizeLimit"]) == ("10Gi", "1Gi")

    def test_it_is_a_version_of_the_same_pipeline(self, tmp_path: Path) -> None:
        packages = [
            compile_package("segline", Variant(Demand("none", profile), {}), tmp_path)
            for profile in ("full", "small")
        ]
        assert [package.path.name for package in packages] == ["segline-cpu.yaml", "segline-cpu-small.yaml"]
        assert packages[0].pipeline == packages[1].pipeline
        assert packages[0].version != packages[1].version

    def test_a_gpu_is_held_all_the_same(self) -> None:
        assert Demand("nvidia", "small").stages["train"].gpu


@pytest.mark.parametrize("pipeline", ["segline", "segline-retrain"])
def test_the_benchmark_has_its_cpus_for_itself(gpu: Compiled) -> None:
    given = gpu.container("benchmark")["resources"]
    assert given["resourceCpuRequest"] == given["resourceCpuLimit"]
    assert given["resourceMemoryRequest"] == given["resourceMemoryLimit"]


def test_built_images_go_by_digest(tmp_path: Path) -> None:
    image = f"registry.test/segline-gpu@sha256:{'a' * 64}"
    (tmp_path / "digests.json").write_text(json.dumps({"gpu": image}))
    target = Variant.of(Demand(), tmp_path / "digests.json")
    compiled = Compiled(compile_package("segline", target, tmp_path).path)
    assert compiled.container("train")["image"] == image


def test_an_image_by_tag_among_the_digests_is_refused(tmp_path: Path) -> None:
    (tmp_path / "digests.json").write_text('{"gpu": "segline-gpu:latest"}')
    with pytest.raises(SeglineError, match=r"digests.json: every image must be given by digest"):
        Variant.of(Demand(), tmp_path / "digests.json")


def test_damaged_digests_are_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "digests.json").write_text('{"gpu": ')
    with pytest.raises(SeglineError, match=r"digests.json: damaged .*make images"):
        Variant.of(Demand(), tmp_path / "digests.json")
