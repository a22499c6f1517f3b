"""The pages of ``docs/``, as a reader walks through them: block after block, in a folder of their own."""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
WALKED = (("own-data", "clinic"), pytest.param(("retraining",), marks=pytest.mark.slow))
"""Pages one after the other. What retraining comes to is tested by ``tests/pipelines/test_retraining.py``."""
_BLOCK = re.compile(r"^```(sh|python|yaml \S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?:)([^)#]*)(#[^)]*)?\)")


def blocks(page: str) -> list[tuple[str, str]]:
    """What a page tells its reader to type, in its order."""
    return _BLOCK.findall((ROOT / f"docs/{page}.md").read_text())


def script(pages: Sequence[str], port: int) -> str:
    """The same of each page as one script, with trainings of seconds."""
    lines = ["set -euo pipefail"]
    for kind, text in (block for page in pages for block in blocks(page)):
        if kind == "sh":
            lines.append(re.sub(r"MAX_MINUTES=\d+", "MAX_MINUTES=0.1", text).replace("8000", str(port)))
        else:
            program = f"{sys.executable} -" if kind == "python" else f"cat > {kind.removeprefix('yaml ')}"
            lines.append(f"{program} <<'END'\n{text}END")
    return "\n".join(lines)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder that holds what a clone does, and nothing that a run left."""
    for path in ROOT.iterdir():
        if path.name not in ("runs", "store", ".git"):
            (tmp_path / path.name).symlink_to(path)
    return tmp_path


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("pages", WALKED, ids="-and-".join)
def test_a_page_s_commands_do_what_it_says(pages: Sequence[str], checkout: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    done = subprocess.run(
        ["bash", "-c", script(pages, port)],
        cwd=checkout,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.stem)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for path, anchor in _LINK.findall(page.read_text()):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), path
        if anchor:
            heads = re.findall(r"^#+ (.*)$", target.read_text().lower(), re.MULTILINE)
            slugs = {re.sub(r"[^a-z0-9 -]", "", head).replace(" ", "-") for head in heads}
            assert anchor.removeprefix("#") in slugs


def test_every_page_is_named_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [page.name for page in PAGES if f"docs/{page.name}" not in readme] == []
