"""The whole phantom DAG in pods, from the bucket to a registered model that is pulled from outside.

Once undisturbed, and once with every stage's pod killed and MinIO and MLflow away while it trains and
registers: both end with the same model and the same answers.
"""

import base64
import hashlib
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from kubernetes import client

from pipelines.cluster.footprint import Demand
from pipelines.cluster.names import NAMESPACE, S3_SECRET, SETTINGS
from pipelines.docker import Stage
from pipelines.resources import Variant
from segline.common.errors import SeglineError
from segline.data.phantom.scanner import write_phantom
from segline.runs.records import StageRecord
from segline.storage.s3_settings import S3Settings
from segline.storage.store import Store, open_store

from .conftest import forwarded, kubectl, patched
from .pods import Pods, executors

pytestmark = pytest.mark.cluster

TARGET = Variant.of(Demand("none", "small"))
OVERRIDES = "training.epochs=20 training.max_minutes=null export.int8_patches=0 gate.floor=0.0"
OUTAGE_S = 30
SERVICES = ("statefulset/minio", "deployment/mlflow")


@pytest.fixture(scope="module")
def bucket(core: client.CoreV1Api) -> Store:
    """The bucket of runs, by the address that MinIO has in the cluster: the node is this machine."""
    keys = {
        name: base64.b64decode(value).decode()
        for name, value in core.read_namespaced_secret(S3_SECRET, NAMESPACE).data.items()
    }
    address = core.read_namespaced_service("minio", "segline").spec.cluster_ip
    settings = S3Settings.from_environment(keys | {"S3_ENDPOINT": f"http://{address}:9000"})
    return open_store("s3://segline", settings)


@pytest.fixture(scope="module")
def undisturbed(
    core: client.CoreV1Api, bucket: Store, tmp_path_factory: pytest.TempPathFactory
) -> "Finished":
    """A run under which nothing dies."""
    folder = tmp_path_factory.mktemp("undisturbed")
    return run(core, bucket, new_place("undisturbed"), folder, lambda *_: None)


def new_place(name: str) -> str:
    """Where in the bucket the runs of one test lie, store included: nothing is there yet."""
    return f"checks/{datetime.now(UTC):%Y%m%d-%H%M%S}-{name}"


@dataclass
class Disturbance:
    """Kills each stage's first pod in the middle of its work, and the services under the second of some."""

    bucket: Store
    place: str
    pods: Counter[str] = field(default_factory=Counter)
    done: list[str] = field(default_factory=list)

    def __call__(self, stage: Stage, pod: str) -> None:
        self.pods[stage.record] += 1
        if self.pods[stage.record] == 1:
            self._await(stage, datetime.now(UTC))
            with suppress(subprocess.CalledProcessError):  # it may have ended by itself
                kubectl("-n", NAMESPACE, "delete", "pod", pod, "--grace-period=0", "--force")
                self.done.append(f"killed {stage.record}")
        elif self.pods[stage.record] == 2 and stage.name in ("train", "register"):
            self._await(stage, datetime.now(UTC))
            for service in SERVICES if stage.name == "train" else SERVICES[::-1]:
                away(service)
                self.done.append(f"{service} away in {stage.record}")

    def _await(self, stage: Stage, since: datetime) -> None:
        """Until the stage is at work; a training, until it has kept a checkpoint."""
        run = next(iter(self._runs()), "")
        for _ in range(600):
            time.sleep(0.2)
            with suppress(SeglineError):
                run = run or next(iter(self._runs()), "")
                if stage.name == "start" and run:
                    return
                record = self.bucket / self.place / "runs" / run
                text = record.read(f"stages/{stage.record}.json") if run else b""
                if text and StageRecord.model_validate_json(text).started >= since:
                    break
        if stage.name == "train":
            checkpoints = self.bucket / self.place / "store/checkpoints"
            for _ in range(600):
                with suppress(SeglineError):
                    if any(item.modified > since for item in checkpoints.listed()):
                        return
                time.sleep(0.2)

    def _runs(self) -> list[str]:
        return sorted({item.key.partition("/")[0] for item in (self.bucket / self.place / "runs").listed()})


