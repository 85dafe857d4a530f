"""What all verbs of the command line share."""

import argparse
import logging
from collections.abc import Sequence
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
    if options.get("action") is argparse.BooleanOptionalAction:
        options["action"] = _EitherWay
    parser.add_argument(*flags, *underscored, **options)


class _EitherWay(argparse.BooleanOptionalAction):
    """--like-this and --no-like-this, and the same with underscores: argparse makes --no-like_this of it."""

    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, dest, **options)
        name = option_strings[0].removeprefix("--")
        negative = (f"--no-{name}", f"--no_{name.replace('-', '_')}")
        self.option_strings = [*option_strings, *negative]

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        setattr(namespace, self.dest, not str(option_string).startswith(("--no-", "--no_")))


def start_logging(verbosity: int, *, quiet: bool = False) -> None:
    """Say what is done: 1 what, 2 everything; nothing but errors where quiet."""
    levels = {0: logging.ERROR if quiet else logging.WARNING, 1: logging.INFO}
    log_to_terminal(levels.get(verbosity, logging.DEBUG))


def check_jobs(n_jobs: int | None) -> None:
    """Refuse to do nothing."""
    if n_jobs == 0:
        raise UsageError("--n-jobs 0: give the number of jobs, or -1 for all cores.")
