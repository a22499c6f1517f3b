"""The ``segline`` command, as a user types it."""

import json
from pathlib import Path

import numpy as np
import pytest

from segline.backends import BACKENDS
from segline.imaging.files import read_volume, write_volume
from segline.imaging.volume import Volume

from ..command import segline
from ..small_disk import small_disk

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def package(finished: Path) -> Path:
    """The model package of a finished run."""
    return (finished / "runs/latest/model").resolve()


def refused(*arguments: str | Path) -> str:
    """The one line with which a command ends; nothing else is printed."""
    done = segline(*arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    return done.stderr


REQUIRED = ("pytorch", "onnxruntime", "openvino")


@pytest.mark.parametrize("backend", [name for name in BACKENDS if name not in REQUIRED])
def test_a_backend_that_cannot_be_had_is_an_error_to_who_asks_for_it(
    backend: str, package: Path, tmp_path: Path
) -> None:
    image = tmp_path / "ct.nii"
    write_volume(image, Volume(np.full((1, 20, 20, 10), -1000, np.int16), np.diag([8.0, 8, 8, 1])))
    told = refused("predict", package, image, "-o", tmp_path / "mask.nii.gz", "--backend", backend)
    assert "no int8 graph" in told or "no bfloat16" in told or "NVIDIA GPU" in told


@pytest.mark.parametrize("backend", REQUIRED)
def test_predict_answers_on_exactly_the_grid_of_a_real_ct(
    backend: str, package: Path, shared_data: Path, tmp_path: Path
) -> None:
    image = shared_data / "Task09_SpleenMini/imagesTr/spleen_tsB.nii.gz"
    mask = tmp_path / "mask.nii.gz"
    assert segline("predict", package, image, "-o", mask, "--backend", backend).returncode == 0
    wanted, got = read_volume(image), read_volume(mask)
    assert got.array.shape == wanted.array.shape
    assert np.array_equal(got.affine, wanted.affine)
    assert got.grid.orientation == wanted.grid.orientation
    assert got.array.dtype == np.uint8


def test_predict_takes_the_folder_of_a_run(package: Path, tmp_path: Path) -> None:
    image = tmp_path / "ct.nii"
    write_volume(image, Volume(np.full((1, 20, 20, 10), -1000, np.int16), np.diag([8.0, 8, 8, 1])))
    assert segline("predict", package.parent, image, "-o", tmp_path / "mask.nii.gz").returncode == 0


def test_predict_refuses_a_plan_of_another_digest(package: Path, tmp_path: Path) -> None:
    from segline.plan import Plan

    other = Plan.read(package / "plan.json").model_copy(update={"seed": 7})
    path = tmp_path / "other.json"
    other.write(path)
    line = refused("predict", package, "ct.nii.gz", "-o", tmp_path / "m.nii.gz", "--plan", path)
    assert "other.json: plan" in line
    assert "is not the one" in line


def test_predict_refuses_a_plan_edited_by_hand(package: Path, tmp_path: Path) -> None:
    copy = tmp_path / "model"
    copy.mkdir()
    for name in ("weights.pt", "plan.json"):
        (copy / name).write_bytes((package / name).read_bytes())
    plan = json.loads((copy / "plan.json").read_text())
    plan["preprocessing"]["spacing_mm"] = [1, 1, 1]
    (copy / "plan.json").write_text(json.dumps(plan))
    assert "plan.json: its digest" in refused("predict", copy, "ct.nii.gz", "-o", tmp_path / "m.nii.gz")


def test_predict_names_a_missing_image_and_writes_nothing(package: Path, tmp_path: Path) -> None:
    mask = tmp_path / "out/mask.nii.gz"
    assert "absent.nii.gz: no such file" in refused("predict", package, "absent.nii.gz", "-o", mask)
    assert not mask.parent.exists()


def test_predict_refuses_what_is_not_a_model(tmp_path: Path) -> None:
    assert "not a model package" in refused("predict", tmp_path, "ct.nii.gz", "-o", tmp_path / "m.nii.gz")


def test_predict_takes_what_the_registry_calls_a_model(finished: Path, tmp_path: Path) -> None:
    image = tmp_path / "ct.nii"
    write_volume(image, Volume(np.full((1, 20, 20, 10), -1000, np.int16), np.diag([8.0, 8, 8, 1])))
    for number, reference in enumerate(("tiny", "tiny@champion", "tiny/1")):
        mask = tmp_path / f"mask{number}.nii.gz"
        done = segline("predict", reference, image, "-o", mask, "--store", finished / "store")
        assert done.returncode == 0, done.stderr
        assert mask.is_file()


def test_predict_refuses_a_pulled_package_of_which_a_bit_is_another(finished: Path, tmp_path: Path) -> None:
    folder, image = tmp_path / "pulled", tmp_path / "ct.nii.gz"
    assert segline("pull", "tiny", "-o", folder, "--store", finished / "store").returncode == 0
    write_volume(image, Volume(np.full((1, 20, 20, 10), -1000, np.int16), np.diag([8.0, 8, 8, 1])))
    assert segline("predict", folder, image, "-o", tmp_path / "mask.nii.gz").returncode == 0
    weights = folder / "weights.pt"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    line = refused("predict", folder, image, "-o", tmp_path / "again.nii.gz")
    assert "weights.pt is not the file that was registered; pull it again" in line
    assert not (tmp_path / "again.nii.gz").exists()


def test_a_folder_comes_before_a_registered_model_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tiny").mkdir()
    monkeypatch.chdir(tmp_path)
    assert "tiny: not a model package" in refused("predict", "tiny", "ct.nii.gz", "-o", tmp_path / "m.nii.gz")


def test_predict_says_what_a_model_may_be_called(tmp_path: Path) -> None:
    line = refused("predict", tmp_path / "absent", "ct.nii.gz", "-o", tmp_path / "m.nii.gz")
    assert "absent: neither a folder nor a reference to a registered model; give the folder of" in line


def test_a_mistyped_folder_makes_no_registry(tmp_path: Path) -> None:
    store = tmp_path / "store"
    line = refused("predict", "modle", "ct.nii.gz", "-o", tmp_path / "m.nii.gz", "--store", store)
    assert f"modle: no such folder, and no registry in {store} that may have modle@champion; name the" in line
    assert not store.exists()


def test_predict_refuses_an_unknown_backend(package: Path, shared_data: Path, tmp_path: Path) -> None:
    image = shared_data / "Task09_SpleenMini/imagesTr/spleen_tsA.nii.gz"
    line = refused("predict", package, image, "-o", tmp_path / "m.nii.gz", "--backend", "caffe")
    assert f"backend 'caffe': unknown; there are {', '.join(BACKENDS)}" in line


def test_a_full_disk_is_one_line_and_leaves_no_mask(package: Path, shared_data: Path, tmp_path: Path) -> None:
    image = shared_data / "Task09_SpleenMini/imagesTr/spleen_tsA.nii.gz"
    with small_disk(tmp_path / "small", 4096) as disk:
        (disk / "filler").write_bytes(bytes(4096))
        line = refused("predict", package, image, "-o", disk / "mask.nii.gz")
        assert "no space left on the device" in line
        assert [path.name for path in disk.iterdir()] == ["filler"]


def test_check_gives_a_reason_for_each_no() -> None:
    done = segline("check")
    assert done.returncode == 0
    for line in done.stdout.splitlines():
        answer, _, detail = line.partition("  ")
        assert answer.strip() in ("yes", "no")
        assert len(detail.split()) > 1, line


def test_the_stages_run_one_by_one(tmp_path: Path, tiny_task: Path) -> None:
    places = ["--run", tmp_path / "run", "--store", tmp_path / "store"]
    assert segline("download", *places, "--task", tiny_task).returncode == 0
    planned = segline("plan", *places)
    assert planned.returncode == 0
    assert "[plan] images at 8x8x8 mm, axis by axis: " in planned.stdout
    assert "[plan] patch 32x32x16, divisible by the network's stride 2x2x2; suggested" in planned.stdout
    assert segline("preprocess", *places).returncode == 0
    found = segline("find-lr", "--run", tmp_path / "run").stdout.splitlines()
    assert found[0] == "learning rate  loss" and found[-1].startswith("suggestion: 0.0")
    for stage in ("train", "export_onnx", "build_tensorrt"):
        assert segline(stage, *places).returncode == 0, stage
    for backend in BACKENDS:
        assert segline("evaluate", *places, "--backend", backend).returncode == 0
    for stage in ("compare", "benchmark", "report"):
        assert segline(stage, *places).returncode == 0, stage
    assert json.loads((tmp_path / "run/summary.json").read_text())["status"] == "succeeded"


def test_a_stage_whose_input_is_missing_says_which_comes_first(tmp_path: Path) -> None:
    done = segline("plan", "--run", tmp_path / "nothing")
    assert done.returncode != 0
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


class TestWhereAMaskMayGo:
    """Found out before anything is computed; the image stays as it was."""

    @pytest.fixture
    def image(self, tmp_path: Path) -> Path:
        path = tmp_path / "ct.nii.gz"
        write_volume(path, Volume(np.full((1, 20, 20, 10), -1000, np.int16), np.diag([8.0, 8, 8, 1])))
        return path

    def told(self, package: Path, image: Path, output: Path) -> str:
        before, there = image.read_bytes(), sorted(image.parent.rglob("*"))
        line = refused("predict", package, image, "-o", output)
        assert image.read_bytes() == before
        assert sorted(image.parent.rglob("*")) == there
        return line

    def test_not_over_the_image(self, package: Path, image: Path) -> None:
        assert "is the image itself; write the mask to another file" in self.told(package, image, image)

    def test_not_over_the_image_by_another_name(self, package: Path, image: Path) -> None:
        link = image.parent / "link.nii.gz"
        link.symlink_to(image)
        assert "is the image itself" in self.told(package, image, link)

    @pytest.mark.parametrize("name", ["mask", "mask.mha", "mask.nii.GZ"])
    def test_not_as_another_format(self, package: Path, image: Path, name: str) -> None:
        line = self.told(package, image, image.parent / name)
        assert "a mask is written to .nii.gz or .nii or .nrrd or .dcm; name it so" in line

    def test_not_in_place_of_a_folder(self, package: Path, image: Path) -> None:
        (image.parent / "masks.nii").mkdir()
        line = self.told(package, image, image.parent / "masks.nii")
        assert "is a folder; name a file in it" in line

    def test_not_below_a_file(self, package: Path, image: Path) -> None:
        (image.parent / "notes").write_text("no folder")
        line = self.told(package, image, image.parent / "notes/mask.nii.gz")
        assert "notes: is a file, and no folder to write mask.nii.gz into" in line
