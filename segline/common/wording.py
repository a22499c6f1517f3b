"""How numbers are put into a line of text."""

from collections.abc import Iterable


def by(sizes: Iterable[float]) -> str:
    """Sizes along axes.

    >>> by((96, 96, 2.5))
    '96x96x2.5'
    """
    return "x".join(f"{size:g}" if isinstance(size, float) else str(size) for size in sizes)
