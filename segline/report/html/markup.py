"""HTML that is safe by construction: a string that is not :class:`Html` already is escaped on its way in."""

import base64
from collections.abc import Callable, Iterable, Sequence
from html import escape

from segline.common.errors import SeglineError

_VOID = {"img", "meta", "source"}


class Html(str):
    """A finished piece of HTML."""

    __slots__ = ()


class Cell(Html):
    """A finished table cell."""

    __slots__ = ()


Content = str | None
"""Text, which is escaped; :class:`Html`, which is not; or nothing."""

Attribute = str | int | float | bool | None


def element(tag: str, *children: Content, **attributes: Attribute) -> Html:
    """An element; ``class_`` stands for ``class``, ``data_x`` for ``data-x``; ``None`` for nothing.

    >>> element("p", "1 < 2", class_="x")
    '<p class="x">1 &lt; 2</p>'
    """
    given = [_attribute(name, value) for name, value in attributes.items() if value is not None]
    opening = Html(f"<{tag}{''.join(given)}>")
    return opening if tag in _VOID else Html(f"{opening}{join(children)}</{tag}>")


def join(children: Iterable[Content]) -> Html:
    """Pieces one after another."""
    return Html(
        "".join(
            child if isinstance(child, Html) else escape(child) for child in children if child is not None
        )
    )


def cell(*children: Content, **attributes: Attribute) -> Cell:
    """A table cell of words."""
    return Cell(element("td", *children, **attributes))


def number(*children: Content, sort: float | None = None, **attributes: Attribute) -> Cell:
    """A table cell of figures, right-aligned; ``sort`` is what its column is sorted by."""
    return Cell(element("td", *children, **{"class_": "number", "data_sort": sort, **attributes}))


def heading(*children: Content, numeric: bool = False, **attributes: Attribute) -> Cell:
    """A column's heading."""
    kind = {"class_": "number"} if numeric else {}
    return Cell(element("th", *children, **{"scope": "col", **kind, **attributes}))


def table(
    head: Sequence[Content],
    rows: Iterable[Sequence[Content]],
    class_: str | None = None,
    above: Sequence[Content] = (),
) -> Html:
    """A table that scrolls sideways where the page is narrow; contents that are no cell yet become one.

    ``above`` is a second row of headings, over ``head``.
    """
    heads = [element("tr", *(_celled(c, heading) for c in row)) for row in (above, head) if row]
    body = element("tbody", *(element("tr", *(_celled(c, cell) for c in row)) for row in rows))
    top = element("thead", *heads) if heads else None
    return element("div", element("table", top, body, class_=class_), class_="scroll")


def details(summary: str, *children: Content) -> Html:
    """Contents that are folded away."""
    return element("details", element("summary", summary), *children)


def preformatted(text: str) -> Html:
    """Text as it stands, in a box that scrolls."""
    return element("pre", text, tabindex=0)


def drawn(draw: Callable[[], Html]) -> Html:
    """A picture; or, where it cannot be made, a line that says why."""
    try:
        return draw()
    except SeglineError as error:
        why = str(error)
    except ModuleNotFoundError as error:
        why = f"{error.name} is not installed here: pip install 'segline[evaluation,report]'"
    return element("p", f"No picture: {why}", class_="absent")


def chart(draw: Callable[[], Html], caption: str, **attributes: Attribute) -> Html:
    """A picture with the line below it that says how to read it."""
    return element("figure", drawn(draw), element("figcaption", caption), class_="chart", **attributes)


def data_uri(content: bytes, mime: str) -> str:
    """Bytes as an address that holds them."""
    return f"data:{mime};base64,{base64.b64encode(content).decode('ascii')}"


def _attribute(name: str, value: Attribute) -> str:
    if value is False:
        return ""
    plain = name.rstrip("_").replace("_", "-")
    return f" {plain}" if value is True else f' {plain}="{escape(str(value))}"'


def _celled(content: Content, make: Callable[[Content], Cell]) -> Cell:
    return content if isinstance(content, Cell) else make(content)
