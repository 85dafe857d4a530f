"""What is seen on the terminal: progress, and messages of one line."""

import logging
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def progress_bar(total: int, description: str, unit: str = "it") -> Iterator[Callable[[int], object]]:
    """Bar over ``total`` units, with their rate and the time left; gives the function to call with the units done.

    Off when not a terminal. Of bytes, unit "B", it shows multiples.
    """
    from tqdm import tqdm

    options: dict[str, Any] = {
        "unit": unit,
        "unit_scale": unit == "B",
        "disable": None,
        "leave": False,
        "dynamic_ncols": True,
    }
    with tqdm(total=total, desc=description, **options) as bar:
        yield bar.update


def log_to_terminal(level: int) -> None:
    """Write what neurocca says from that level on, and the warnings of others."""
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine("neurocca: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("neurocca").setLevel(level)


def printable(text: str) -> str:
    r"""Text in one line: line breaks and other characters that steer a terminal are written as escapes.

    Examples
    --------
    >>> print(printable("a film\nin two lines.mp4"))
    a film\nin two lines.mp4
    """
    shown = (c.isprintable() or unicodedata.category(c) == "Zs" for c in text)  # Zs: all kinds of blanks
    return "".join(c if ok else c.encode("unicode_escape").decode() for c, ok in zip(text, shown, strict=True))


class _OneLine(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:
        return printable(super().formatMessage(record))
