"""Which packages go into the images, and that each has one version, written in one place."""

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from pipelines.images import ROOT

dependencies: dict[str, Any] = runpy.run_path(str(ROOT / "images/dependencies.py"))
FILES = [ROOT / "requirements.txt", ROOT / "images/gpu.txt", ROOT / "images/tensorrt.txt"]


@pytest.fixture()
def project() -> Any:
    """This one."""
    return dependencies["Project"].read(ROOT)


def test_every_extra_has_the_versions_of_the_checkout(project: Any) -> None:
    listed = project.listed("cpu", "train", "onnx", "openvino", "int8", "report", "store", "registry", "gpu")
    assert listed[0] == f"torch==={project.versions['torch']}+cpu"
    assert {"nibabel", "onnxruntime", "mlflow", "nncf", "minio"} <= {
        line.partition("==")[0] for line in listed
    }
    assert all(project.versions[line.partition("==")[0]] == line.partition("==")[2] for line in listed[1:])


def test_for_cuda_the_runtime_is_the_one_with_cuda_and_the_only_one(project: Any) -> None:
    listed = project.listed("cuda", "train", "onnx")
    assert listed[0] == f"torch==={project.versions['torch']}"
    assert f"onnxruntime-gpu=={project.versions['onnxruntime']}" in listed
    assert not any(line.startswith("onnxruntime==") for line in listed)


def test_the_runtime_with_cuda_is_as_old_as_the_one_without(project: Any) -> None:
    assert dependencies["pinned"]([FILES[1]])["onnxruntime-gpu"] == project.versions["onnxruntime"]


def test_the_image_that_serves_has_the_registry_and_nothing_that_trains_or_reports(project: Any) -> None:
    (call,) = re.findall(r"install cpu (serve .*)", (ROOT / "images/Dockerfile").read_text())
    names = {line.partition("==")[0] for line in project.listed("cpu", *call.split())}
    assert not names & {"torch", "monai", "kfp", "matplotlib", "nncf", "onnx", "tensorboard", "wandb"}
    assert {"onnxruntime", "openvino", "fastapi", "pynetdicom", "mlflow", "minio"} <= names


def test_no_package_has_two_versions() -> None:
    each = [dependencies["pinned"]([path]) for path in FILES]
    names = [name for pins in each for name in pins]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("installed", "loose"),
    [
        ("Torch==2.0+cpu", []),
        ("typing-extensions==4.1", []),
        ("torch==2.1", ["torch==2.1"]),
        ("six==1.17.0", ["six==1.17.0"]),
        ("torch @ file:///wheels/torch.whl", ["torch @ file:///wheels/torch.whl"]),
    ],
)
def test_what_no_file_pins_is_told(installed: str, loose: list[str], tmp_path: Path) -> None:
    (tmp_path / "pins.txt").write_text("# six==1.17.0\ntorch==2.0\ntyping_extensions==4.1\n")
    assert dependencies["unpinned"]([installed], [tmp_path / "pins.txt"]) == loose
