"""What is seen on the terminal: progress, and messages of one line."""

import logging
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_HIDDEN = ContextVar("hidden", default=False)


@contextmanager
def progress_bar(total: int, description: str, unit: str = "it") -> Iterator[Callable[[int], object]]:
    """Bar over ``total`` units, with their rate and the time left; gives the function to call with the units done.

    Off when not a terminal, and inside of `without_bars`. Of bytes, unit "B", it shows multiples.
    """
    from tqdm import tqdm

    disable = True if _HIDDEN.get() else None
    options: dict[str, Any] = {"unit": unit, "unit_scale": unit == "B", "disable": disable}
    with tqdm(total=total, desc=description, leave=False, dynamic_ncols=True, **options) as bar:
        yield bar.update


@contextmanager
def without_bars() -> Iterator[None]:
    """No bars: those of several processes would write over each other."""
    token = _HIDDEN.set(True)
    try:
        yield
    finally:
        _HIDDEN.reset(token)


def log_to_terminal(level: int, about: str = "") -> None:
    """Write what neurocca says from that level on, and the warnings of others, with what they are ``about`` before."""
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine(f"neurocca: {about}%(message)s"))
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
