"""The compiled pipeline: a golden file that changes only on purpose."""

from pathlib import Path
from typing import Any

import yaml
from kfp import compiler

from pipelines.compile import COMPILED
from pipelines.dag import segline_pipeline


def loaded(path: Path) -> dict[str, Any]:
    """The pipeline specification, without the version of the compiler."""
    specification: dict[str, Any] = next(yaml.safe_load_all(path.read_text()))
    specification.pop("sdkVersion")
    return specification


def test_the_golden_file_is_what_the_pipeline_compiles_to(tmp_path: Path) -> None:
    compiler.Compiler().compile(segline_pipeline, str(tmp_path / "pipeline.yaml"))
    assert loaded(tmp_path / "pipeline.yaml") == loaded(COMPILED), "run `make compile` and look at the change"


def test_the_report_runs_whatever_happens() -> None:
    tasks = loaded(COMPILED)["root"]["dag"]["tasks"]
    assert tasks["report"]["triggerPolicy"]["strategy"] == "ALL_UPSTREAM_TASKS_COMPLETED"


def test_every_component_runs_in_the_stage_image_without_installing_anything() -> None:
    executors = loaded(COMPILED)["deploymentSpec"]["executors"].values()
    assert {executor["container"]["image"] for executor in executors} == {"segline-base:0.1.0"}
    assert not any("pip install" in str(executor) for executor in executors)
