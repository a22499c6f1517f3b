"""New cases, good and bad, on their way into a data set."""

import gzip
import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segline.data.fingerprint import take_fingerprint
from segline.data.intake import Intake, Limits, Quarantine, take_in
from segline.data.manifest import Manifest
from segline.data.phantom.scanner import phantom_case
from segline.data.portraits import SAME_LIKENESS, Portrait
from segline.data.verification import survey, verify
from segline.imaging.files import read_volume, write_volume
from segline.imaging.volume import Volume
from segline.plan import Plan, Task
from segline.planning.plans import make_plan

from ..imaging.headers import write_nifti

pytestmark = pytest.mark.heavy

NEW = "new_0"


class Source:
    """A copy of the known data set, to which cases are added."""

    def __init__(self, folder: Path, known: Manifest, plan: Plan) -> None:
        self.root, self.known, self.plan = folder / "data", known, plan
        self.records = folder / "portraits"
        shutil.copytree(known.root, self.root)

    def add(self, image: Volume, label: Volume, name: str = NEW) -> None:
        write_volume(self.root / f"imagesTr/{name}.nii.gz", image)
        write_volume(self.root / f"labelsTr/{name}.nii.gz", label)
        self.declare(name)

    def declare(self, name: str) -> None:
        index = self.root / "dataset.json"
        content = json.loads(index.read_text())
        content["training"].append({"image": f"imagesTr/{name}.nii.gz", "label": f"labelsTr/{name}.nii.gz"})
        index.write_text(json.dumps(content))

    def pair(self, name: str) -> tuple[Volume, Volume]:
        case = self.known.case(name)
        return self.known.image(case), self.known.label(case)

    def take_in(self, limits: Limits | None = None) -> Intake:
        return take_in(survey(self.root), self.known, self.plan, self.records, limits)

    def refusal(self) -> tuple[str, str]:
        """Check and reason of the one case set aside."""
        taken = self.take_in()
        (aside,) = taken.quarantine.cases
        assert aside.case not in {case.name for case in taken.accepted.cases}
        return aside.check, aside.reason


@pytest.fixture
def source(tmp_path: Path, phantoms: Manifest, tiny_plan: Plan) -> Source:
    return Source(tmp_path, phantoms, tiny_plan)


@cache
def fresh(index: int = 6) -> tuple[Volume, Volume]:
    return phantom_case(index)


def changed(volume: Volume, change: Callable[[np.ndarray], np.ndarray]) -> Volume:
    return Volume(change(volume.array), volume.affine)


def test_nothing_new_gives_the_known_data_set(source: Source) -> None:
    taken = source.take_in()
    assert taken.accepted.digest == source.known.digest
    assert taken.quarantine == Quarantine(new=0, cases=())


def test_a_sound_new_case_is_accepted(source: Source) -> None:
    source.add(*fresh())
    taken = source.take_in()
    assert taken.quarantine.cases == ()
    assert taken.quarantine.new == 1
    assert len(taken.accepted.cases) == 7
    assert taken.accepted.case(NEW).label_voxels[1] > 0


def test_bad_cases_do_not_stop_the_good_ones(source: Source) -> None:
    image, label = fresh(7)
    source.add(*fresh(6), name="good")
    source.add(image, changed(label, lambda a: a[..., 1:]), name="off_grid")
    source.add(image, changed(label, np.zeros_like), name="unlabelled")
    source.add(*source.pair("phantom_000"), name="again")
    taken = source.take_in()
    assert [(case.case, case.check) for case in taken.quarantine.cases] == [
        ("again", "duplicate"),
        ("off_grid", "files"),
        ("unlabelled", "labels"),
    ]
    assert taken.quarantine.new == 4
    assert "good" in {case.name for case in taken.accepted.cases}
    assert len(taken.accepted.cases) == 7


def test_only_bad_cases_leave_the_data_set_as_it_was(source: Source) -> None:
    source.add(*source.pair("phantom_000"))
    assert source.take_in().accepted.digest == source.known.digest


