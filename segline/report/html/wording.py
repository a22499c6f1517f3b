"""How the report words figures: digits, units, and what stands where there is no figure."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from segline.evaluation.estimates import Estimate
from segline.evaluation.figures import Figure
from segline.report.html.markup import Cell, Html, element, heading, join, number

_BETTER = {"higher": "higher is better", "lower": "lower is better", "zero": "nearer 0 is better"}


MOST_ROWS = 500
"""Of a table, or a list of names: thousands of cases would make a page that no browser likes."""


def dash(why: str) -> Html:
    """What stands where there is no figure; ``why`` shows on hovering."""
    return element("span", "–", class_="none", title=why)


def decimal(value: float, digits: int, signed: bool = False) -> str:
    """A figure with a true minus sign.

    >>> decimal(-0.126, 2)
    '−0.13'
    """
    text = f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", "−")


def percent(share: float, digits: int = 1, signed: bool = False) -> str:
    """A share in per cent.

    >>> percent(0.125)
    '12.5 %'
    """
    return decimal(100 * share, digits, signed) + " %"


def small_share(share: float) -> str:
    """A share that may be tiny, to two significant digits or more.

    >>> small_share(0.00123), small_share(0.986)
    ('0.12 %', '98.6 %')
    """
    return f"{100 * share:.2g} %" if share < 0.1 else percent(share)


def scientific(value: float) -> str:
    """A very small figure, readable.

    >>> scientific(4.77e-06), scientific(0.0)
    ('4.8 × 10⁻⁶', '0')
    """
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.1e}".split("e")
    raised = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{mantissa} × 10{raised}"


def duration(seconds: float) -> str:
    """A time for people.

    >>> [duration(s) for s in (0.004, 5.79, 181.9, 7322)]
    ['4 ms', '5.8 s', '3 min 2 s', '2 h 2 min']
    """
    if seconds < 0.1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def moment(time: datetime) -> str:
    """A date and time, UTC."""
    return time.strftime("%Y-%m-%d %H:%M UTC")


def times(values: Iterable[float]) -> str:
    """Sizes along axes.

    >>> times((96, 80, 2.5))
    '96 × 80 × 2.5'
    """
    return " × ".join(f"{value:g}" for value in values)


def span(values: Sequence[float], digits: int = 0) -> str:
    """The range of some values.

    >>> span([3, 1]), span([2, 2])
    ('1–3', '2')
    """
    low, high = decimal(min(values), digits), decimal(max(values), digits)
    return low if low == high else f"{low}–{high}"


def shortened(name: str, most: int = 28) -> str:
    """A name that leaves room for the picture; its end is often what tells it from others.

    >>> shortened("spleen"), shortened("lobe of the left lung, upper half", 16)
    ('spleen', 'lobe of th… half')
    """
    if len(name) <= most:
        return name
    end = most // 3
    return f"{name[: most - end - 1].rstrip()}…{name[-end:]}"


def bytes_in_words(size: int) -> str:
    """A size in memory."""
    return f"{size / 2**30:.2f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


def short_digest(digest: str) -> Html:
    """The first twelve digits; all of them on hovering."""
    return element("code", digest[:12], title=digest)


def figure_text(figure: Figure, value: float) -> str:
    """A figure without its unit."""
    return (percent if figure.relative else decimal)(value, figure.digits, signed=figure.relative)


def show(figure: Figure, value: float | None) -> Html:
    """A figure, or a dash that tells why there is none."""
    return dash(figure.undefined) if value is None else join([figure_text(figure, value)])


def deviation_text(figure: Figure, sd: float) -> str:
    """A standard deviation over cases, which has no sign."""
    return (percent if figure.relative else decimal)(sd, figure.digits)


def interval(estimate: Estimate, figure: Figure) -> Html:
    """The 95 % confidence interval of a figure's mean."""
    if estimate.ci95 is None:
        return dash("an interval needs two or more cases in which the figure is defined")
    low, high = estimate.ci95
    return join([f"{figure_text(figure, low).removesuffix(' %')} to {figure_text(figure, high)}"])


def mean_with_interval(estimate: Estimate, figure: Figure) -> Cell:
    """The cell of a figure's mean, with its interval below."""
    below = element("small", interval(estimate, figure), class_="below")
    return number(element("div", show(figure, estimate.mean)), below)


def figure_headings(figures: Iterable[Figure]) -> list[Cell]:
    """The head of a table with a column a figure; what each means shows on hovering."""
    return [
        heading(figure.heading, numeric=True, title=f"{figure.meaning}; {_BETTER[figure.direction]}")
        for figure in figures
    ]
