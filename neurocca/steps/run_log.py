"""The log of one call: when what was done, how long it took, and how what failed did."""

import resource
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import neurocca
from neurocca.errors import NeuroccaError
from neurocca.io.files import write_text
from neurocca.steps.several import Outcome


class RunLog:
    """Log of a call that analysed something, in ``logs/<run id>`` of the output directory.

    Other outputs are the same to the byte whenever they are made; this is where times go.

    Parameters
    ----------
    output : Path
    command : str

    Attributes
    ----------
    failures : dict
        Errors by participant label.
    """

    def __init__(self, output: Path, command: str) -> None:
        self.failures: dict[str, Exception] = {}
        self._folder = output / "logs" / f"{time.strftime('%Y%m%d-%H%M%S')}_{uuid.uuid4()}"
        self._output = output
        self._is_any = False
        self._lines = [f"{_now()} neurocca {neurocca.__version__}: {command}"]
        self._crashes: dict[str, str] = {}

    def add(self, outcome: Outcome[Any]) -> None:
        """Note what came of a participant."""
        label, error = outcome.recording.subject, outcome.error
        if error is None:
            self._is_any = True
            self._lines.append(f"{_now()} sub-{label}: done in {outcome.seconds:.1f} s")
            return
        self.failures[label] = error
        name = "" if isinstance(error, NeuroccaError) else f"{type(error).__name__}: "
        self._lines.append(f"{_now()} sub-{label}: failed after {outcome.seconds:.1f} s: {name}{error}")
        self._crashes[label] = "\n".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())])

    def write(self) -> None:
        """Write the log, and a file for every crash.

        Not where nothing was done: one line has said then what to mend, and the output directory is as it was.
        """
        is_said = all(isinstance(error, NeuroccaError) for error in self.failures.values())
        if not self._output.exists() or (is_said and not self._is_any):
            return
        own, others = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        mebibytes = max(own, others) / (2**20 if sys.platform == "darwin" else 2**10)
        self._lines.append(f"{_now()} ended; largest process {mebibytes:.0f} MiB")
        write_text(self._folder / "neurocca.log", "\n".join(self._lines) + "\n")
        for label, text in self._crashes.items():
            write_text(self._folder / f"crash-sub-{label}.txt", text.rstrip() + "\n")


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
