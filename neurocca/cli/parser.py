"""What all verbs of the command line share."""

import argparse
import logging
from typing import Any, NoReturn

from neurocca.errors import UsageError
from neurocca.steps.terminal import log_to_terminal


class Parser(argparse.ArgumentParser):
    """Parser whose errors are those of the command line."""

    def __init__(self, **options: Any) -> None:
        # shortened, both spellings of an option would fit
        super().__init__(**options, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """One line, with the exit code of the BIDS execution specification for a usage error."""
        raise UsageError(f"{message} (see {self.prog} --help)")


def add(parser: Any, *flags: str, **options: Any) -> None:
    """Add a flag in both spellings, --like-this and --like_this."""
    underscored = ["--" + flag[2:].replace("-", "_") for flag in flags if flag.startswith("--") and "-" in flag[2:]]
    parser.add_argument(*flags, *underscored, **options)


def start_logging(verbosity: int, *, quiet: bool = False) -> None:
    """Say what is done: 1 what, 2 everything; nothing but errors where quiet."""
    levels = {0: logging.ERROR if quiet else logging.WARNING, 1: logging.INFO}
    log_to_terminal(levels.get(verbosity, logging.DEBUG))


def check_jobs(n_jobs: int | None) -> None:
    """Refuse to do nothing."""
    if n_jobs == 0:
        raise UsageError("--n-jobs 0: give the number of jobs, or -1 for all cores.")
