"""``python -m pipelines.niivue``, by npm itself; without its registry, in one line."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pipelines.images import ROOT
from pipelines.niivue import HOME, fetch
from segline.common.errors import SeglineError


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The lock file, and nothing that was fetched."""
    for name in ("package.json", "package-lock.json", "NIIVUE-LICENSE"):
        shutil.copy(HOME / name, tmp_path)
    return tmp_path


def test_every_package_is_locked_by_its_digest_and_no_address_is_named() -> None:
    lock = (HOME / "package-lock.json").read_text()
    packages = {name: of for name, of in json.loads(lock)["packages"].items() if name}
    assert packages["node_modules/@niivue/niivue"]["version"] == "0.69.0"
    assert all(of["integrity"].startswith("sha512-") for of in packages.values())
    assert "resolved" not in lock, "whichever registry a machine uses"


def test_a_registry_that_cannot_be_reached_is_told_in_one_line(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://127.0.0.1:9")
    monkeypatch.setenv("NPM_CONFIG_CACHE", str(home / "cache"))
    with pytest.raises(
        SeglineError, match=r"NiiVue cannot be fetched: .*ECONNREFUSED.*`make niivue`"
    ) as told:
        fetch(home)
    assert "\n" not in str(told.value) and not (home / "niivue").exists()


def test_what_was_fetched_is_one_script_with_the_licences_of_all_that_is_in_it() -> None:
    fetched = HOME / "niivue"
    if not fetched.is_dir():
        pytest.skip("NiiVue is not in this checkout; run `make niivue`")
    assert {path.name for path in fetched.iterdir()} == {"niivue.umd.js", "LICENSES.txt"}
    licences = (fetched / "LICENSES.txt").read_text()
    assert {"@niivue/niivue", "gl-matrix", "fflate", "nifti-reader-js"} <= set(
        re.findall("== (.*)", licences)
    )
    assert "Copyright (c) 2021, Niivue" in licences


def test_it_is_no_part_of_the_repository() -> None:
    listed = subprocess.run(["git", "ls-files", HOME], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "niivue.umd.js" not in listed.stdout


def test_an_image_is_not_built_without_it(tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", ROOT / "images/install", "code"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert done.stderr.startswith("install: segline/report/viewer/niivue is missing; run `make niivue`")
