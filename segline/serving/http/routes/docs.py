"""``/docs``: what may be asked, read off the OpenAPI document; nothing is fetched for it from elsewhere."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 2rem; } code { background: #8882; padding: .1em .3em; border-radius: .2em; }
details { margin: .4rem 0; } summary { cursor: pointer; } b { display: inline-block; min-width: 4.5rem; }
:root { color-scheme: light dark; }
"""
_HEAD = (
    "<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
)
_HOW = """<pre>curl --data-binary @CT.nii.gz {url}v1/predict -o MASK.nii.gz
curl --data-binary @CT.nii.gz {url}v1/predict?format=json
curl --data-binary @series.zip {url}v1/jobs</pre>"""


def docs_page(document: Mapping[str, Any], url: str) -> str:
    """The page, as HTML; ``url`` is where the server is reached."""
    info = document["info"]
    head = f"{_HEAD}<title>{escape(info['title'])} {escape(info['version'])}</title><style>{_STYLE}</style>"
    intro = f"<h1>{escape(info['title'])}</h1><p>{escape(info['description'])} "
    link = "The same for machines: <a href='openapi.json'>openapi.json</a>.</p>"
    groups = "".join(_groups(document["paths"]))
    return f"{head}{intro}{link}{_HOW.format(url=escape(url))}{groups}</html>"


def _groups(paths: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    listed = [(path, method, asked) for path, methods in paths.items() for method, asked in methods.items()]
    for tag in dict.fromkeys(asked["tags"][0] for _, _, asked in listed):
        yield f"<h2>{escape(tag)}</h2>"
        yield from (_route(*one) for one in listed if one[2]["tags"][0] == tag)


def _route(path: str, method: str, asked: Mapping[str, Any]) -> str:
    told = escape(asked.get("description", ""))
    body = asked.get("requestBody", {}).get("description", "")
    parts = [f"<p>{told}</p>", f"<p>Body: {escape(body)}</p>" if body else ""]
    for parameter in asked.get("parameters", []):
        values = parameter.get("schema", {}).get("enum", [])
        choice = f": {', '.join(values)}" if values else ""
        parts.append(f"<p><code>{escape(parameter['name'])}</code> ({parameter['in']}){escape(choice)}</p>")
    summary = f"<summary><b>{method.upper()}</b> <code>{escape(path)}</code></summary>"
    return f"<details>{summary}{''.join(parts)}</details>"
