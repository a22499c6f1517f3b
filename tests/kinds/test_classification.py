"""Classification: from a folder a class to probabilities, by the same stages, backends and commands."""

import csv
import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml

from segline.backends import open_backend
from segline.common.errors import SeglineError
from segline.data.cases.building import preprocess
from segline.data.cases.index import CaseIndex
from segline.data.fingerprint import take_fingerprint
from segline.data.manifest import Manifest
from segline.data.targets.classes import CLASSES as TARGETS
from segline.data.verification import verify
from segline.evaluation.scoring import evaluate
from segline.export.int8 import quantize
from segline.export.monai_bundle.classes import TABLE
from segline.export.onnx import export_onnx
from segline.imaging.files import read_volume
from segline.kinds import kind_of
from segline.model.history import History
from segline.model.package import Model
from segline.plan import Plan, Task
from segline.storage.depot import Depot
from segline.tracking.curves import values_at
from segline.training.shipping.outcome import ship
from segline.training.state import Checkpoint
from segline.training.trainer import Trainer
from tests.command import segline
from tests.kinds.class_folders import CLASSES, write_pictures, write_volumes
from tests.tiny_task import run_task

KIND = kind_of("classification")
SMALL = {
    "network": {"name": "resnet10"},
    "training": {"epochs": 20, "batch_size": 12, "validations": 3},
    "export": {"int8_patches": 8},
}


def small_task(**parts: object) -> Task:
    told = {"name": "shapes", "kind": "classification", "source": "", "plan": {**SMALL, **parts}}
    return Task.parse(told, "task")


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return verify(write_pictures(tmp_path_factory.mktemp("shapes") / "Shapes", each=20), targets=TARGETS)


@pytest.fixture(scope="module")
def plan(shapes: Manifest) -> Plan:
    return KIND.propose(shapes, take_fingerprint(shapes), small_task())


