"""A whole HTML document in one file that needs no other."""

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources

from segline.report.html.markup import Html, element


def document(title: str, parts: Sequence[Html | None]) -> str:
    """Parts in order, with the one stylesheet and script that all pages share."""
    style, script = _resource("style.css"), _resource("sort.js")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_policy(script)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", style),
    )
    body = element("body", element("main", *parts), element("script", script))
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _resource(name: str) -> Html:
    return Html(resources.files("segline.report").joinpath(name).read_text(encoding="utf-8"))


def _policy(script: str) -> str:
    """Nothing may be loaded, and no script may run but the page's own."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
