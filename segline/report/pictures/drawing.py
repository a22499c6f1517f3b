"""What all charts are drawn on: SVG whose colours, fonts and width are the page's."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from segline.report.html.markup import Html

# Matplotlib knows no CSS variables: these colours are drawn, then replaced.
INK, MUTED, LINE, PAPER = "#010203", "#020304", "#030405", "#040506"
SERIES = tuple(f"#0a0b{0x10 + i:02x}" for i in range(6))
_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    LINE: "var(--line)",
    PAPER: "var(--card)",
    **{color: f"var(--series-{i + 1})" for i, color in enumerate(SERIES)},
}
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "segline",
    "text.parse_math": False,
    "font.size": 8.5,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "lines.linewidth": 1.6,
    "figure.facecolor": "none",
}
_WIDTH_INCHES = 10.0


@contextmanager
def drawing(height_inches: float, rows: int, columns: int = 1, **layout: Any) -> Iterator[tuple[Any, Any]]:
    """A figure as wide as the page, and its axes row by row; ``layout`` is of the grid of axes."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    share_x = layout.pop("sharex", False)
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH_INCHES, height_inches), layout="constrained")
        axes = figure.subplots(rows, columns, sharex=share_x, squeeze=False, gridspec_kw=layout)
        yield figure, axes.ravel()


def svg(figure: Any, title: str) -> Html:
    """The figure as one element that takes the page's fonts, colours and width."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    drawn = stream.getvalue()
    drawn = drawn[drawn.index("<svg") :].rstrip()
    drawn = re.sub(r"<style.*?</style>", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r"font-family: [^;\"]*;? ?", "", drawn)
    drawn = re.sub(r'<g id="[^"]*"', "<g", drawn)
    drawn = re.sub(
        r'(<svg[^>]*?) width="[^"]*" height="[^"]*"', rf'\1 role="img" aria-label="{title}"', drawn
    )
    return Html(re.sub("|".join(_VARIABLES), lambda match: _VARIABLES[match[0]], drawn))
