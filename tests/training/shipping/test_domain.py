"""A model package says what its model learned from; so does an ensemble of them."""

import json
from pathlib import Path

import pytest

from segline.cli.main import main
from segline.common.errors import SeglineError
from segline.data.cases.index import CaseIndex
from segline.data.manifest import Manifest
from segline.imaging.files import write_volume
from segline.inference.familiarity.profiles import Profile
from segline.model.package import DOMAIN, Model
from segline.networks.catalogue import build_network
from segline.plan import Plan
from segline.training.shipping.domain import domain_of, joined_domain


@pytest.fixture(scope="module")
def knowing(tiny_plan: Plan, tiny_index: CaseIndex, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model, not trained, with what it would have learned from; read-only."""
    split, weights = tiny_plan.split, build_network(tiny_plan).state_dict()
    domain = domain_of(tiny_plan, tiny_index.open(split.train), tiny_index.open(split.val))
    folder = tmp_path_factory.mktemp("knowing") / "model"
    return Model.write(folder, tiny_plan, weights, None, domain)


@pytest.fixture(scope="module")
def of_before(tiny_plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A package that does not say what was learned from; read-only."""
    folder = tmp_path_factory.mktemp("of_before") / "model"
    return Model.write(folder, tiny_plan, build_network(tiny_plan).state_dict(), None)


def test_what_is_read_of_a_preprocessed_case_is_read_of_its_file_too(
    knowing: Model, phantoms: Manifest
) -> None:
    domain, plan = knowing.domain, knowing.plan
    assert domain
    for name, case in zip(plan.split.train, domain.cases, strict=True):
        seen = Profile.of_volume(plan, phantoms.image(phantoms.case(name)))
        assert (seen.spacing_mm, seen.extent_mm) == (case.spacing_mm, case.extent_mm)
        assert seen.tilt_deg == case.tilt_deg
        assert seen.percentiles[0] == pytest.approx(case.percentiles[0], abs=2e-3)
        assert seen.blocks() == pytest.approx(case.blocks(), abs=2e-3)
        voxels = phantoms.case(name).label_voxels[1]
        ml = voxels * phantoms.image(phantoms.case(name)).grid.voxel_ml
        assert case.volumes_ml and case.volumes_ml["spleen"] == pytest.approx(ml, rel=0.25)  # voxels of 8 mm


def test_a_package_names_no_case(knowing: Model) -> None:
    text = (knowing.folder / DOMAIN).read_text()
    assert "phantom_" not in text and len(text) < 20_000


def test_a_package_of_before_says_nothing(of_before: Model) -> None:
    assert of_before.domain is None
    assert joined_domain([of_before]) is None


def test_an_ensemble_has_learned_from_what_its_members_have(knowing: Model) -> None:
    joined = joined_domain([knowing, knowing])
    assert joined and knowing.domain and joined.cases == knowing.domain.cases


def test_the_record_of_another_model_is_refused(knowing: Model, tmp_path: Path) -> None:
    model = knowing.copied_to(tmp_path / "model")
    path = model.folder / DOMAIN
    path.write_text(json.dumps({**json.loads(path.read_text()), "plan_digest": "0" * 64}))
    with pytest.raises(SeglineError, match=r"domain\.json: of plan 000000000000, but the package's plan is"):
        _ = model.domain


@pytest.mark.parametrize("part", ["layout", "percentiles"])
def test_a_damaged_record_is_refused(part: str, knowing: Model, tmp_path: Path) -> None:
    model = knowing.copied_to(tmp_path / "model")
    path = model.folder / DOMAIN
    content = json.loads(path.read_text())
    content["domain"]["cases"][0][part] = content["domain"]["cases"][0][part][:-4]
    path.write_text(json.dumps(content))
    with pytest.raises(SeglineError, match="not a record of what was learned from"):
        _ = model.domain


def test_predict_tells_what_should_not_be_trusted(
    knowing: Model, phantoms: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = phantoms.image(phantoms.case(knowing.plan.split.train[0]))
    path, mask = tmp_path / "ct.nii.gz", tmp_path / "mask.nii.gz"
    write_volume(path, image)
    command = ["predict", str(knowing.folder), str(path), "-o", str(mask)]
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["trust"]["threshold"] >= 1
    write_volume(path, image.with_array(image.array + 1024))
    assert main([*command, "--json"]) == 0
    trust = json.loads(capsys.readouterr().out)["trust"]
    assert not trust["trusted"] and trust["distance"] > trust["threshold"]
    assert any("stored with an offset of 1024" in reason for reason in trust["reasons"])
    assert main(command) == 0
    assert f"segline predict: {path}: not to be trusted, " in capsys.readouterr().err


def test_without_a_record_predict_says_nothing_of_trust(
    of_before: Model, phantoms: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ct.nii.gz"
    write_volume(path, phantoms.image(phantoms.cases[0]))
    assert main(["predict", str(of_before.folder), str(path), "-o", str(tmp_path / "m.nii"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["trust"] is None
