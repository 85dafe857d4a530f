"""Getting the next items of an iterator while the last one is being worked on."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
S = TypeVar("S")

_END = object()


def prefetched(items: Iterable[T], prepare: Callable[[T], S], ahead: int = 2) -> Iterator[S]:
    """Items in their order, taken and prepared in a thread.

    Parameters
    ----------
    items : iterable
        A generator is closed when this one is left, also before its end.
    prepare : callable
        Applied to each item, in the thread.
    ahead : int
        Number of prepared items that may wait.

    Yields
    ------
    object
        What ``prepare`` gave. An error in the thread is raised here, after the items before it.

    Examples
    --------
    >>> list(prefetched(range(3), lambda x: 10 * x))
    [0, 10, 20]
    """
    source = iter(items)

    def take() -> object:
        item = next(source, _END)
        return item if item is _END else prepare(item)  # type: ignore[arg-type]

    with ThreadPoolExecutor(1, "prefetch") as thread:
        waiting = deque(thread.submit(take) for _ in range(ahead))
        try:
            while (item := waiting.popleft().result()) is not _END:
                waiting.append(thread.submit(take))
                yield item  # type: ignore[misc]
        finally:
            for future in waiting:
                future.cancel()
            thread.submit(getattr(source, "close", tuple))
