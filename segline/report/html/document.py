"""A whole HTML document in one file that needs no other."""

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources

from segline.report.html.markup import Html, element


def document(title: str, parts: Sequence[Html | None]) -> str:
    """Parts in order, with the one stylesheet and script that all pages of text share."""
    return assembled(title, [element("main", *parts)], resource("style.css"), [resource("sort.js")])


def assembled(
    title: str, body: Sequence[Html | None], style: str, scripts: Sequence[str], *, draws: bool = False
) -> str:
    """A document of its own stylesheet and scripts, which run in their order; ``draws``: on a canvas.

    Data that scripts read are elements ``script`` of a type that is no script's.
    """
    ours = [Html(script.replace("</script", "<\\/script")) for script in scripts]
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_policy(ours, draws)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", Html(style)),
    )
    whole = element("body", *body, *(element("script", script) for script in ours))
    return f"<!doctype html>\n{element('html', head, whole, lang='en')}\n"


def resource(name: str) -> Html:
    """A file beside this package's modules."""
    return Html(resources.files("segline.report").joinpath(name).read_text(encoding="utf-8"))


def _policy(scripts: Sequence[str], draws: bool) -> str:
    """Nothing may be loaded, and no script may run but the page's own."""
    digests = [hashlib.sha256(script.encode()).digest() for script in scripts]
    ours = " ".join(f"'sha256-{base64.b64encode(digest).decode('ascii')}'" for digest in digests)
    own = "img-src data: blob:; connect-src data: blob:" if draws else "img-src data:"
    return f"default-src 'none'; {own}; style-src 'unsafe-inline'; script-src {ours}"
