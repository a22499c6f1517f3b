"""How images are named and written down."""

import json
import shutil
from pathlib import Path

import pytest

from pipelines import images
from pipelines.cluster.footprint import Demand
from pipelines.images import ROOT, content_tag, write_references
from pipelines.resources import Variant


@pytest.fixture()
def checkout(tmp_path: Path) -> Path:
    """A checkout of a few files."""
    for name in ("images/Dockerfile", "segline/plan/plan.py", "requirements.txt", "README.md"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path


@pytest.mark.parametrize("name", ["images/Dockerfile", "segline/plan/plan.py", "requirements.txt"])
def test_the_tag_changes_with_what_is_built_in(name: str, checkout: Path) -> None:
    before = content_tag(checkout)
    (checkout / name).write_text("another")
    assert content_tag(checkout) != before


@pytest.mark.parametrize("name", ["README.md", "segline/__pycache__/plan.pyc", "images/digests.json"])
def test_the_tag_stays_with_what_is_not(name: str, checkout: Path) -> None:
    before = content_tag(checkout)
    (checkout / name).parent.mkdir(parents=True, exist_ok=True)
    (checkout / name).write_text("another")
    assert content_tag(checkout) == before


def test_two_checkouts_of_the_same_files_have_the_same_tag(
    checkout: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    copy = shutil.copytree(checkout, tmp_path_factory.mktemp("copy") / "checkout")
    assert content_tag(copy) == content_tag(checkout)


def test_the_compiler_takes_what_was_built_last(tmp_path: Path) -> None:
    path = tmp_path / "digests.json"
    local, pushed = f"segline-base:{content_tag()}", f"registry.test/segline-gpu@sha256:{'a' * 64}"
    write_references({"base": "segline-base:0.1.0-000000000000", "gpu": pushed}, path)
    write_references({"base": local}, path)
    assert json.loads(path.read_text()) == {"base": local, "gpu": pushed}
    target = Variant.of(Demand(), path)
    assert [target.image(name) for name in ("base", "gpu", "tensorrt")] == [
        local,
        pushed,
        "segline-tensorrt:0.1.0",
    ]


def test_without_docker_it_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert images.main(["base"]) == 2
    assert capsys.readouterr().err.startswith("segline: docker: not installed")


def test_without_an_engine_it_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if shutil.which("docker") is None:
        pytest.skip("the docker command is not installed")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path / 'none.sock'}")
    assert images.main(["base"]) == 2
    line = capsys.readouterr().err
    assert line.startswith("segline: docker version: ") and line.count("\n") == 1


def test_what_is_built_from_is_there() -> None:
    assert all((ROOT / name).exists() for name in images.INPUTS)
