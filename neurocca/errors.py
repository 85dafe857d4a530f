"""Errors that a user can mend, each with the exit code that the command line gives back.

The codes are those of the BIDS execution specification (BEP027, "Exit codes").
"""

from collections.abc import Sequence
from pathlib import Path


class NeuroccaError(Exception):
    """Base of all errors that end the command line with one clear line."""

    exit_code = 1


class UnknownLevelError(NeuroccaError):
    """The analysis level does not exist (17)."""

    exit_code = 17


class NoMatchError(NeuroccaError):
    """The dataset holds data, but none that the filters ask for (18)."""

    exit_code = 18


class UsageError(NeuroccaError, ValueError):
    """An option or a configuration value that cannot be used (64)."""

    exit_code = 64


class DataError(NeuroccaError, ValueError):
    """A file whose content cannot be used (65)."""

    exit_code = 65


class NoInputError(NeuroccaError, FileNotFoundError):
    """An input that does not exist or holds nothing of use (66)."""

    exit_code = 66

    def __str__(self) -> str:  # FileNotFoundError would print an errno
        return str(self.args[0]) if self.args else ""


class ContentNotHereError(NoInputError):
    """Files of DataLad datasets whose content has not been fetched (75: the same command works after fetching).

    Parameters
    ----------
    message : str
    paths : sequence of Path
        The files.
    """

    exit_code = 75

    def __init__(self, message: str, paths: Sequence[Path] = ()) -> None:
        super().__init__(message)
        self.paths = tuple(paths)


class OutputError(NeuroccaError, OSError):
    """An output that cannot be written (73)."""

    exit_code = 73

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""
