"""Names that others gave, as plain text in Markdown."""

import re
from collections.abc import Iterable, Iterator, Sequence

_MARKS = re.compile(
    r"""[\\`*\[\]<>|~&$]       # of CommonMark, of tables, and of formulas
    | (?<![A-Za-z0-9])_        # within a word it marks nothing
    | _(?![A-Za-z0-9])
    | \#(?=\#*$)               # what ends a heading
    | :(?=//) | @ | (?<=www)\. # what becomes a link of itself
    """,
    re.VERBOSE,
)
_BEGINNING = re.compile(r"^(\d+(?=[.)](?:\s|$))|(?=[-+](?:[\s-]|$)|[=#]))")
"""What makes a list, a heading or a line of the line that it begins."""


def plain(text: str) -> str:
    r"""Text in one line in which nothing is a mark.

    >>> plain("a_b"), plain("*a*|<b>"), plain("two\nlines"), plain("# not a heading")
    ('a_b', '\\*a\\*\\|\\<b\\>', 'two lines', '\\# not a heading')
    """
    marked = _MARKS.sub(r"\\\g<0>", " ".join(text.split()))
    return _BEGINNING.sub(r"\1\\", marked)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a table, of which all cells are plain text."""
    for cells in (map(plain, head), ["---"] * len(head), *(map(plain, row) for row in rows)):
        yield "| " + " | ".join(cells) + " |"
