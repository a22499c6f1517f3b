"""What commands import, by count and by name, whatever a clock says of it on a busy machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from segline.data.phantom.scanner import phantom_case
from segline.imaging.files import write_volume
from segline.model.package import Model

NAMES = "*(name for name in sys.modules if '.' not in name), len(sys.modules)"
COMMAND = "from segline.cli.__main__ import start; sys.exit(start())"


def imported(code: str, *arguments: str, status: int = 0) -> tuple[set[str], int]:
    """Packages and number of modules that a process has when it ends, with that status."""
    script = f"import atexit, sys\natexit.register(lambda: print({NAMES}, file=sys.stderr))\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env={name: value for name, value in os.environ.items() if name != "SEGLINE_LEAN"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == status, done.stderr
    *packages, count = done.stderr.splitlines()[-1].split()
    return set(packages), int(count)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_predict_imports_a_runtime_and_little_else(tiny_model: Model, tmp_path: Path, backend: str) -> None:
    write_volume(tmp_path / "ct.nii.gz", phantom_case(7)[0])
    given = [str(tiny_model.folder), str(tmp_path / "ct.nii.gz"), "-o", str(tmp_path / "mask.nii.gz")]
    packages, count = imported(COMMAND, "predict", *given, "--backend", backend)
    assert not packages & {
        "torch",
        "monai",
        "mlflow",
        "pandas",
        "pydicom",
        "requests",
        "sklearn",
        "matplotlib",
    }
    assert (tmp_path / "mask.nii.gz").is_file() and count < 900


def test_whatever_answers_on_a_cpu_does_without_torch(tiny_model: Model, tmp_path: Path) -> None:
    """Hidden, as if it were not installed: a mask with the same bytes, and one line by whom it is needed."""
    write_volume(tmp_path / "ct.nii.gz", phantom_case(7)[0])
    model, ct, mask = str(tiny_model.folder), str(tmp_path / "ct.nii.gz"), tmp_path / "mask.nii.gz"
    hidden = f"sys.modules.update(dict.fromkeys(('torch', 'monai', 'scipy')))\n{COMMAND}"
    for code in (COMMAND, hidden):
        imported(code, "predict", model, ct, "-o", str(mask))
        mask.rename(tmp_path / f"{len(code)}.nii.gz")
    first, second = (tmp_path / f"{len(code)}.nii.gz" for code in (COMMAND, hidden))
    assert first.read_bytes() == second.read_bytes()
    script = f"import sys\n{hidden}"
    given = ["predict", model, ct, "-o", str(mask), "--backend", "pytorch"]
    done = subprocess.run([sys.executable, "-c", script, *given], capture_output=True, text=True)
    assert done.returncode == 2 and not mask.exists()
    assert "pytorch: torch is not installed; pip install 'segline[train]'" in done.stderr


def test_stages_that_train_and_export_nothing_import_no_torch() -> None:
    names = "download intake plan preprocess evaluate compare benchmark register report start_run pool"
    packages, _ = imported(f"from segline import stages\n[getattr(stages, n) for n in '{names}'.split()]")
    assert not packages & {"torch", "monai", "mlflow"}


def test_models_and_pull_import_no_network() -> None:
    code = "from segline.registry import pulling, versions\nfrom mlflow import MlflowClient"
    packages, _ = imported(code)
    assert "mlflow" in packages and not packages & {"torch", "monai", "nibabel", "onnx", "openvino"}


def test_what_is_not_predicted_for_is_told_without_torch(tmp_path: Path) -> None:
    given = ["spleen", "CT.nii.gz", "-o", "M.nii.gz", "--store", str(tmp_path)]
    packages, count = imported(COMMAND, "predict", *given, status=2)
    assert "torch" not in packages and count < 900
