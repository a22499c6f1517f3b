import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from segline.common.digests import sha256_of_file
from segline.common.errors import SeglineError, UnavailableError
from segline.model.package import Model
from segline.networks.catalogue import build_network
from segline.networks.weights import load_network, save_weights
from segline.plan import Plan

from ..conftest import TinyTraining, small_plan

FILES = [
    "domain.json",
    "history.json",
    "model.fp16.onnx",
    "model.onnx",
    "model.onnx.json",
    "plan.json",
    "weights.pt",
]


@pytest.fixture
def model(tiny_model: Model, tmp_path: Path) -> Model:
    """A copy of the tiny model that a test may spoil."""
    return tiny_model.copied_to(tmp_path / "model")


def refusal(action: Callable[[], object]) -> str:
    with pytest.raises(SeglineError) as caught:
        action()
    return str(caught.value)


def edit_json(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_written_package_opens_with_its_plan_and_weights(
    tiny_training: TinyTraining, tmp_path: Path
) -> None:
    plan = small_plan()
    weights = build_network(plan).state_dict()
    Model.write(tmp_path / "model", plan, weights, tiny_training.history)
    opened = Model.open(tmp_path / "model")
    assert opened.plan == plan
    assert names(opened.folder) == ["history.json", "plan.json", "weights.pt"]
    for name, value in load_network(opened.weights, opened.plan).state_dict().items():
        assert torch.equal(value, weights[name])


def test_writing_replaces_the_package_that_was_there(model: Model, tiny_training: TinyTraining) -> None:
    plan = small_plan()
    Model.write(model.folder, plan, build_network(plan).state_dict(), tiny_training.history)
    assert Model.open(model.folder).plan == plan
    assert names(model.folder) == ["history.json", "plan.json", "weights.pt"]


def test_a_write_that_fails_leaves_the_package_that_was_there(
    model: Model, tiny_training: TinyTraining
) -> None:
    unsaveable = {"weight": lambda: None}
    with pytest.raises(Exception, match="pickle"):
        Model.write(model.folder, small_plan(), unsaveable, tiny_training.history)  # type: ignore[arg-type]
    assert names(model.folder.parent) == ["model"]
    assert Model.open(model.folder).sidecar()


@pytest.mark.parametrize("part", ["plan.json", "weights.pt"])
def test_a_package_without_a_part_is_refused(part: str, model: Model) -> None:
    (model.folder / part).unlink()
    assert refusal(lambda: Model.open(model.folder)) == (
        f"{model.folder}: not a model package, {part} is missing"
    )


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "not a model package" in refusal(lambda: Model.open(tmp_path / "absent"))


def test_a_plan_edited_by_hand_is_refused(model: Model) -> None:
    edit_json(model.folder / "plan.json", seed=5)
    assert "a plan is not edited by hand" in refusal(lambda: Model.open(model.folder))


def test_a_plan_whose_windows_nobody_could_afford_is_refused(model: Model) -> None:
    inference = model.plan.inference.model_dump(mode="json")
    values = model.plan.model_dump(mode="json") | {"inference": {**inference, "batch_size": 4096}}
    values["inference"] |= {"largest_window": [2048] * 3}
    Plan.parse(values, "plan").write(model.folder / "plan.json")
    line = refusal(lambda: Model.open(model.folder))
    assert line.startswith(f"{model.folder / 'plan.json'}: inference.largest_window 2048x2048x2048 in an inf")


@pytest.mark.parametrize("part", ["weights.pt", "plan.json", "notes.txt", "engines/sm_90/float32.engine"])
def test_a_link_out_of_the_package_is_refused(part: str, model: Model, tmp_path: Path) -> None:
    secret, link = tmp_path / "secret", model.folder / part
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.exists():
        link.rename(secret)
    link.symlink_to(secret)
    assert refusal(lambda: Model.open(model.folder)) == (
        f"{link}: a link out of the package; put the file itself there"
    )


def test_a_folder_that_is_a_link_out_of_the_package_is_refused(model: Model, tmp_path: Path) -> None:
    (model.folder / "engines").symlink_to(tmp_path)
    assert "engines: a link out of the package" in refusal(lambda: Model.open(model.folder))


def test_a_package_may_be_reached_by_a_link_and_have_links_within(model: Model, tmp_path: Path) -> None:
    (model.folder / "same.onnx").symlink_to("model.onnx")
    (tmp_path / "latest").symlink_to(model.folder)
    assert Model.open(tmp_path / "latest").plan == model.plan


def test_a_plan_that_is_not_the_packages_own_is_refused(model: Model) -> None:
    model.require_plan(model.plan, Path("same.json"))
    line = refusal(lambda: model.require_plan(small_plan(), Path("other.json")))
    assert line.startswith("other.json: plan")
    assert model.plan.digest[:12] in line


def test_a_copy_holds_every_part_and_leaves_the_original(tiny_model: Model, tmp_path: Path) -> None:
    copy = tiny_model.copied_to(tmp_path / "copy")
    assert names(copy.folder) == names(tiny_model.folder) == FILES
    assert copy.digests() == tiny_model.digests()


def test_a_copy_takes_the_place_of_what_lies_there(tiny_model: Model, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "stale.onnx").touch()
    assert names(tiny_model.copied_to(tmp_path / "copy").folder) == FILES


def test_a_copy_onto_itself_is_itself(model: Model) -> None:
    assert model.copied_to(model.folder) is model
    assert names(model.folder) == FILES


def test_digests_name_every_file_and_what_the_model_came_from(model: Model) -> None:
    digests = model.digests()
    assert sorted(digests) == sorted([*FILES, "plan", "dataset"])
    assert digests["weights.pt"] == sha256_of_file(model.weights)
    assert digests["plan"] == model.plan.digest
    assert digests["dataset"] == model.plan.dataset_digest


def test_the_sidecar_of_an_untouched_package_is_accepted(model: Model) -> None:
    assert model.sidecar().plan_digest == model.plan.digest


@pytest.mark.parametrize("part", ["model.onnx", "model.onnx.json"])
def test_a_package_that_was_not_exported_says_so(part: str, model: Model) -> None:
    (model.folder / part).unlink()
    assert "run export_onnx first" in refusal(model.sidecar)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00junk", b'{"plan_digest": 3}', b"[]"])
def test_a_damaged_sidecar_is_refused(content: bytes, model: Model) -> None:
    (model.folder / "model.onnx.json").write_bytes(content)
    line = refusal(model.sidecar)
    assert "model.onnx.json: not a segline sidecar, " in line
    assert "; run export_onnx again" in line


def test_a_graph_changed_after_export_is_refused(model: Model) -> None:
    content = bytearray(model.onnx.read_bytes())
    content[len(content) // 2] ^= 1
    model.onnx.write_bytes(content)
    assert "changed after export" in refusal(model.sidecar)


def test_a_graph_exported_under_another_plan_is_refused(model: Model) -> None:
    Plan.parse({**model.plan.model_dump(mode="json"), "seed": 9}, "plan").write(model.folder / "plan.json")
    line = refusal(Model.open(model.folder).sidecar)
    assert "exported under plan" in line
    assert model.plan.digest[:12] in line


def test_a_graph_exported_from_other_weights_is_refused(model: Model) -> None:
    save_weights(model.weights, build_network(model.plan).state_dict(), model.plan)
    assert "exported from other weights than weights.pt" in refusal(model.sidecar)


def test_the_float16_graph_of_an_untouched_package_is_accepted(model: Model) -> None:
    assert model.float16().onnx_sha256 == sha256_of_file(model.onnx_float16)


def test_a_float16_graph_changed_after_export_is_refused(model: Model) -> None:
    content = bytearray(model.onnx_float16.read_bytes())
    content[len(content) // 2] ^= 1
    model.onnx_float16.write_bytes(content)
    assert "model.fp16.onnx: changed after export" in refusal(model.float16)


def test_a_float16_graph_that_was_lost_is_refused(model: Model) -> None:
    model.onnx_float16.unlink()
    assert "model.fp16.onnx: missing; run export_onnx again" in refusal(model.float16)


@pytest.mark.parametrize(("reason", "told"), [("they overflow", "they overflow"), (None, "run export_onnx")])
def test_a_network_without_a_float16_graph_says_why(reason: str | None, told: str, model: Model) -> None:
    model.write_sidecar(model.sidecar().model_copy(update={"float16": None, "no_float16": reason}))
    with pytest.raises(UnavailableError, match=rf"no model\.fp16\.onnx: {told}"):
        model.float16()


def test_digests_reach_into_folders(model: Model) -> None:
    (model.folder / "engines").mkdir()
    (model.folder / "engines" / "a.engine").write_bytes(b"engine")
    assert model.digests()["engines/a.engine"] == sha256_of_file(model.folder / "engines" / "a.engine")
