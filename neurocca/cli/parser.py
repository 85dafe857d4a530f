"""What all verbs of the command line share."""

import argparse
import logging
import unicodedata
from typing import Any, NoReturn

from neurocca.errors import UsageError


class Parser(argparse.ArgumentParser):
    """Parser whose errors are those of the command line."""

    def error(self, message: str) -> NoReturn:
        """One line, with the exit code of the BIDS execution specification for a usage error."""
        raise UsageError(f"{message} (see {self.prog} --help)")


def add(parser: Any, *flags: str, **options: Any) -> None:
    """Add a flag in both spellings, --like-this and --like_this."""
    underscored = ["--" + flag[2:].replace("-", "_") for flag in flags if flag.startswith("--") and "-" in flag[2:]]
    parser.add_argument(*flags, *underscored, **options)


def start_logging(verbosity: int) -> None:
    """Say what is done: 1 what, 2 everything."""
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbosity, logging.DEBUG)
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


def check_jobs(n_jobs: int) -> None:
    """Refuse to do nothing."""
    if n_jobs == 0:
        raise UsageError("--n-jobs 0: give the number of jobs, or -1 for all cores.")


class _OneLine(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:
        return printable(super().formatMessage(record))
