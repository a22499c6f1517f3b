"""A folder answered into another: each image as it is alone, whatever happens to the others."""

import csv
import threading
from pathlib import Path

import numpy as np
import pytest

from segline.backends import open_backend
from segline.common.errors import SeglineError
from segline.common.locks import exclusive_at_once
from segline.imaging.files import read_volume, write_volume
from segline.imaging.volume import Volume
from segline.inference.predictor import Predictor
from segline.model.package import Model
from segline.serving.folders.finding import Image
from segline.serving.folders.journal import Row
from segline.serving.folders.predicting import TABLE, Totals, _read_ahead, predict_folder
from segline.serving.models.served import Served

from ...imaging.dicom.written import write_series


@pytest.fixture(scope="module")
def served(tiny_model: Model) -> Served:
    return Served(tiny_model, device="cpu")


def body(seed: int, edge: int = 24) -> Volume:
    chance = np.random.default_rng(seed)
    array = chance.integers(-1000, 300, (1, edge, edge, edge)).astype(np.int16)
    return Volume(array, np.diag([8.0, 8, 8, 1]))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two files, one of them deeper, and a series."""
    folder = tmp_path / "images"
    write_volume(folder / "a.nii.gz", body(0))
    write_volume(folder / "deep/b.nii", body(1))
    write_series(folder / "series", np.random.default_rng(2).integers(-200, 300, (12, 20, 24), np.int16))
    return folder


def answered(served: Served, source: Path, target: Path) -> tuple[Totals, list[Row]]:
    rows: list[Row] = []
    return predict_folder(served, source, target, rows.append), rows


def table(target: Path) -> dict[str, dict[str, str]]:
    with (target / TABLE).open(newline="") as stream:
        return {row["image"]: row for row in csv.DictReader(stream)}


def files(target: Path) -> list[str]:
    """All that is there for people, and what is half written."""
    names = (path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file())
    return sorted(name for name in names if name not in (".segline/lock", ".segline/journal.jsonl"))


MASKS = ["a.nii.gz", "deep/b.nii.gz", "series.nii.gz"]


def test_every_answer_is_the_one_that_its_image_has_alone(
    served: Served, source: Path, tmp_path: Path
) -> None:
    totals, _ = answered(served, source, tmp_path / "masks")
    assert totals == Totals(3, 0, 0, 0)
    assert files(tmp_path / "masks") == [*MASKS, TABLE]
    alone = Predictor(served.model.plan, open_backend("pytorch", served.model, "cpu"))
    for image, mask in zip(("a.nii.gz", "deep/b.nii", "series"), MASKS, strict=True):
        write_volume(tmp_path / "alone.nii.gz", alone(read_volume(source / image)))
        assert (tmp_path / "masks" / mask).read_bytes() == (tmp_path / "alone.nii.gz").read_bytes()


def test_the_table_has_the_volume_of_each_label_and_why_not_to_trust_it(
    served: Served, source: Path, tmp_path: Path
) -> None:
    write_volume(source / "flat.nii", body(0).with_array(np.full((1, 24, 24, 24), 7, np.int16)))
    answered(served, source, tmp_path / "masks")
    rows = table(tmp_path / "masks")
    mask = read_volume(tmp_path / "masks/a.nii.gz")
    assert list(rows) == ["a.nii.gz", "deep/b.nii", "flat.nii", "series"]
    assert float(rows["a.nii.gz"]["spleen_ml"]) == pytest.approx((mask.array == 1).sum() * 0.512)
    assert rows["flat.nii"]["remarks"].startswith("CT: every voxel is 7; not to be trusted, ")
    assert ": values from 7" in rows["flat.nii"]["remarks"]
    assert rows["flat.nii"]["trusted"] == "False" and "every voxel" not in rows["a.nii.gz"]["remarks"]
    assert float(rows["a.nii.gz"]["seconds"]) > 0
    assert {row["model"] for row in rows.values()} == {served.digest[:12]}


def test_a_bad_file_is_told_and_the_rest_done(served: Served, source: Path, tmp_path: Path) -> None:
    (source / "aa.nii.gz").write_bytes((source / "a.nii.gz").read_bytes()[:500])
    write_volume(source / "channels.nii", Volume(np.zeros((2, 8, 8, 8), np.float32), np.eye(4)))
    totals, rows = answered(served, source, tmp_path / "masks")
    assert totals == Totals(3, 0, 2, 0)
    told = {row.image: row.error for row in rows if row.error}
    assert f"{source}/aa.nii.gz: truncated or damaged gzip" in told["aa.nii.gz"]
    assert f"{source}/channels.nii: the image has 2 channels" in told["channels.nii"]
    assert {name: row["error"] for name, row in table(tmp_path / "masks").items() if row["error"]} == told
    assert files(tmp_path / "masks") == [*MASKS, TABLE]


def test_what_is_done_is_left_and_only_that(served: Served, source: Path, tmp_path: Path) -> None:
    target = tmp_path / "masks"
    answered(served, source, target)
    first = (target / "a.nii.gz").stat().st_mtime_ns
    (source / "series/IM_0003.dcm").touch()
    write_volume(source / "new.nii", body(5))
    (target / "deep/b.nii.gz").unlink()
    totals, rows = answered(served, source, target)
    assert totals == Totals(3, 1, 0, 0)
    assert {row.image for row in rows} == {"series", "new.nii", "deep/b.nii"}
    assert (target / "a.nii.gz").stat().st_mtime_ns == first
    assert list(table(target)) == ["a.nii.gz", "deep/b.nii", "new.nii", "series"]
    assert answered(served, source, target) == (Totals(0, 4, 0, 0), [])


def test_answers_of_another_model_are_not_taken_for_this_ones(
    served: Served, source: Path, tmp_path: Path
) -> None:
    answered(served, source, tmp_path / "masks")
    other = Served(served.model, "", "onnxruntime", "cpu")
    assert answered(other, source, tmp_path / "masks")[0] == Totals(3, 0, 0, 0)
    assert {row["model"] for row in table(tmp_path / "masks").values()} == {other.digest[:12]}


def test_what_others_made_or_changed_is_not_written_over(
    served: Served, source: Path, tmp_path: Path
) -> None:
    target = tmp_path / "masks"
    target.mkdir()
    (target / "a.nii.gz").write_bytes(b"drawn by hand")
    assert answered(served, source, target)[0] == Totals(2, 0, 1, 0)
    (target / "deep/b.nii.gz").write_bytes(b"corrected by hand")
    totals, rows = answered(served, source, target)
    assert totals == Totals(0, 1, 2, 0)
    assert all("was not made here, or was changed since" in row.error for row in rows)
    assert (target / "a.nii.gz").read_bytes() == b"drawn by hand"
    assert (target / "deep/b.nii.gz").read_bytes() == b"corrected by hand"


def test_a_journal_that_was_cut_short_is_read_and_written_on(
    served: Served, source: Path, tmp_path: Path
) -> None:
    target = tmp_path / "masks"
    answered(served, source, target)
    journal = target / ".segline/journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1]) + lines[-1][:40])
    (target / "series.nii.gz").unlink()
    (target / ".segline/writing").mkdir()
    (target / ".segline/writing/half.nii.gz").touch()
    assert answered(served, source, target)[0] == Totals(1, 2, 0, 0)
    assert files(target) == [*MASKS, TABLE]
    assert answered(served, source, target)[0] == Totals(0, 3, 0, 0)


def test_two_do_not_answer_into_one_folder_at_once(served: Served, source: Path, tmp_path: Path) -> None:
    with (
        exclusive_at_once(tmp_path / "masks/.segline/lock"),
        pytest.raises(SeglineError, match="another process is at the same work"),
    ):
        answered(served, source, tmp_path / "masks")


def test_answers_may_lie_below_the_images_but_not_among_them(served: Served, source: Path) -> None:
    with pytest.raises(SeglineError, match="is the folder of the images itself"):
        answered(served, source, source)
    assert answered(served, source, source / "masks")[0] == Totals(3, 0, 0, 0)
    assert answered(served, source, source / "masks")[0] == Totals(0, 3, 0, 0)


def test_a_folder_without_images_is_told(served: Served, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SeglineError, match=r"empty: no images below it; give a folder with volumes"):
        answered(served, tmp_path / "empty", tmp_path / "masks")
    assert not (tmp_path / "masks").exists()


def test_a_backend_that_cannot_be_had_is_no_images_fault(
    served: Served, source: Path, tmp_path: Path
) -> None:
    with pytest.raises(SeglineError, match="no int8 graph"):
        answered(Served(served.model, "", "openvino_int8", "cpu"), source, tmp_path / "masks")


def test_the_next_image_and_no_other_is_read_while_one_is_worked_on() -> None:
    begun = [threading.Event() for _ in range(4)]
    images = [Image(str(number), (), "") for number in range(4)]

    def read(image: Image) -> Image:
        begun[int(image.name)].set()
        return image

    for number, image in enumerate(_read_ahead(images, read)):  # type: ignore[arg-type, type-var]
        assert image == images[number]
        assert number == 3 or begun[number + 1].wait(10)
        assert not any(later.is_set() for later in begun[number + 2 :])
