"""How numbers and rows are put into lines of text."""

from collections.abc import Iterable, Sequence


def by(sizes: Iterable[float]) -> str:
    """Sizes along axes.

    >>> by((96, 96, 2.5))
    '96x96x2.5'
    """
    return "x".join(f"{size:g}" if isinstance(size, float) else str(size) for size in sizes)


def counted(count: int, thing: str) -> str:
    """A number of things.

    >>> counted(1, "case"), counted(2, "case")
    ('1 case', '2 cases')
    """
    return f"{count} {thing}" + ("" if count == 1 else "s")


def in_columns(rows: Sequence[Sequence[str]]) -> str:
    """A line a row, each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(n) for cell, n in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines) + "\n"
