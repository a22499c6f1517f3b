"""Runs and models in MLflow: the same for a SQLite file and for a real server on the loopback interface."""

import importlib.metadata
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import segline
from segline.backends import open_backend
from segline.common.digests import sha256_of_file
from segline.common.documents.names import PACKING_LIST
from segline.evaluation.estimates import Estimate
from segline.evaluation.records import Evaluation
from segline.imaging.files import write_volume
from segline.inference.predictor import Predictor
from segline.registry.logged_models import log_model
from segline.registry.packing import require_whole
from segline.registry.pulling import pull
from segline.registry.pyfunc import requirements
from segline.registry.references import MODEL_PREFIX, Reference
from segline.registry.registering import register
from segline.registry.reigns import promote, reject, rollback
from segline.registry.versions import Version, as_table, resolve, versions
from segline.tracking.mlflow_connection import Registry

from ..mlflow_runs import BACKENDS, Runs, refusal, track
from ..mlflow_server import SILENT


@pytest.fixture
def three(runs: Runs, registry: Registry, request: pytest.FixtureRequest) -> list[Version]:
    """Three versions of a task of this test's own."""
    task = request.node.originalname.replace("_", "-")
    return [register(runs.make(f"run-{number}", task), registry) for number in (1, 2, 3)]


def at(version: Version) -> Reference:
    return Reference(version.task, number=version.number)


def aliases(registry: Registry, task: str) -> dict[str, int]:
    return {alias: version.number for version in versions(registry, task) for alias in version.aliases}


def test_no_case_is_named_in_what_is_registered(runs: Runs, either: Registry, tmp_path: Path) -> None:
    version = register(runs.make("nameless", "nameless"), either)
    model = pull(either, version.reference, tmp_path / "model")
    texts = {path.name: path.read_bytes() for path in model.folder.rglob("*") if path.is_file()}
    assert {"plan.json", "package.json", "gate.json", "history.json"} <= texts.keys()
    assert [name for name, text in texts.items() if b"phantom_0" in text] == []
    assert model.plan.split.test == tuple(
        runs.manifest.case(name).short_digest for name in runs.model.plan.split.test
    )
    assert model.plan.named(runs.manifest.pseudonyms) == runs.model.plan


