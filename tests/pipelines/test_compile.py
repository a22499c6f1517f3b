"""The compiled pipeline: golden files that change only on purpose."""

from pathlib import Path
from typing import get_args

import pytest

from pipelines import compile
from pipelines.cluster.footprint import Accelerator, Demand, Profile
from pipelines.compile import COMPILED, PIPELINES, compile_package, read_documents, specifications
from pipelines.dag import segline_pipeline
from pipelines.resources import Variant
from segline.tasks import read_task, split_overrides

KINDS = [f"{kind}{cpu}" for kind in ("", "-retrain", "-folds", "-ensemble") for cpu in ("", "-cpu")]
FILES = [f"segline{kind}{suffix}" for kind in KINDS for suffix in (".yaml", ".kubernetes.yaml")]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is written where no image was built."""
    folder = tmp_path_factory.mktemp("compiled")
    assert compile.main(["--output", str(folder), "--digests", str(folder / "none.json")]) == 0
    return folder


@pytest.mark.parametrize("name", FILES)
def test_the_golden_file_is_what_the_pipeline_compiles_to(name: str, written: Path) -> None:
    told = "run `python -m pipelines.compile --digests none` and look at the change"
    assert specifications(written / name) == specifications(COMPILED / name), told


def test_nothing_else_is_written(written: Path) -> None:
    assert sorted(path.name for path in written.iterdir()) == sorted(FILES)


def test_compiling_for_one_kind_of_cluster_leaves_the_other(tmp_path: Path) -> None:
    assert compile.main(["--accelerator", "none", "--output", str(tmp_path)]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        name for name in FILES if "-cpu" in name
    )


def test_an_unknown_accelerator_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compile.main(["--accelerator", "tpu", "--output", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "segline: ACCELERATOR=tpu: unknown; give nvidia or none\n"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--profile", "huge"], "PROFILE=huge: unknown; give full or small"),
        (
            ["--accelerator", "none", "--gpu-types", "NVIDIA-L4"],
            "GPU_TYPES=NVIDIA-L4: ACCELERATOR=none has no",
        ),
    ],
)
def test_what_no_cluster_can_give_is_one_line(
    arguments: list[str], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compile.main([*arguments, "--output", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"segline: {line}") and error.count("\n") == 1


def test_types_of_gpu_are_compiled_for_clusters_that_have_them(tmp_path: Path) -> None:
    assert compile.main(["--gpu-types", "NVIDIA-L4 NVIDIA-L4 NVIDIA-T4", "--output", str(tmp_path)]) == 0
    assert not list(tmp_path.glob("*-cpu*"))
    tasks = (tmp_path / "segline.yaml").read_text()
    assert "build-tensorrt-2:" in tasks and "build-tensorrt-3:" not in tasks


def test_the_dag_is_the_one_that_runs_locally(written: Path) -> None:
    (pipeline, _) = read_documents(written / "segline.yaml")
    local = segline_pipeline.pipeline_spec
    assert set(pipeline["components"]) == {"comp-start", "comp-evaluate-2", *local.components}
    inputs = pipeline["root"]["inputDefinitions"]["parameters"]
    assert set(inputs) == {"task", "overrides", "data", "device"}
    assert all(one["isOptional"] and one["description"] for one in inputs.values())


@pytest.mark.parametrize("name", PIPELINES)
@pytest.mark.parametrize(("profile", "task"), [("full", "spleen"), ("small", "phantom")])
def test_as_it_stands_the_form_asks_for_a_task_that_there_is(
    name: str, profile: Profile, task: str, tmp_path: Path
) -> None:
    package = compile_package(name, Variant(Demand("none", profile), {}), tmp_path)
    inputs = read_documents(package.path)[0]["root"]["inputDefinitions"]["parameters"]
    given = {key: one["defaultValue"] for key, one in inputs.items()}
    assert (given["task"], given["data"], given["device"]) == (task, "", "auto")
    asked = read_task(given["task"], split_overrides(given["overrides"]), given["data"])
    assert ("folds" in name or "ensemble" in name) == bool(asked.plan.get("split"))


def test_compiling_for_a_cluster_leaves_the_local_pipeline_as_it_was(written: Path) -> None:
    assert written.is_dir()
    assert not segline_pipeline.platform_spec.platforms


def test_the_report_runs_whatever_happens(written: Path) -> None:
    tasks = read_documents(written / "segline.yaml")[0]["root"]["dag"]["tasks"]
    assert tasks["report"]["triggerPolicy"]["strategy"] == "ALL_UPSTREAM_TASKS_COMPLETED"


def test_no_component_installs_anything(written: Path) -> None:
    assert "pip install" not in (written / "segline.yaml").read_text()


def test_the_manifests_are_a_pipeline_and_a_version_of_it(written: Path) -> None:
    pipeline, version = read_documents(written / "segline.kubernetes.yaml")
    assert [one["kind"] for one in (pipeline, version)] == ["Pipeline", "PipelineVersion"]
    assert {one["apiVersion"] for one in (pipeline, version)} == {"pipelines.kubeflow.org/v2beta1"}
    assert {one["metadata"]["namespace"] for one in (pipeline, version)} == {"kubeflow"}
    assert version["spec"]["pipelineName"] == pipeline["metadata"]["name"] == "segline"


def test_the_manifest_holds_what_the_representation_holds(written: Path) -> None:
    _, version = read_documents(written / "segline.kubernetes.yaml")
    assert [version["spec"]["pipelineSpec"], version["spec"]["platformSpec"]] == read_documents(
        written / "segline.yaml"
    )


def test_the_namespace_of_the_manifests_can_be_chosen(tmp_path: Path) -> None:
    compile.main(["--accelerator", "none", "--namespace", "team-a", "--output", str(tmp_path)])
    for one in read_documents(tmp_path / "segline-cpu.kubernetes.yaml"):
        assert one["metadata"]["namespace"] == "team-a"


def test_the_same_content_has_the_same_version_and_another_has_another(tmp_path: Path) -> None:
    def versions() -> list[str]:
        targets = [Variant(Demand(kind), {}) for kind in get_args(Accelerator)]
        return [compile_package("segline", target, tmp_path).version for target in targets]

    first = versions()
    assert versions() == first
    assert len(set(first)) == len(first)


def test_a_version_can_be_a_kubernetes_name(tmp_path: Path) -> None:
    version = compile_package("segline-retrain", Variant(Demand("none"), {}), tmp_path).version
    assert len(version) <= 63 and version.replace("-", "").isalnum() and version == version.lower()
