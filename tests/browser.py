"""Debian's Chromium, drawing on the CPU, for tests of the pages that show volumes."""

import io
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from pipelines.niivue import HOME

_ON_CPU = [
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
]
_NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_MS = 60_000
"""On a machine that is busy with other things, too."""

Open = Callable[..., Any]
"""Of a context's settings, gives a page that no request leaves but to the loopback interface."""


def find_chromium() -> str:
    """Its path, from ``$CHROMIUM`` or ``PATH``; the test is skipped where there is none."""
    found = os.environ.get("CHROMIUM") or next((path for path in map(shutil.which, _NAMES) if path), None)
    if found is None:
        pytest.skip("no Chromium on this machine; install it, or set CHROMIUM")
    if not (HOME / "niivue" / "niivue.umd.js").is_file():
        pytest.skip("NiiVue is not in this checkout; run `make niivue`")
    return found


@contextmanager
def chromium() -> Iterator[Any]:
    """A running browser."""
    path = find_chromium()
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        yield driver.chromium.launch(executable_path=path, args=["--no-sandbox", *_ON_CPU])


@contextmanager
def one_page(browser: Any, **settings: Any) -> Iterator[Any]:
    """A page; at the end, whatever it asked of others, or complained of, is a failure."""
    settings = {"viewport": {"width": 900, "height": 560}, "accept_downloads": True, **settings}
    context = browser.new_context(**settings)
    context.set_default_timeout(PATIENCE_MS)
    page, wrong = context.new_page(), []
    page.on("request", lambda request: wrong.append(request.url) if _leaves(request.url) else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if "Content Security" in said.text else None)
    try:
        yield page
    finally:
        context.close()
    assert wrong == []


def _leaves(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme not in ("data", "blob", "file") and parts.hostname != "127.0.0.1"


def pixels(page: Any, selector: str = ".stage") -> np.ndarray:
    """What is seen of an element, ``(rows, columns, 3)`` int."""
    shot = page.locator(selector).screenshot()
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).astype(int)


def painted(seen: np.ndarray, colour: str) -> int:
    """How many pixels have the hue of ``#rrggbb``: a colour over grey."""
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    wanted = np.array([red, green, blue], float) - np.mean([red, green, blue])
    given = seen - seen.mean(axis=2, keepdims=True)
    size = np.linalg.norm(given, axis=2)
    alike = given @ wanted / np.maximum(size * np.linalg.norm(wanted), 1e-6)
    return int(((size > 25) & (alike > 0.97)).sum())


def file_of(path: Path) -> dict[str, Any]:
    """A file as Playwright takes it."""
    return {"name": path.name, "mimeType": "application/octet-stream", "buffer": path.read_bytes()}