def away(service: str) -> None:
    """Kill a service, and let it come back after a while."""
    kubectl("-n", "segline", "scale", service, "--replicas=0")
    kubectl(
        "-n",
        "segline",
        "delete",
        "pod",
        "-l",
        f"app.kubernetes.io/name={service.partition('/')[2]}",
        "--grace-period=0",
        "--force",
        "--ignore-not-found",
    )
    time.sleep(OUTAGE_S)
    kubectl("-n", "segline", "scale", service, "--replicas=1")
    kubectl("-n", "segline", "rollout", "status", service, "--timeout=180s")


@dataclass(frozen=True)
class Finished:
    """A run that has ended."""

    summary: dict[str, object]
    digests: dict[str, str]
    """Of what it made, by name."""
    pods: Counter[str]


def run(
    core: client.CoreV1Api, store: Store, place: str, folder: Path, disturb: Callable[..., None]
) -> Finished:
    """Run the phantom task as the pods of its compiled pipeline."""
    pods = Pods(core, executors("segline", TARGET, folder / "compiled"), folder / "artifacts", disturb)
    folder.chmod(0o755)  # pods go through it to the artifacts, as another user
    with patched(core, SETTINGS, {"SEGLINE_BUCKET": f"s3://segline/{place}"}):
        pods.run("segline", TARGET, task="phantom", overrides=OVERRIDES, device="cpu")
    runs = store / place / "runs"
    (name,) = {item.key.partition("/")[0] for item in runs.listed()}
    files = {item.key.partition("/")[2]: item.key for item in runs.listed()}
    made = [name for name in files if name.endswith((".pt", ".onnx", ".nii.gz", ".xml", ".bin"))]
    digests = {name: hashlib.sha256(runs.read(files[name])).hexdigest() for name in sorted(made)}
    digests["plan"] = json.loads(runs.read(files["plan.json"]))["digest"]
    print(name, json.dumps({k: v[:16] for k, v in digests.items() if "/" not in k or "model" in k}, indent=1))
    return Finished(json.loads(runs.read(files["summary.json"])), digests, Counter(pods.made))


def stages_of(finished: Finished) -> dict[str, str]:
    return {stage["name"]: stage["status"] for stage in finished.summary["stages"]}  # type: ignore[attr-defined]


def test_a_model_comes_to_the_registry_and_out_of_it_again(undisturbed: Finished, tmp_path: Path) -> None:
    assert undisturbed.summary["status"] == "succeeded", undisturbed.summary["reasons"]
    assert stages_of(undisturbed)["register"] == "succeeded"
    assert set(undisturbed.pods.values()) == {1}

    write_phantom(tmp_path / "outside", cases=1)
    ct = next((tmp_path / "outside/imagesTr").glob("*.nii.gz"))
    with forwarded("mlflow", 5000) as address:
        command = [sys.executable, "-m", "segline.cli", "predict", "phantom@champion", str(ct)]
        command += ["-o", str(tmp_path / "mask.nii.gz"), "--tracking", f"http://{address}"]
        began = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
        print(f"pulled and predicted in {time.monotonic() - began:.0f} s")
    assert done.returncode == 0, done.stdout + done.stderr
    mask = np.asanyarray(nib.load(tmp_path / "mask.nii.gz").dataobj)
    assert mask.shape == nib.load(ct).shape
    assert set(np.unique(mask)) == {0, 1}


def test_whatever_dies_meanwhile_the_same_model_comes_of_it(
    core: client.CoreV1Api, bucket: Store, undisturbed: Finished, tmp_path: Path
) -> None:
    place = new_place("disturbed")
    disturbance = Disturbance(bucket, place)
    finished = run(core, bucket, place, tmp_path, disturbance)
    print("\n".join(disturbance.done))
    assert finished.summary["status"] == "succeeded", finished.summary["reasons"]
    assert stages_of(finished)["register"] == "succeeded"
    assert min(finished.pods.values()) >= 2
    assert [line for line in disturbance.done if line.endswith(("in train", "in register"))] == [
        "statefulset/minio away in train",
        "deployment/mlflow away in train",
        "deployment/mlflow away in register",
        "statefulset/minio away in register",
    ]
    assert finished.digests == undisturbed.digests
