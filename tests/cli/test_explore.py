"""``segline explore``, as a user types it."""

from pathlib import Path

import pytest

from segline.cli.main import main
from tests.command import segline
from tests.exploration.bodies import write_bodies
from tests.exploration.test_findings import in_parts

pytestmark = pytest.mark.heavy


def test_a_page_is_named_after_the_data_and_written_here(tmp_path: Path) -> None:
    write_bodies(tmp_path / "data/Bodies", in_parts)
    done = segline("explore", "data/Bodies/", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "Bodies.html: 10 cases, 1 finding\n"
    assert "[explore] 100% 10 of 10 cases measured" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Bodies.html", "data"]
    assert "liver has 2 parts" in (tmp_path / "Bodies.html").read_text()


def test_a_task_and_overrides_decide_the_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, page = write_bodies(tmp_path / "Bodies", cases=4), tmp_path / "page.html"
    task = tmp_path / "mine.yaml"
    task.write_text("name: mine\nsource: nowhere\nplan: {training: {patch_size: [16, 16, 16]}}\n")
    command = ["explore", str(root), "-o", str(page), "--task", str(task), "--set", "training.epochs=7"]
    assert main(command) == 0, capsys.readouterr().err
    assert "16 × 16 × 16 voxels" in page.read_text()
    assert "7 epochs" in page.read_text()


def test_a_phantom_needs_no_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    overrides = ["--set", "preprocessing.spacing_mm=[8, 8, 8]"]
    assert main(["explore", "phantom:3", "-o", str(page), *overrides]) == 0, capsys.readouterr().err
    assert "<h1>Phantom</h1>" in page.read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere"], "'nowhere': no such data source"),
        (["DATA", "-o", "page.txt"], "page.txt: a page is written to .html; name it so"),
        (["DATA", "-o", "FOLDER.html"], "is a folder; name a file in it"),
        (["DATA", "--task", "liver"], "task 'liver': no such task"),
        (["DATA", "--set", "training.epochs"], "key=value is needed"),
        (["FOLDER.html"], "dataset.json: no such file in"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    arguments: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_bodies(tmp_path / "DATA", cases=3)
    (tmp_path / "FOLDER.html").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main(["explore", *arguments]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_a_page_that_is_there_stays_where_the_data_cannot_be_read(tmp_path: Path) -> None:
    root, page = write_bodies(tmp_path / "DATA", cases=3), tmp_path / "page.html"
    page.write_text("before")
    (root / "dataset.json").write_text("{}")
    assert main(["explore", str(root), "-o", str(page)]) == 2
    assert page.read_text() == "before"