class TestFiles:
    def test_a_label_on_another_grid(self, source: Source):
        image, label = fresh()
        moved = label.affine.copy()
        moved[0, 3] += 20
        source.add(image, Volume(label.array, moved))
        check, reason = source.refusal()
        assert check == "files" and "off image grid" in reason

    def test_an_undeclared_label_value(self, source: Source):
        image, label = fresh()
        source.add(image, changed(label, lambda a: a * 7))
        check, reason = source.refusal()
        assert check == "files" and "label value 7" in reason

    @pytest.mark.parametrize(
        ("fields", "told"),
        [
            ({"vox_offset": np.inf}, "begin at byte inf"),
            ({"dim": [3, 30000, 30000, 30000, 1, 1, 1, 1]}, "more than the 4 GB that are allowed"),
            ({"spacing": (0, 0, 0)}, "pixdim gives the spacing"),
            ({"datatype": 3}, "not a readable NIfTI file"),
        ],
    )
    def test_a_header_that_means_nothing_stops_no_one_else(self, source: Source, fields: Any, told: str):
        source.add(*fresh(6), name="good")
        source.add(*fresh(7))
        affine = fresh(7)[0].affine
        write_nifti(source.root / f"imagesTr/{NEW}.nii.gz", qform=affine, sform=affine, **fields)
        check, reason = source.refusal()
        assert check == "files" and told in reason
        assert "good" in {case.name for case in source.take_in().accepted.cases}

    def test_a_missing_file(self, source: Source):
        source.add(*fresh())
        (source.root / f"labelsTr/{NEW}.nii.gz").unlink()
        assert source.refusal() == (
            "files",
            f"labelsTr/{NEW}.nii.gz: no such file; add it or take its case out of dataset.json",
        )

    def test_a_truncated_file(self, source: Source):
        source.add(*fresh())
        path = source.root / f"imagesTr/{NEW}.nii.gz"
        path.write_bytes(path.read_bytes()[:-5000])
        assert "truncated or damaged" in source.refusal()[1]


class TestGeometry:
    def test_a_spacing_far_from_the_known_ones(self, source: Source):
        image, label = fresh()
        affine = image.affine @ np.diag([4.0, 4.0, 4.0, 1.0])
        source.add(Volume(image.array, affine), Volume(label.array, affine))
        check, reason = source.refusal()
        assert check == "geometry" and reason.startswith("spacing along x is ")

    def test_a_few_slices_of_a_body(self, source: Source):
        image, label = fresh()
        keep = np.flatnonzero(label.array[0].any(axis=(0, 1)))[:3]
        cut = slice(int(keep[0]), int(keep[-1]) + 1)
        source.add(changed(image, lambda a: a[..., cut]), changed(label, lambda a: a[..., cut]))
        check, reason = source.refusal()
        assert check == "geometry" and reason.startswith("extent along")

    def test_the_factor_is_the_limits(self, source: Source):
        image, label = fresh()
        affine = image.affine @ np.diag([4.0, 4.0, 4.0, 1.0])
        source.add(Volume(image.array, affine), Volume(label.array, affine))
        assert source.take_in(Limits(geometry_factor=10)).quarantine.cases == ()


class TestLabels:
    def test_an_empty_label(self, source: Source):
        image, label = fresh()
        source.add(image, changed(label, np.zeros_like))
        assert source.refusal() == ("labels", "no voxel is labelled; every known case has some")

    def test_an_empty_label_among_known_ones_without_any(self, source: Source):
        cases = list(source.known.cases)
        cases[0] = cases[0].model_copy(update={"label_voxels": {0: 1, 1: 0}})
        source.known = source.known.model_copy(update={"cases": tuple(cases)})
        image, label = fresh()
        source.add(image, changed(label, np.zeros_like))
        assert NEW in {case.name for case in source.take_in().accepted.cases}


