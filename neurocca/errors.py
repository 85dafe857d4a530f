"""Errors that a user can mend, each with the exit code that the command line gives back.

The codes are those of the BIDS execution specification (BEP027, "Exit codes").
"""


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
    """A file of a DataLad dataset whose content has not been fetched (75: the same command works after fetching)."""

    exit_code = 75


class OutputError(NeuroccaError, OSError):
    """An output that cannot be written (73)."""

    exit_code = 73

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""
