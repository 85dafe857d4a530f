"""Progress bars on the terminal, and nowhere else."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(total: int, description: str, unit: str = "it") -> Iterator[Callable[[int], object]]:
    """Bar over ``total`` units, with their rate and the time left; gives the function to call with the units done.

    Off when not a terminal.
    """
    from tqdm import tqdm

    with tqdm(total=total, desc=description, unit=unit, disable=None, leave=False, dynamic_ncols=True) as bar:
        yield bar.update
