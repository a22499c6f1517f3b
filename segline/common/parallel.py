"""Work that waits for servers and disks, many items at a time."""

from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

from segline.common.progress import Progress, silent

Item = TypeVar("Item")


def in_parallel(action: Callable[[Item], object], items: Collection[Item], threads: int) -> Iterator[Item]:
    """Do ``action`` to each item, in ``threads`` threads; the items come back as they get done.

    The first error ends it: what runs then is finished, the rest is not begun, and the error is raised.
    """
    if not items:
        return
    with ThreadPoolExecutor(min(threads, len(items))) as pool:
        futures = {pool.submit(action, item): item for item in items}
        try:
            for future in as_completed(futures):
                future.result()
                yield futures[future]
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def do_all(
    action: Callable[[Item], object],
    items: Collection[Item],
    threads: int,
    what: str = "items",
    progress: Progress = silent,
) -> None:
    """:func:`in_parallel` where nobody looks at the items as they get done; ``progress`` is told of each."""
    for _ in tell_each(in_parallel(action, items, threads), len(items), what, progress):
        pass


def tell_each(done: Iterator[Item], total: int, what: str, progress: Progress) -> Iterator[Item]:
    """Pass on what gets done, and tell ``progress`` of it: ``3 of 10 files``."""
    for number, item in enumerate(done, 1):
        yield item
        progress(number / total, f"{number} of {total} {what}")
