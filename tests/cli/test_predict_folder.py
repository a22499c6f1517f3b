"""``segline predict MODEL FOLDER -o FOLDER`` as a user types it, ends it and starts it again."""

import csv
import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from segline.cli.main import main
from segline.imaging.files import write_volume
from segline.imaging.volume import Volume
from segline.model.package import Model

from ..imaging.dicom.written import numbered, write_series

COUNT = 60


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Volumes enough to be ended amid them."""
    folder = tmp_path_factory.mktemp("many")
    chance = np.random.default_rng(0)
    for number in range(COUNT):
        array = chance.integers(-1000, 300, (1, 64, 64, 48)).astype(np.int16)
        write_volume(folder / f"{number // 10}/ct_{number:02d}.nii", Volume(array, np.diag([4.0, 4, 4, 1])))
    return folder


def rows(target: Path) -> list[dict[str, str]]:
    with (target / "volumes.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def ended_amid(tiny_model: Model, images: Path, target: Path, number: signal.Signals) -> tuple[int, str]:
    """Exit status and last words of a command that is sent a signal once it has told of three images."""
    command = [
        sys.executable,
        "-m",
        "segline.cli",
        "predict",
        tiny_model.folder,
        images,
        "-o",
        target,
        "--json",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    for _ in range(3):
        assert "volumes_ml" in json.loads(process.stdout.readline())
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    return process.returncode, told


def test_after_ctrl_c_the_table_is_whole_and_nothing_half_written(
    tiny_model: Model, images: Path, tmp_path: Path
) -> None:
    status, told = ended_amid(tiny_model, images, tmp_path / "masks", signal.SIGINT)
    assert (status, told.splitlines()[-1]) == (130, "segline predict: interrupted")
    masks = sorted(path.relative_to(tmp_path / "masks").as_posix() for path in tmp_path.rglob("ct_*.nii.gz"))
    assert 3 <= len(masks) < COUNT
    assert [row["answer"] for row in rows(tmp_path / "masks")] == masks
    assert {path.name for path in (tmp_path / "masks/.segline").iterdir()} == {"lock", "journal.jsonl"}


def test_killed_and_started_again_it_goes_on(
    tiny_model: Model, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "masks"
    assert ended_amid(tiny_model, images, target, signal.SIGKILL)[0] == -signal.SIGKILL
    before = {path: path.stat().st_mtime_ns for path in target.rglob("ct_*.nii.gz")}
    assert main(["predict", str(tiny_model.folder), str(images), "-o", str(target)]) == 0
    told = capsys.readouterr()
    done = [path for path, time in before.items() if path.stat().st_mtime_ns == time]
    assert len(before) - 1 <= len(done)  # of the last one nobody may have known
    assert told.out == f"{target}/volumes.csv: {COUNT - len(done)} answered, {len(done)} done before\n"
    assert f"100% {COUNT - len(done)} of {COUNT - len(done)} images, {len(done)} before" in told.err
    assert len(rows(target)) == COUNT
    assert {path.name for path in (target / ".segline").iterdir()} == {"lock", "journal.jsonl"}


def test_bad_images_are_a_line_each_and_the_status_says_so(
    tiny_model: Model, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "images", tmp_path / "masks"
    source.mkdir()
    (source / "bad.nii").write_bytes(b"no volume")
    (source / "good.nii").write_bytes((images / "0/ct_00.nii").read_bytes())
    (source / "notes.txt").touch()
    assert main(["predict", str(tiny_model.folder), str(source), "-o", str(target), "--json"]) == 2
    told = capsys.readouterr()
    lines = [line for line in told.err.splitlines() if "%" not in line]
    assert lines[0].startswith(f"segline predict: {source}/bad.nii: ")
    assert lines[1].startswith(f"segline predict: {source}/good.nii: not to be trusted, ")
    assert "spleen is not found" in lines[1]
    assert lines[2:] == [f"segline predict: {source}: 1 images have no answer; {target}/volumes.csv says why"]
    bad, good = map(json.loads, told.out.splitlines())
    assert bad.keys() == {"image", "error"}
    assert good.keys() == {"image", "answer", "labelled_voxels", "volumes_ml", "seconds", "remarks", "trust"}
    assert not good["trust"]["trusted"]
    assert (target / "good.nii.gz").is_file()


def test_a_series_goes_to_a_file_or_into_a_folder(tiny_model: Model, tmp_path: Path) -> None:
    write_series(tmp_path / "ct", numbered(8, 16, 16))
    for output in ("mask.nii.gz", "masks"):
        assert (
            main(["predict", str(tiny_model.folder), str(tmp_path / "ct"), "-o", str(tmp_path / output)]) == 0
        )
    assert (tmp_path / "mask.nii.gz").read_bytes() == (tmp_path / "masks/ct.nii.gz").read_bytes()


@pytest.mark.parametrize(
    ("output", "told"),
    [
        ("masks.mha", "a mask is written to"),
        ("file", "is a file"),
        (".", "is the folder of the images itself"),
    ],
)
def test_where_no_folder_can_be_nothing_is_written(
    output: str, told: str, tiny_model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    assert main(["predict", str(tiny_model.folder), str(tmp_path), "-o", str(tmp_path / output)]) == 2
    assert told in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before
