"""The house: rooms with floors, small enough to know, and cheap to enter."""

import ast
import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "segline"
MODULES = sorted(LIBRARY.rglob("*.py"))
ROOMS = sorted(path.parent for path in LIBRARY.glob("*/__init__.py"))


def loaded_by(statement: str) -> set[str]:
    """The modules that a fresh process has after a statement."""
    script = f"import contextlib, io, json, sys\n{statement}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def ours(modules: set[str]) -> set[str]:
    return {name for name in modules if name.partition(".")[0] == "segline"}


def rooms_of(modules: set[str]) -> set[str]:
    return {name.split(".")[1] for name in ours(modules) if "." in name}


def linted(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-logo"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_backends_are_asked_for_without_loading_them() -> None:
    modules = loaded_by("import segline.backends")
    assert len(ours(modules)) <= 12
    assert not {"torch", "numpy", "pydantic"} & modules


@pytest.mark.heavy
def test_what_predicts_loads_nothing_that_trains_or_registers() -> None:
    modules = loaded_by(
        "import segline.imaging.files, segline.inference.predictor, segline.model.package\n"
        "import segline.backends.pytorch, segline.backends.onnx_runtime, segline.backends.open_vino_int8"
    )
    upper = {
        "training",
        "data",
        "evaluation",
        "acceptance",
        "runs",
        "report",
        "registry",
        "tracking",
        "stages",
    }
    assert not upper & rooms_of(modules)


def test_the_command_says_what_it_can_do_before_anything_heavy_is_loaded() -> None:
    modules = loaded_by(
        "from segline.cli.main import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "    main(['--help'])"
    )
    assert len(ours(modules)) <= 14
    assert not {"torch", "numpy", "pydantic", "monai", "nibabel", "mlflow", "yaml"} & modules


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What the contracts are held against, to be broken."""
    for name in ("segline", "components", "pipelines"):
        shutil.copytree(
            ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "compiled")
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("common/errors.py", "import segline.plan", "a room stands above all that it imports"),
        ("imaging/volume.py", "import segline.networks.weights", "a room stands above all that it imports"),
        ("imaging/geometry.py", "import segline.imaging.volume", "No circle"),
        ("stages/frame.py", "import kfp", "knows nothing of Kubeflow"),
    ],
)
def test_a_floor_that_is_crossed_is_told(copy: Path, module: str, line: str, contract: str) -> None:
    path = copy / "segline" / module
    path.write_text(f"{path.read_text()}\n{line}\n")
    done = linted(copy)
    assert done.returncode != 0
    assert any(contract in told for told in done.stdout.splitlines() if told.endswith("BROKEN"))


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_every_room_says_what_it_is_for_and_the_map_says_the_same(room: Path) -> None:
    told = ast.get_docstring(ast.parse((room / "__init__.py").read_text())) or ""
    first, *limits = told.split("\n\n")
    assert limits, "and what may not be known in it"
    readme = " ".join((ROOT / "docs/developing.md").read_text().split())
    assert " ".join(first.replace("``", "`").split()) in readme


def test_no_module_is_long_and_no_room_crowded() -> None:
    assert {path: lines for path in MODULES if (lines := len(path.read_text().splitlines())) > 300} == {}
    folders = {path.parent for path in MODULES}
    assert {folder: n for folder in folders if (n := len(list(folder.glob("*.py")))) > 12} == {}


def test_functions_are_short() -> None:
    lengths = sorted(length for path in MODULES for length in _lengths(ast.parse(path.read_text())))
    assert statistics.median(lengths) <= 5
    assert lengths[int(0.95 * len(lengths))] <= 17
    assert lengths[-1] <= 38


def _lengths(tree: ast.Module) -> Iterator[int]:
    """Lines of code of each function, its docstring not counted."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            yield (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
