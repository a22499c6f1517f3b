"""What a step needs, made while the step before it runs."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Prefetched(Generic[Item]):
    """Items by number, the next one made in a thread as soon as one is asked for.

    An item is a function of its number alone: this changes when it is made, not what it is.

    Args:
        make: gives the item of a number.
    """

    def __init__(self, make: Callable[[int], Item]) -> None:
        self._make = make
        self._pool = ThreadPoolExecutor(1)
        self._next: tuple[int, Future[Item]] | None = None

    def __getitem__(self, number: int) -> Item:
        """The item; what ``make`` raises for it is raised here."""
        expected, future = self._next or self._begin(number)
        if expected != number:
            _, future = self._begin(number)
        item = future.result()
        self._next = self._begin(number + 1)
        return item

    def _begin(self, number: int) -> tuple[int, Future[Item]]:
        return number, self._pool.submit(self._make, number)
