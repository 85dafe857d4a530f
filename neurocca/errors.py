"""Errors that a user can mend, each with the exit code that the command line gives back.

The codes are those of the BIDS execution specification (BEP027, "Exit codes").
"""

from collections.abc import Mapping, Sequence
from pathlib import Path


class NeuroccaError(Exception):
    """Base of all errors that end the command line with one clear line."""

    exit_code = 1


class InvalidDatasetError(NeuroccaError):
    """The dataset is not valid BIDS, and was asked to be (16)."""

    exit_code = 16


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


class ParticipantsFailedError(NeuroccaError):
    """Some participants failed; the exit code is that of the first of them."""

    @classmethod
    def of(cls, failures: Mapping[str, Exception], n_participants: int) -> NeuroccaError:
        """Error for failures by participant label; of a single participant its own error, where it is one of these.

        Parameters
        ----------
        failures : mapping of label to exception
        n_participants : int
            All that were asked for.
        """
        first = next(iter(failures.values()))
        if n_participants == 1:
            raise first
        said = [
            text if f"sub-{label}" in (text := _said(error)) else f"sub-{label}: {text}"
            for label, error in failures.items()
        ]
        made = cls(f"{len(failures)} of {n_participants} participants failed: {' '.join(said)}")
        made.exit_code = getattr(first, "exit_code", 1)
        return made


def _said(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, NeuroccaError) else f"unexpected {type(error).__name__}: {text}."