def test_a_registration_that_was_killed_is_finished_by_the_next(
    runs: Runs, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = runs.make("killed")
    with monkeypatch.context() as patch:
        patch.setattr("segline.registry.logged_models.save_pyfunc", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            register(run, registry)
    tracked = track(run, registry)
    logged = log_model(run, registry, tracked)
    assert logged
    assert registry.client.get_logged_model(logged.model_id).status == "READY"
    same = registry.client.search_runs([tracked.experiment_id], "attributes.run_name = 'killed'")
    assert [(each.info.run_id, each.info.status) for each in same] == [(tracked.run_id, "FINISHED")]


def test_a_blocked_run_is_tracked_but_not_registered(runs: Runs, registry: Registry) -> None:
    run = runs.make("blocked", "blocked", floor=1.0)
    assert "the gate blocked this model, pytorch: mean test Dice" in refusal(lambda: register(run, registry))
    stored = registry.client.get_run(track(run, registry).run_id)
    assert stored.data.tags["segline.verdict"] == "blocked"
    assert versions(registry, "blocked") == []


def test_a_run_that_was_not_compared_is_not_registered(runs: Runs, registry: Registry) -> None:
    run = runs.make("early")
    (run.folder / "gate.json").unlink()
    assert refusal(lambda: register(run, registry)).endswith("no verdict of the gate; run compare first")


def test_a_run_without_a_model_is_tracked(runs: Runs, registry: Registry) -> None:
    run = runs.make("failed")
    shutil.rmtree(run.folder / "model")
    (run.folder / "gate.json").unlink()
    assert log_model(run, registry, track(run, registry)) is None


def test_a_new_version_is_the_challenger_and_knows_what_it_came_from(runs: Runs, either: Registry) -> None:
    run = runs.make("first", "challenged")
    version = register(run, either)
    assert (version.name, version.aliases, version.run) == ("challenged/1", ("challenger",), "first")
    assert version.dataset_digest == runs.manifest.digest
    assert version.plan_digest == runs.model.plan.digest
    assert version.backends == BACKENDS
    assert version.score == run.evaluations[1].overall["dice"]


def test_the_score_of_a_version_of_before_is_still_read() -> None:
    from mlflow.entities.model_registry import ModelVersion, ModelVersionTag

    dice = Estimate.of([0.75, 0.5])
    tags = [ModelVersionTag("segline.dice", dice.model_dump_json())]
    stored = ModelVersion(f"{MODEL_PREFIX}spleen", "1", creation_timestamp=0, tags=tags)
    assert Version.of(stored, ()).score == dice


def test_a_package_is_registered_once(runs: Runs, either: Registry) -> None:
    run = runs.make("once", "once")
    assert register(run, either) == register(run, either)
    promote(either, Reference("once", number=1), ["the first"])
    assert register(run, either).aliases == ("champion",)


def test_promotion_moves_the_champion_and_remembers_the_one_before(
    three: list[Version], registry: Registry
) -> None:
    for version in three[1:]:
        promote(registry, at(version), ["better by 0.01", "no case worse"])
    assert aliases(registry, three[0].task) == {"champion": 3, "previous_champion": 2}
    promoted = resolve(registry, Reference(three[0].task, alias="champion"))
    assert (promoted.decision, promoted.replaced) == ("promoted", 2)
    assert promoted.reasons == ("better by 0.01", "no case worse")


def test_a_rejected_version_stays_challenger_with_the_reasons(
    three: list[Version], registry: Registry
) -> None:
    promote(registry, at(three[0]), ["the first"])
    rejected = reject(registry, at(three[2]), ["case c0ffee fell", "not better"])
    assert (rejected.decision, rejected.reasons) == ("rejected", ("case c0ffee fell", "not better"))
    assert aliases(registry, three[0].task) == {"champion": 1, "challenger": 3}


def test_the_champion_is_not_rejected(three: list[Version], registry: Registry) -> None:
    promote(registry, at(three[0]), ["the first"])
    assert "is the champion; roll back instead" in refusal(lambda: reject(registry, at(three[0]), ["no"]))


def test_a_rollback_goes_one_champion_back_and_down_to_the_first(
    three: list[Version], registry: Registry
) -> None:
    task = three[0].task
    for version in three:
        promote(registry, at(version), ["better"])
    assert rollback(registry, task).number == 2
    assert aliases(registry, task) == {"champion": 2, "previous_champion": 1}
    assert resolve(registry, at(three[2])).decision == "rolled back"
    assert rollback(registry, task).number == 1
    assert aliases(registry, task) == {"champion": 1}
    assert "is the first champion; there is nothing to roll back to" in refusal(
        lambda: rollback(registry, task)
    )


def test_a_pulled_package_is_the_registered_one(runs: Runs, either: Registry, tmp_path: Path) -> None:
    version = register(runs.make("pulled", "pulled"), either)
    model = pull(either, Reference.parse("pulled@challenger"), tmp_path / "model")
    assert model.sidecar() == runs.model.sidecar()
    assert sha256_of_file(model.weights) == sha256_of_file(runs.model.weights)
    assert sha256_of_file(model.folder / PACKING_LIST) == version.package_digest
    evaluation = Evaluation.read(model.folder / "evaluations" / "pytorch.json")
    assert [case.case for case in evaluation.cases] == list(model.plan.split.test)


def test_a_pulled_package_is_not_fetched_again_and_must_be_whole(
    runs: Runs, registry: Registry, tmp_path: Path
) -> None:
    register(runs.make("kept", "kept"), registry)
    folder = pull(registry, Reference.parse("kept/1"), tmp_path / "model").folder
    before = (folder / "weights.pt").stat().st_mtime_ns
    pull(registry, Reference.parse("kept/1"), folder)
    assert (folder / "weights.pt").stat().st_mtime_ns == before
    (folder / "weights.pt").write_bytes(b"other")
    line = refusal(lambda: pull(registry, Reference.parse("kept/1"), folder))
    assert "weights.pt is not the file that was registered" in line


def test_a_package_changed_in_the_registry_is_refused(runs: Runs, file: str, tmp_path: Path) -> None:
    version = register(runs.make("changed", "changed"), Registry(file))
    artifacts = Path(file.removeprefix("sqlite:///")).parent / "artifacts"
    (listed,) = (p for p in artifacts.rglob(PACKING_LIST) if sha256_of_file(p) == version.package_digest)
    (listed.parent / "model.onnx").write_bytes(b"other")
    line = refusal(lambda: pull(Registry(file), at(version), tmp_path / "model"))
    assert line.startswith("changed/1: model.onnx is not the file that was registered")
    assert not (tmp_path / "model").exists()


def test_a_folder_that_holds_something_else_is_left_alone(
    runs: Runs, registry: Registry, tmp_path: Path
) -> None:
    register(runs.make("elsewhere", "elsewhere"), registry)
    (tmp_path / "notes.txt").touch()
    line = refusal(lambda: pull(registry, Reference.parse("elsewhere/1"), tmp_path))
    assert "holds something else than elsewhere/1; give a new folder" in line


def test_a_package_without_a_file_is_not_whole(runs: Runs, registry: Registry, tmp_path: Path) -> None:
    version = register(runs.make("part", "part"), registry)
    folder = pull(registry, at(version), tmp_path / "model").folder
    (folder / "gate.json").unlink()
    line = refusal(lambda: require_whole(folder, version.package_digest, "part/1"))
    assert line == "part/1: gate.json is missing from the package; pull it again"


def test_a_server_moves_the_aliases_too(runs: Runs, server: str) -> None:
    for number in (1, 2):
        promote(
            Registry(server), at(register(runs.make(f"run-{number}", "moved"), Registry(server))), ["better"]
        )
    assert aliases(Registry(server), "moved") == {"champion": 2, "previous_champion": 1}
    rollback(Registry(server), "moved")
    assert aliases(Registry(server), "moved") == {"champion": 1}


def test_what_is_not_there_is_told_with_what_is(runs: Runs, either: Registry) -> None:
    register(runs.make("there", "there"), either)
    absent = refusal(lambda: resolve(either, Reference.parse("absent@champion")))
    assert absent.startswith("absent@champion: no model of task absent is registered; there are: ")
    assert "there" in absent.removeprefix(
        "absent@champion: no model of task absent is registered; there are: "
    )
    assert refusal(lambda: resolve(either, Reference.parse("there/7"))) == (
        "there/7: no such version; there are: 1"
    )
    assert refusal(lambda: resolve(either, Reference.parse("there"))) == (
        "there@champion: no version has this alias; there are: challenger (version 1)"
    )


@pytest.mark.parametrize("text", ["", "Spleen", "spleen@", "spleen/0", "spleen/latest", "a b"])
def test_what_names_no_model_is_told(text: str) -> None:
    assert refusal(lambda: Reference.parse(text)).endswith(
        "names no model; write spleen@champion or spleen/3"
    )


def test_a_reference_may_be_written_as_mlflow_does() -> None:
    assert Reference.parse("models:/segline-spleen@champion") == Reference.parse("spleen")


def test_the_table_has_a_line_a_version(three: list[Version], registry: Registry) -> None:
    promote(registry, at(three[1]), ["better"])
    head, *lines = as_table(versions(registry, three[0].task)).splitlines()
    assert head.split() == [
        "VERSION",
        "ALIAS",
        "SCORE",
        "(95",
        "%",
        "CI)",
        "BACKENDS",
        "REGISTERED",
        "DATA",
        "SET",
    ]
    assert [line.split()[:2] for line in lines] == [
        [f"{three[0].task}/3", "challenger"],
        [f"{three[0].task}/2", "champion"],
        [f"{three[0].task}/1", "-"],
    ]
    assert lines[0].endswith(three[0].dataset_digest[:12])


PREDICT = """
import json, sys
for name in json.loads(sys.argv[4]):
    sys.modules[name] = None
import mlflow
import pandas
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(sys.argv[2])
rows = json.loads(sys.argv[3])
print(json.dumps(model.predict(pandas.DataFrame(rows)).to_dict("list")))
import segline
print(json.dumps(segline.__file__))
"""


def predict_with_mlflow(
    python: Path | str, uri: str, reference: str, rows: Any, folder: Path, blocked: Iterable[str] = ()
) -> list[Any]:
    """Load and use a registered model in a process that knows nothing of this checkout."""
    given = [uri, reference, json.dumps(rows), json.dumps(list(blocked))]
    environment = {key: value for key, value in SILENT.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(python), "-P", "-c", PREDICT, *given],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()[-2:]]


def not_required() -> list[str]:
    """Every importable package here that does not come with the model's requirements."""
    allowed: set[str] = set()
    left = [Requirement(line).name for line in requirements()]
    while left:
        name = canonicalize_name(left.pop())
        if name not in allowed:
            allowed.add(name)
            needs = map(Requirement, importlib.metadata.requires(name) or [])
            left += [
                need.name for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})
            ]
    modules = importlib.metadata.packages_distributions()
    foreign = [name for name, by in modules.items() if not allowed & {canonicalize_name(each) for each in by}]
    return [name for name in foreign if name not in ("segline", "pip", "setuptools")]


