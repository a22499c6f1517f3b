"""The manifests as they are written, and as ``kubectl kustomize`` renders them."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

Document = dict[str, Any]

MANIFESTS = Path(__file__).resolve().parents[2] / "manifests"
OVERLAYS = sorted(path.name for path in (MANIFESTS / "overlays").iterdir())


def written() -> dict[str, Document]:
    """Every Kubernetes object of the repository by file and number, but patches that are part of another."""
    folders = [MANIFESTS / name for name in ("base", "components", "overlays", "serve")]
    files = [file for folder in folders for file in sorted(folder.rglob("*.yaml"))]
    return {
        f"{file.relative_to(MANIFESTS)} {number}": document
        for file in files
        if file.name != "kustomization.yaml"
        for number, document in enumerate(yaml.safe_load_all(file.read_text(encoding="utf-8")))
    }


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of ``manifests`` with freshly generated secrets."""
    folder = shutil.copytree(
        MANIFESTS, tmp_path_factory.mktemp("checkout") / "manifests", ignore=shutil.ignore_patterns("*.env")
    )
    subprocess.run([folder / "secrets/generate"], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def rendered(checkout: Path) -> dict[str, list[Document]]:
    """Every overlay's objects."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed: the overlays are not rendered")
    return {overlay: _kustomize(checkout / "overlays" / overlay) for overlay in OVERLAYS}


@pytest.fixture(scope="session")
def profile(checkout: Path) -> list[Document]:
    """The objects of one user's namespace."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed: the profile is not rendered")
    (checkout / "profile/s3.env").write_text("AWS_ACCESS_KEY_ID=alice\nAWS_SECRET_ACCESS_KEY=secret\n")
    return _kustomize(checkout / "profile")


@pytest.fixture(scope="session")
def serve(checkout: Path) -> list[Document]:
    """The objects of a server, alone."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed: the server is not rendered")
    return _kustomize(checkout / "serve")


@pytest.fixture(scope="session")
def serve_with_all(checkout: Path) -> list[Document]:
    """The objects of a server with every component."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed: the server is not rendered")
    folder = checkout / "serve_with_all"
    folder.mkdir()
    components = [f"../serve/{name}" for name in ("monitoring", "queue", "s3")]
    (folder / "kustomization.yaml").write_text(
        yaml.safe_dump({"resources": ["../serve"], "components": components})
    )
    return _kustomize(folder)


@pytest.fixture(params=["written", *OVERLAYS, "profile", "serve", "serve_with_all"])
def documents(request: pytest.FixtureRequest) -> list[Document]:
    """The objects as written, and those of each overlay in turn."""
    if request.param == "written":
        return list(written().values())
    if request.param not in OVERLAYS:
        alone: list[Document] = request.getfixturevalue(request.param)
        return alone
    overlays: dict[str, list[Document]] = request.getfixturevalue("rendered")
    return overlays[request.param]


def _kustomize(folder: Path) -> list[Document]:
    done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))