@pytest.fixture(scope="module")
def index(shapes: Manifest, plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> CaseIndex:
    depot = Depot.here(tmp_path_factory.mktemp("store"))
    computed = sum(new for _, new in preprocess(shapes, plan, depot, 2, targets=TARGETS))
    return CaseIndex.of(shapes, plan, depot, computed)


def trainer(plan: Plan, index: CaseIndex, folder: Path) -> Trainer:
    cases = index.open(plan.split.train), index.open(plan.split.val)
    return Trainer(plan, *cases, Checkpoint(folder / "checkpoint.pt", "key"), objective=KIND.objective)


@pytest.fixture(scope="module")
def model(plan: Plan, index: CaseIndex, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Trained and exported."""
    folder = tmp_path_factory.mktemp("trained")
    trained = trainer(plan, index, folder)
    history = trained.run()
    train, val = index.open(plan.split.train), index.open(plan.split.val)
    shipped = ship(plan, [trained.best_weights], [history], train, val, trained.device, KIND.objective)
    model = Model.write(folder / "model", shipped.plan, shipped.weights, shipped.history)
    export_onnx(model, val, objective=KIND.objective)
    quantize(model, train, KIND.objective)
    return model


def test_a_plan_of_pictures_is_of_two_dimensions_and_holds_them_whole(plan: Plan) -> None:
    assert plan.network.answers == "classes" and plan.network.model_dump()["spatial_dims"] == 2
    assert plan.training.patch_size == plan.inference.largest_window == (64, 64, 1)
    assert plan.labels == dict(enumerate(CLASSES)) and plan.channels == ("grey",)


def test_every_part_of_the_split_has_its_share_of_each_class(plan: Plan) -> None:
    for part, share in (("train", 14), ("val", 2), ("test", 4)):
        names = getattr(plan.split, part)
        assert [sum(name.startswith(label) for name in names) for label in CLASSES] == [share] * 3


def test_folds_have_their_share_too(shapes: Manifest) -> None:
    task = small_task(split={"folds": 4, "fold": 1})
    split = KIND.propose(shapes, take_fingerprint(shapes), task).split
    assert [sum(name.startswith(label) for name in split.test) for label in CLASSES] == [5] * 3


@pytest.mark.parametrize("backend", ["pytorch", "onnxruntime", "openvino", "openvino_int8"])
def test_every_backend_finds_the_classes(
    model: Model, shapes: Manifest, backend: str, tmp_path: Path
) -> None:
    done = evaluate(model, open_backend(backend, model, "cpu"), shapes, tmp_path, by=KIND.yardstick)
    assert done.overall["accuracy"].mean is not None and done.overall["accuracy"].mean >= 0.9
    assert done.classes is not None and sum(map(sum, done.classes.confusion)) == 12
    answer = json.loads((tmp_path / done.cases[0].answer).read_text())
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert answer["class"] == max(answer["probabilities"], key=answer["probabilities"].get)


def test_validation_tells_the_recall_of_each_class(model: Model) -> None:
    validated = [point for point in History.read(model.history).points if point.scores]
    for point in validated:
        assert [*point.details] == [f"recall/{name}" for name in CLASSES]
        recalls = point.details.values()
        assert point.score == pytest.approx(sum(recalls) / len(recalls)), "two cases of each class"
    shown = {each.name for each in values_at(validated[-1], datetime.now(UTC))}
    assert {f"val/recall/{name}" for name in CLASSES} <= shown and "val/accuracy" in shown


def test_a_class_without_a_validation_case_has_no_recall(
    plan: Plan, index: CaseIndex, tmp_path: Path
) -> None:
    train, val = index.open(plan.split.train), index.open(plan.split.val[:2])
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt", "key")
    short = plan.model_copy(update={"training": plan.training.model_copy(update={"epochs": 1})})
    found = Trainer(short, train, val, checkpoint, objective=KIND.objective).run()
    details = next(point.details for point in found.points if point.scores)
    assert {*details} == {f"recall/{name.rpartition('_')[0]}" for name in plan.split.val[:2]}


def test_a_training_that_was_killed_comes_to_the_same_weights(
    plan: Plan, index: CaseIndex, tmp_path: Path
) -> None:
    short = plan.model_copy(update={"training": plan.training.model_copy(update={"epochs": 2})})
    unbroken = trainer(short, index, tmp_path / "a")
    unbroken.run()
    broken = trainer(short, index, tmp_path / "b")
    for _ in range(5):
        broken.train_step(broken.clock.learning_rate(0.1))
    broken = trainer(short, index, tmp_path / "b")  # as if nothing was saved
    broken.run()
    assert broken.best_weights.keys() == unbroken.best_weights.keys()
    assert all(torch.equal(broken.best_weights[name], value) for name, value in unbroken.best_weights.items())


@pytest.mark.parametrize("table", ["answers.csv", "answers.json"])
def test_a_folder_of_pictures_becomes_a_table(
    model: Model, shapes: Manifest, table: str, tmp_path: Path
) -> None:
    told = segline("predict", model.folder, Path(shapes.root) / "disc", "-o", tmp_path / table)
    assert (told.returncode, told.stderr) == (0, "")
    if table.endswith(".csv"):
        rows = list(csv.DictReader((tmp_path / table).open()))
        found = {row["image"]: row["class"] for row in rows}
    else:
        found = {name: each["class"] for name, each in json.loads((tmp_path / table).read_text()).items()}
    assert len(found) == 20 and next(iter(found)) == "000.png"
    assert list(found.values()).count("disc") >= 18


def test_folders_of_pictures_are_answered_into_a_folder_with_a_table(
    model: Model, shapes: Manifest, tmp_path: Path
) -> None:
    told = segline("predict", model.folder, Path(shapes.root), "-o", tmp_path / "answers")
    assert told.returncode == 0, told.stderr
    rows = {row["image"]: row for row in csv.DictReader((tmp_path / "answers/volumes.csv").open())}
    assert len(rows) == 20 * len(list(Path(shapes.root).iterdir()))
    for image in ("disc/000.png", "ring/001.png"):
        answer = json.loads((tmp_path / "answers" / rows[image]["answer"]).read_text())
        assert rows[image]["class"] == answer["class"]
        assert {name: float(rows[image][name]) for name in answer["probabilities"]} == answer["probabilities"]


def test_one_picture_is_answered_in_words_and_json(model: Model, shapes: Manifest, tmp_path: Path) -> None:
    picture = Path(shapes.root) / "ring/001.png"
    told = segline("predict", model.folder, picture, "-o", tmp_path / "a.json")
    assert re.fullmatch(rf"{tmp_path}/a.json: \w+, probability [01]\.\d{{4}}\n", told.stdout), told
    told = segline("predict", model.folder, picture, "-o", tmp_path / "a.json", "--json")
    assert json.loads(told.stdout)["probability"] <= 1


def test_a_picture_of_another_size_or_colour(model: Model, tmp_path: Path) -> None:
    large = write_pictures(tmp_path, each=1, size=100) / "disc/000.png"
    backend = open_backend("pytorch", model, "cpu")
    answer = KIND.answers.predictor(model.plan, backend)(read_volume(large))
    assert sum(answer.probabilities.values()) == pytest.approx(1)
    from PIL import Image

    Image.open(large).convert("RGB").save(tmp_path / "rgb.png")
    with pytest.raises(SeglineError, match="channel"):
        KIND.answers.predictor(model.plan, backend)(read_volume(tmp_path / "rgb.png"))


def test_monai_gives_the_same_probabilities_by_its_own_command(
    model: Model, shapes: Manifest, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for name in CLASSES:
        (images / f"{name}.png").write_bytes((Path(shapes.root) / name / "000.png").read_bytes())
    flipped = read_volume(images / "ring.png").array[0, ::-1].astype(np.float32)
    nib.save(nib.Nifti1Image(flipped, np.diag([-1.0, 1, 1, 1])), images / "slice.nii.gz")
    KIND.bundle(model, tmp_path / "bundle")
    configs = tmp_path / "bundle/configs"
    command = ["run", "--bundle_root", tmp_path / "bundle", "--config_file", configs / "inference.json"]
    more = ["--meta_file", configs / "metadata.json", "--dataset_dir", images, "--output_dir", tmp_path]
    done = subprocess.run(
        [sys.executable, "-m", "monai.bundle", *map(str, [*command, *more])], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {
        Path(name).name: [float(share) for share in shares]
        for name, *shares in csv.reader((tmp_path / TABLE).open())
    }
    predictor = KIND.answers.predictor(model.plan, open_backend("pytorch", model, "cpu"))
    assert len(rows) == 4
    for name, shares in rows.items():
        ours = list(predictor(read_volume(images / name)).probabilities.values())
        assert shares == pytest.approx(ours, abs=1e-4), name


def test_what_is_no_task_of_classes_is_refused(shapes: Manifest, phantoms: Manifest) -> None:
    with pytest.raises(SeglineError, match=r"unet answers of every voxel.* choose of densenet121"):
        KIND.propose(shapes, take_fingerprint(shapes), small_task(network={"name": "unet"}))
    with pytest.raises(SeglineError, match="the label of phantom_000 is a file; give the number"):
        verify(Path(phantoms.root), targets=TARGETS)
    with pytest.raises(SeglineError, match="three spatial axes"):
        verify(Path(shapes.root))


@pytest.mark.slow
def test_volumes_go_through_the_whole_pipeline_to_a_champion(tmp_path: Path) -> None:
    volumes = write_volumes(tmp_path / "Bodies", each=12)
    task = tmp_path / "bodies.yaml"
    gate = {"floor": 0.7}
    training = {"epochs": 16, "batch_size": 4, "validations": 2}
    plan = {"network": SMALL["network"], "training": training, "gate": gate}
    task.write_text(
        yaml.safe_dump({"name": "bodies", "kind": "classification", "source": str(volumes), "plan": plan})
    )
    ended = run_task(tmp_path, task)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    run = tmp_path / "runs/latest"
    summary = json.loads((run / "summary.json").read_text())
    assert summary["status"] == "succeeded"
    assert json.loads((run / "plan.json").read_text())["network"]["spatial_dims"] == 3
    assert summary["metrics"].keys() == {"pytorch", "onnxruntime", "openvino"}
    shown = re.sub(
        r"<[^>]+>",
        " ",
        re.sub(r"<style>.*?</style>|<script>.*?</script>", "", (run / "report.html").read_text(), flags=re.S),
    )
    assert "Balanced accuracy" in shown and "Are the probabilities true?" in shown
    words = re.compile(r"\b(Dice|NSD|mask|masks)\b")
    for text in (shown, (run / "model_card.md").read_text(), (run / "summary.md").read_text()):
        assert words.findall(text) == []
    answer = tmp_path / "answer.json"
    told = segline(
        "predict", "bodies", volumes / "ball/003.nii.gz", "-o", answer, "--store", tmp_path / "store"
    )
    assert told.returncode == 0, told.stderr
    assert json.loads(answer.read_text())["class"] in ("ball", "cross")
