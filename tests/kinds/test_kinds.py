"""Kinds of task: one outside the library goes through the same stages, pipeline and commands."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from segline import kinds
from segline.common.errors import SeglineError
from segline.data.manifest import Manifest
from segline.data.phantom.scanner import write_phantom
from segline.data.verification import verify
from segline.evaluation.figures import Figure, declared
from segline.kinds import KINDS, kind_of
from tests.command import python
from tests.kinds import volumetry
from tests.tiny_task import ROOT, run_command, run_task

TASK = {
    "name": "volumetry",
    "kind": "volumetry",
    "description": "how large the organ is",
    "plan": {
        "preprocessing": {
            "spacing_mm": [16, 16, 16],
            "intensity": [{"rule": "window", "window": [-57, 164]}],
        },
        "network": {"channels": [4, 8], "strides": [[2, 2, 2]]},
        "training": {"patch_size": [32, 32, 32], "batch_size": 2, "epochs": 60, "validations": 3},
        "gate": {"floor": 0.4},
    },
}
Segline = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phantoms of which the organ's volume is told, and no label map is there."""
    folder = tmp_path_factory.mktemp("volumes") / "Volumes"
    write_phantom(folder, cases=8)
    ml = {
        case.name: case.label_voxels[1] * case.spacing_mm[0] * case.spacing_mm[1] * case.spacing_mm[2] / 1000
        for case in verify(folder).cases
    }
    index = json.loads((folder / "dataset.json").read_text())
    for entry in index["training"]:
        entry["label"] = ml[Path(entry["image"]).name.removesuffix(".nii.gz")]
    (folder / "dataset.json").write_text(json.dumps(index))
    for label in (folder / "labelsTr").iterdir():
        label.unlink()
    return folder


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for ``PYTHONPATH`` where the kind is as a package that was installed."""
    folder = tmp_path_factory.mktemp("installed")
    package = folder / "volumetry-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: volumetry\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[segline.kinds]\nvolumetry = tests.kinds.volumetry\n")
    return folder


@pytest.fixture(scope="module")
def segline(installed: Path) -> Segline:
    """Run a command line with the kind installed."""

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(installed)}
        return python(*command[1:], cwd=ROOT, environment=environment, timeout_s=600)

    return run


@pytest.fixture(scope="module")
def done(segline: Segline, volumes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the task was run through the whole pipeline: ``runs`` and ``store``."""
    folder = tmp_path_factory.mktemp("done")
    task = folder / "volumetry.yaml"
    task.write_text(yaml.safe_dump({**TASK, "source": str(volumes)}))
    ended = segline(*run_command(folder, task))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder


def test_another_kind_goes_through_the_pipeline_to_a_champion(done: Path) -> None:
    run = done / "runs" / "latest"
    summary = json.loads((run / "summary.json").read_text())
    assert summary["status"] == "succeeded"
    assert summary["metrics"].keys() == {"pytorch", "onnxruntime", "openvino"}
    assert summary["metrics"]["pytorch"]["overall"]["closeness"]["mean"] > 0.4
    stages = {stage["name"]: stage["reason"] for stage in summary["stages"]}
    assert stages["register"].startswith("volumetry/1 promoted")
    assert "validation Closeness" in stages["train"]


def test_its_backends_are_compared_by_its_own_yardstick(done: Path) -> None:
    gate = json.loads((done / "runs/latest/gate.json").read_text())
    assert gate["passed"] and (gate["decides"], gate["part"]) == ("closeness", "volume")
    assert {compared["backend"] for compared in gate["comparisons"]} == {"onnxruntime", "openvino"}
    assert all(compared["differences"].keys() == {"closeness"} for compared in gate["comparisons"])


def test_its_report_speaks_of_nothing_else(done: Path) -> None:
    run = done / "runs/latest"
    page = (run / "report.html").read_text()
    shown = re.sub(r"<style>.*?</style>|<script>.*?</script>", "", page, flags=re.S)
    assert "How near" in shown and "against the volumes that the data set tells" in shown
    assert "Volume" in shown and "Closeness" in shown
    words = re.compile(r"\b(Dice|NSD|mask|masks|voxels? labelled)\b")
    assert words.findall(re.sub(r"<[^>]+>", " ", shown)) == []
    for name in ("summary.md", "model_card.md"):
        assert words.findall((run / name).read_text()) == []


def test_its_champion_answers_by_name(done: Path, segline: Segline, volumes: Path, tmp_path: Path) -> None:
    answer, store = tmp_path / "answer.json", str(done / "store")
    image = str(next(iter(sorted((volumes / "imagesTr").iterdir()))))
    command = [sys.executable, "-m", "segline.cli"]
    ended = segline(*command, "predict", "volumetry", image, "-o", str(answer), "--store", store)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(answer.read_text())["ml"]
    assert ended.stdout == f"{answer}: {told:.1f} ml\n" and told > 0
    refused = segline(*command, "bundle", "volumetry", "-o", str(tmp_path / "bundle"), "--store", store)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "no bundle of a volumetry" in refused.stderr
    without = python(*command[1:], "predict", "volumetry", image, "-o", answer, "--store", store, cwd=ROOT)
    assert without.returncode == 2
    assert without.stderr == (
        "segline predict: kind 'volumetry': unknown; there are segmentation, classification, "
        "or install the package that has it\n"
    )


def test_a_task_of_no_known_kind_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    task = tmp_path / "task.yaml"
    task.write_text("name: a\nkind: detection\nsource: phantom:3\n")
    ended = run_task(tmp_path, task)
    assert ended.returncode == 2
    assert ended.stderr.startswith("segline: kind 'detection': unknown; there are segmentation")
    assert ended.stderr.count("\n") == 1 and not list((tmp_path / "runs").glob("*/run.json"))


def test_a_label_that_is_not_of_the_kind_is_refused(volumes: Path, phantoms: Manifest) -> None:
    with pytest.raises(
        SeglineError, match=r"the label of phantom_000 is [\d.]+; name the file of its label map"
    ):
        verify(volumes)
    with pytest.raises(SeglineError, match="give millilitres"):
        verify(Path(phantoms.root), targets=volumetry.KIND.targets)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_a_value_that_is_no_number_is_refused(value: str, tmp_path: Path) -> None:
    entry = f'{{"image": "imagesTr/a.nii.gz", "label": {value}}}'
    labels = '"labels": {"0": "background", "1": "spleen"}, "modality": {"0": "CT"}'
    (tmp_path / "dataset.json").write_text(f'{{{labels}, "training": [{entry}]}}')
    with pytest.raises(SeglineError, match=r"training entry 1 .* has the label (nan|-?inf); give a number"):
        verify(tmp_path, targets=volumetry.KIND.targets)


def test_only_stages_serving_and_the_command_line_look_a_kind_up() -> None:
    library = Path(kinds.__file__).parents[1]
    asking = {
        path.relative_to(library).parts[0] for path in library.rglob("*.py") if "kind_of(" in path.read_text()
    }
    assert asking == {"kinds", "stages", "serving", "cli"}
    compared = re.compile(r"(?<!dtype\.)kind (==|!=|in) ")
    comparing = [path.name for path in library.rglob("*.py") if compared.search(path.read_text())]
    assert comparing == ["plan.py"], "which leaves the first kind out of the digest"


def test_a_figure_has_one_meaning() -> None:
    with pytest.raises(ValueError, match="dice: there is another"):
        declared(Figure("dice", "Dice", "a game", 1, "lower"))


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_the_library_can_be_had(name: str) -> None:
    assert kind_of(name).yardstick.figures[0].direction == "higher"