class TestIntensity:
    def test_grey_values_instead_of_hounsfield_units(self, source: Source):
        image, label = fresh()
        grey = lambda a: np.clip((a + 160) / 400 * 255, 0, 255).astype(np.uint8)  # noqa: E731
        source.add(changed(image, grey), label)
        check, reason = source.refusal()
        assert check == "intensity"
        assert reason.startswith("CT, all voxels: percentile 0.5 is 0, of the known cases -")

    def test_hounsfield_units_with_an_offset(self, source: Source):
        image, label = fresh()
        source.add(changed(image, lambda a: (a.astype(np.int32) + 1024).astype(np.int16)), label)
        assert source.refusal()[0] == "intensity"

    def test_a_label_that_lies_elsewhere(self, source: Source):
        image, label = fresh()
        source.add(image, changed(label, lambda a: a * 0 + (image.array < -900).astype(a.dtype)))
        check, reason = source.refusal()
        assert check == "intensity" and reason.startswith("CT, labelled voxels: percentile 0.5 is ")

    def test_an_image_of_one_value(self, source: Source):
        image, label = fresh()
        source.add(changed(image, np.zeros_like), label)
        assert source.refusal() == ("intensity", "CT: nearly every voxel is 0")

    def test_a_unit_does_not_matter_where_a_z_score_takes_it_away(self, source: Source):
        preprocessing = source.plan.preprocessing.model_dump() | {"intensity": [{"rule": "zscore"}]}
        source.plan = Plan.model_validate({**source.plan.model_dump(), "preprocessing": preprocessing})
        image, label = fresh()
        source.add(changed(image, lambda a: a.astype(np.float32) * 50), label)
        assert source.take_in().quarantine.cases == ()


class TestDuplicates:
    def test_the_same_file_under_another_name(self, source: Source):
        for part in ("imagesTr", "labelsTr"):
            shutil.copy(source.root / part / "phantom_001.nii.gz", source.root / part / f"{NEW}.nii.gz")
        source.declare(NEW)
        assert source.refusal() == ("duplicate", "has every voxel of case phantom_001")

    def test_the_same_voxels_in_a_file_compressed_otherwise(self, source: Source):
        for part in ("imagesTr", "labelsTr"):
            raw = gzip.decompress((source.root / part / "phantom_001.nii.gz").read_bytes())
            (source.root / part / f"{NEW}.nii.gz").write_bytes(gzip.compress(raw, 1))
        source.declare(NEW)
        assert source.refusal() == ("duplicate", "has every voxel of case phantom_001")

    def test_the_same_voxels_in_another_order_and_type(self, source: Source):
        image, label = source.pair("phantom_001")
        flip = np.diag([-1.0, 1, 1, 1])
        flip[0, 3] = image.array.shape[1] - 1
        turned = Volume(image.array[:, ::-1].astype(np.float32), image.affine @ flip)
        source.add(turned, Volume(label.array[:, ::-1], image.affine @ flip))
        assert source.refusal() == ("duplicate", "has every voxel of case phantom_001")

    def test_the_same_scan_with_other_noise(self, source: Source):
        image, label = source.pair("phantom_001")
        noise = np.random.default_rng(0).normal(0, 20, image.array.shape)
        source.add(changed(image, lambda a: (a + noise).astype(np.int16)), label)
        check, reason = source.refusal()
        assert check == "duplicate"
        assert reason.startswith("looks like (correlation 0.9") or reason.startswith(
            "looks like (correlation 1"
        )

    def test_two_new_cases_of_one_content_count_once(self, source: Source):
        source.add(*fresh(), name="new_a")
        source.add(*fresh(), name="new_b")
        taken = source.take_in()
        assert [(case.case, case.reason) for case in taken.quarantine.cases] == [
            ("new_b", "has every voxel of case new_a")
        ]

    def test_a_corrected_label_of_a_training_case_is_no_duplicate(self, source: Source):
        name = source.plan.split.train[0]
        label = source.pair(name)[1]
        corrected = label.array.copy()
        corrected[tuple(np.argwhere(corrected)[0])] = 0
        write_volume(source.root / f"labelsTr/{name}.nii.gz", Volume(corrected, label.affine))
        taken = source.take_in()
        assert taken.quarantine == Quarantine(new=1, cases=())
        assert taken.accepted.digest != source.known.digest


