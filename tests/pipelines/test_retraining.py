"""The life of a champion: data in S3, models in MLflow, new real cases, and nothing done twice."""

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from segline.registry.versions import versions
from segline.tracking.mlflow_connection import Registry

from ..command import python
from ..s3_server import ACCESS_KEY, SECRET_KEY, S3Server
from ..tiny_task import ROOT, run_command

FIRST, NEW = 10, 5
TASK = {
    "name": "tiny-hippocampus",
    "source": "s3://lifecycle/Task04",
    "plan": {
        "preprocessing": {"spacing_mm": [2, 2, 2]},
        "network": {"channels": [4, 8], "strides": [[2, 2, 2]]},
        "training": {"patch_size": [16, 24, 16], "batch_size": 2, "epochs": 10, "validations": 1},
        "gate": {"nsd_tolerance_mm": 2.0},
    },
    "promotion": {"min_cases": 2},
}


@dataclass
class Lifecycle:
    """A task whose data lie in a bucket, to which cases can be added."""

    real: Path
    bucket: Path
    folder: Path
    server: S3Server
    tracking: str

    def add(self, pairs: Sequence[dict[str, str]]) -> None:
        """Copy cases into the bucket, and declare all that are there."""
        declared = json.loads((self.real / "dataset.json").read_text())
        place = self.bucket / "Task04"
        known = json.loads((place / "dataset.json").read_text())["training"] if place.is_dir() else []
        for pair in pairs:
            for path in pair.values():
                (place / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self.real / path, place / path)
        declared.update(training=[*known, *pairs], test=[], numTraining=len(known) + len(pairs))
        (place / "dataset.json").write_text(json.dumps(declared))

    def run(self, *more: str) -> dict[str, Any]:
        """Run a pipeline to its end; its summary."""
        task = self.folder / "task.yaml"
        task.write_text(yaml.safe_dump(TASK))
        environment = {
            **os.environ,
            "S3_ENDPOINT": f"http://{self.server.settings.endpoint}",
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        }
        _, *words = run_command(self.folder, task, "--tracking", self.tracking, *more)
        done = python(*words, cwd=ROOT, environment=environment, timeout_s=900)
        assert done.returncode == 0, done.stdout + done.stderr
        loaded: dict[str, Any] = json.loads((self.folder / "runs/latest/summary.json").read_text())
        return loaded


def reason(summary: dict[str, Any], stage: str) -> str:
    return next(str(record["reason"]) for record in summary["stages"] if record["name"] == stage)


@pytest.fixture
def lifecycle(shared_data: Path, s3_server: S3Server, mlflow_server: str, tmp_path: Path) -> Lifecycle:
    bucket = s3_server.bucket("lifecycle")
    return Lifecycle(shared_data / "Task04_Hippocampus", bucket, tmp_path, s3_server, mlflow_server)


def test_a_champion_is_challenged_only_when_there_are_new_cases(lifecycle: Lifecycle) -> None:
    registry = Registry(lifecycle.tracking)
    pairs = json.loads((lifecycle.real / "dataset.json").read_text())["training"][: FIRST + NEW]

    lifecycle.add(pairs[:FIRST])
    first = lifecycle.run()
    assert first["status"] == "succeeded"
    assert reason(first, "preprocess") == f"{FIRST} cases computed, 0 reused from the cache"
    assert [version.aliases for version in versions(registry, TASK["name"])] == [("champion",)]

    lifecycle.add(pairs[FIRST:])
    second = lifecycle.run("--retrain")
    assert second["status"] == "succeeded"
    assert reason(second, "intake") == f"{NEW} new cases"
    assert reason(second, "preprocess") == f"{NEW} cases computed, {FIRST} reused from the cache"
    assert set(first["split"]["test"]) <= set(second["split"]["test"])
    challenger, champion = versions(registry, TASK["name"])
    assert challenger.reasons
    assert (challenger.decision == "promoted") == ("champion" in challenger.aliases)
    compared = json.loads((lifecycle.folder / "runs/latest/promotion.json").read_text())
    assert len(compared["cases"]) == len(second["split"]["test"])
    assert champion.number == 1

    third = lifecycle.run("--retrain")
    assert (third["status"], third["metrics"]) == ("unchanged", {})
    assert reason(third, "intake") == f"nothing new since {challenger.name}"
    assert len(versions(registry, TASK["name"])) == 2
