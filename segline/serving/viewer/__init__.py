"""The page of the server: what it is made of, and where each file of it lies."""

from importlib import resources
from pathlib import Path

from segline.common.errors import SeglineError

_OWN = ("page.css", "zip.js", "files.js", "service.js", "answer.js", "page.js")
_SHARED = ("viewer.css", "scene.js", "controls.js")
"""With ``viewer.html`` of a run."""
_NIIVUE = ("niivue.umd.js", "LICENSES.txt")
"""Made by others, and fetched when an installation is set up."""


def page_files() -> dict[str, Path]:
    """The page's files by their addresses relative to it; that of the page itself is empty.

    Raises:
        SeglineError: NiiVue, which volumes are drawn with, is not in this installation.
    """
    library = Path(str(resources.files("segline")))
    own, shared = library / "serving" / "viewer", library / "report" / "viewer"
    files = {"": own / "index.html"}
    files |= {f"viewer/{name}": own / name for name in _OWN}
    files |= {f"viewer/{name}": shared / name for name in _SHARED}
    files |= {f"viewer/{name}": shared / "niivue" / name for name in _NIIVUE}
    missing = next((path for path in files.values() if not path.is_file()), None)
    if missing is not None:
        raise SeglineError(
            f"{missing.name}: not in this installation, so that there is no page; `make niivue` fetches it"
        )
    return files