class TestLeakage:
    @pytest.mark.parametrize("part", ["val", "test"])
    def test_a_new_case_with_the_voxels_of_one_held_back(self, source: Source, part: str):
        name = getattr(source.plan.split, part)[0]
        source.add(*source.pair(name))
        assert source.refusal() == (
            "leakage",
            f"has every voxel of case {name}, which is held back from training",
        )

    def test_a_new_case_that_is_nearly_a_test_case(self, source: Source):
        name = source.plan.split.test[0]
        image, label = source.pair(name)
        source.add(changed(image, lambda a: np.clip(a, -900, 900)), label)
        assert source.refusal()[0] == "leakage"

    def test_a_test_case_that_was_changed(self, source: Source):
        name = source.plan.split.test[0]
        image, label = fresh()
        write_volume(source.root / f"imagesTr/{name}.nii.gz", image)
        write_volume(source.root / f"labelsTr/{name}.nii.gz", label)
        check, reason = source.refusal()
        assert check == "leakage" and reason.startswith("held back from training under this name")


class TestPortraits:
    def test_are_kept_so_that_known_files_need_not_be_decoded_again(self, source: Source, tmp_path: Path):
        source.add(*fresh())
        first = source.take_in()
        shutil.copytree(source.known.root, tmp_path / "moved")
        source.known = source.known.model_copy(update={"root": str(tmp_path / "nowhere")})
        assert source.take_in() == first

    def test_a_damaged_one_is_drawn_again(self, source: Source):
        source.add(*fresh())
        first = source.take_in()
        for record in source.records.iterdir():
            record.write_text("{")
        assert source.take_in() == first

    def test_different_phantoms_do_not_look_alike(self, phantoms: Manifest):
        portraits = [Portrait.of(phantoms, case) for case in phantoms.cases]
        pairs = [a.likeness(b) for n, a in enumerate(portraits) for b in portraits[:n]]
        assert max(pairs) < SAME_LIKENESS, pairs

    def test_real_patients_do_not_look_alike(self, shared_data: Path):
        manifest = verify(shared_data / "Task09_SpleenMini")
        portraits = [Portrait.of(manifest, case) for case in manifest.cases]
        assert all(portrait.foreground for portrait in portraits)
        pairs = [a.likeness(b) for n, a in enumerate(portraits) for b in portraits[:n]]
        assert max(pairs) < 0.9, pairs


def test_real_cases_come_in_and_a_planted_copy_does_not(shared_data: Path, tmp_path: Path) -> None:
    whole = verify(shared_data / "Task04_Hippocampus")
    known = whole.model_copy(update={"cases": whole.cases[:20]})
    plan = make_plan(known, take_fingerprint(known), Task(name="hippocampus", source="none"))
    test = known.case(plan.split.test[0])
    root = tmp_path / "data"
    for case in whole.cases[:25]:
        for file in (*case.images, case.label):
            (root / file.path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path(whole.root, file.path), root / file.path)
    write_volume(root / "imagesTr/copy.nii.gz", read_volume(Path(whole.root, test.images[0].path)))
    write_volume(root / "labelsTr/copy.nii.gz", read_volume(Path(whole.root, test.label.path)))
    content = json.loads(Path(whole.root, "dataset.json").read_text())
    names = [*(case.name for case in whole.cases[:25]), "copy"]
    content["training"] = [
        {"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"} for name in names
    ]
    (root / "dataset.json").write_text(json.dumps(content))
    taken = take_in(survey(root), known, plan, tmp_path / "portraits")
    assert [(case.case, case.check) for case in taken.quarantine.cases] == [("copy", "leakage")]
    assert len(taken.accepted.cases) == 25


def test_a_quarantine_is_read_as_it_was_written(source: Source, tmp_path: Path) -> None:
    source.add(*source.pair("phantom_000"))
    quarantine = source.take_in().quarantine
    quarantine.write(tmp_path / "quarantine.json")
    assert Quarantine.read(tmp_path / "quarantine.json") == quarantine
