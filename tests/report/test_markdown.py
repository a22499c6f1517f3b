"""Names that others gave stay plain text in Markdown, as a renderer of CommonMark and of tables reads it."""

import html
import re

import pytest

from segline.report.markdown import plain, table

markdown_it = pytest.importorskip("markdown_it", reason="not installed; it comes with rich")

HOSTILE = [
    "liver|tumour",
    "*bold* and _slanted_ and __strong__",
    "`code`",
    "<script>alert(1)</script>",
    "[x](javascript:alert(1))",
    "![x](http://example.org/pixel.png)",
    "two\nlines\n\n# and a heading",
    "~~struck~~",
    "&lt;b&gt;",
    "back\\slash\\|bar",
    "- a list",
    "1. a list",
    "# a heading #",
    "---",
    "https://example.org and www.example.org and a@example.org",
    "<https://example.org>",
    "spleen_8",
]


def rendered(text: str) -> str:
    reader = markdown_it.MarkdownIt("commonmark").enable(["table", "strikethrough"])
    return str(reader.render(text)).strip()


def words(name: str) -> str:
    return html.escape(" ".join(name.split()))


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize(
    ("before", "after", "around"),
    [
        ("", "", "<p>{}</p>"),
        ("- Data set: ", ".", "<ul>\n<li>Data set: {}.</li>\n</ul>"),
        ("# Model card: ", "", "<h1>Model card: {}</h1>"),
    ],
)
def test_a_name_is_what_it_says_wherever_it_stands(name: str, before: str, after: str, around: str) -> None:
    assert rendered(f"{before}{plain(name)}{after}") == around.format(words(name))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_in_a_table_stays_in_its_cell(name: str) -> None:
    page = rendered("\n".join(table(("Label", "Dice"), [(name, "0.9")])))
    assert re.findall(r"<td>(.*)</td>", page) == [words(name), "0.9"]


def test_a_name_without_marks_is_left_as_it_is() -> None:
    for name in ("spleen_8", "CC BY-SA 4.0", "T1-weighted (3 T)", "torch 2.13.0+cpu", "2-3 cases"):
        assert plain(name) == name
