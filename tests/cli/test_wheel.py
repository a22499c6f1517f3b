"""The wheel, as a user installs it: no checkout, pipeline or tests beside it."""

import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import numpy as np
import pytest

from segline import __version__
from segline.imaging.files import write_volume
from segline.imaging.volume import Volume
from segline.model.package import Model
from segline.serving.models.served import Served

from ..conftest import ROOT
from ..serving import server

pytestmark = pytest.mark.heavy


def run(*command: str | Path, cwd: Path) -> str:
    """What a command prints, which must succeed."""
    done = subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tracked() -> set[str]:
    """The library's files, as git knows them."""
    return set(run("git", "ls-files", "segline", cwd=ROOT).split())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built of what git knows: a build in the checkout would leave its folders there."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in (*tracked(), "pyproject.toml", "README.md", "LICENSE"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, source / name)
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", built, source, cwd=source)
    (path,) = built.glob("*.whl")
    return path


def new_environment(folder: Path) -> Path:
    """The programs of an empty one."""
    run(sys.executable, "-m", "venv", folder, cwd=folder.parent)
    return folder / "bin"


def require_answer(programs: Path, model: Model, folder: Path) -> None:
    """The installed command must answer as the checkout does."""
    rng = np.random.default_rng(0)
    volume = Volume(rng.integers(-1000, 500, (1, 40, 40, 24), np.int16), np.diag([6.0, 6, 6, 1]))
    write_volume(folder / "ct.nii.gz", volume)
    run(programs / "segline", "predict", model.folder, "ct.nii.gz", "-o", "mask.nii.gz", cwd=folder)
    write_volume(folder / "ours.nii.gz", Served(model, device="cpu").reply(volume).answer)
    assert (folder / "mask.nii.gz").read_bytes() == (folder / "ours.nii.gz").read_bytes()
    where = run(programs / "python", "-c", "import segline; print(segline.__file__)", cwd=folder)
    assert Path(where.strip()).is_relative_to(programs.parent)


def test_every_file_of_the_library_is_in_it_and_nothing_else(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == tracked()
    assert wheel.name == f"segline-{__version__}-py3-none-any.whl"


def test_it_predicts_where_there_is_no_checkout(wheel: Path, tiny_model: Model, tmp_path: Path) -> None:
    programs = new_environment(tmp_path / "venv")
    run(programs / "pip", "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=tmp_path)
    (packages,) = (tmp_path / "venv/lib").glob("python*/site-packages")
    # what segline needs is found where it is installed already; the checkout, a link of that place, is not
    (packages / "needed.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    assert run(programs / "segline", "--version", cwd=tmp_path).split()[-1] == __version__
    require_answer(programs, tiny_model, tmp_path)


@pytest.mark.slow
def test_it_predicts_and_serves_in_an_empty_environment_without_torch(
    wheel: Path, tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = new_environment(tmp_path / "venv")
    run(programs / "pip", "install", "--quiet", f"{wheel}[serve]", cwd=tmp_path)
    assert "torch" not in run(programs / "pip", "list", cwd=tmp_path).split()
    require_answer(programs, tiny_model, tmp_path)
    monkeypatch.setattr(server, "ROOT", tmp_path)
    with server.Server(tiny_model.folder, tmp_path, python=programs / "python") as running:
        served = running.post((tmp_path / "ct.nii.gz").read_bytes())
        assert served.content == (tmp_path / "mask.nii.gz").read_bytes()