def masked_by_us(runs: Runs, image: Path, mask: Path) -> int:
    from segline.imaging.files import read_channels

    volume = Predictor(runs.model.plan, open_backend("onnxruntime", runs.model, "cpu"))(
        read_channels([image])
    )
    write_volume(mask, volume)
    return int((volume.array > 0).sum())


def test_the_pyfunc_writes_our_masks_with_its_own_code_and_requirements(
    runs: Runs, server: str, tmp_path: Path
) -> None:
    register(runs.make("pyfunc", "pyfunc"), Registry(server))
    images = [Path(runs.manifest.root, case.images[0].path) for case in runs.manifest.cases[:2]]
    rows = [{"image": str(image), "mask": f"{number}.nii.gz"} for number, image in enumerate(images)]
    rows[1]["image"] = [rows[1]["image"]]  # type: ignore[assignment]  # one file a channel
    blocked = not_required()
    assert "monai" in blocked
    answer, library = predict_with_mlflow(
        sys.executable, server, "models:/segline-pyfunc@challenger", rows, tmp_path, blocked
    )
    assert not library.startswith(str(Path(segline.__file__).parent))
    labelled = [masked_by_us(runs, image, tmp_path / "ours.nii.gz") for image in images]
    assert answer == {"mask": ["0.nii.gz", "1.nii.gz"], "labelled_voxels": labelled, "remarks": ["", ""]}
    assert (tmp_path / "1.nii.gz").read_bytes() == (tmp_path / "ours.nii.gz").read_bytes()


@pytest.mark.slow
def test_the_pyfunc_needs_only_its_own_requirements(runs: Runs, server: str, tmp_path: Path) -> None:
    from mlflow.artifacts import download_artifacts

    version = register(runs.make("alone", "alone"), Registry(server))
    saved = Registry(server).client.get_model_version_download_uri("segline-alone", str(version.number))
    needed = download_artifacts(f"{saved}/requirements.txt", dst_path=str(tmp_path), tracking_uri=server)
    (torch_alone,) = (line for line in Path(needed).read_text().splitlines() if line.startswith("torch=="))
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    for packages in ([torch_alone], ["--requirement", needed]):
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    image = Path(runs.manifest.root, runs.manifest.cases[0].images[0].path)
    rows = [{"image": str(image), "mask": "mask.nii.gz"}]
    predict_with_mlflow(python, server, "models:/segline-alone@challenger", rows, tmp_path)
    masked_by_us(runs, image, tmp_path / "ours.nii.gz")
    assert (tmp_path / "mask.nii.gz").read_bytes() == (tmp_path / "ours.nii.gz").read_bytes()
