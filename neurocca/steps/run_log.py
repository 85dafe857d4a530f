"""The log of one call: when what was done, how long it took, and how what failed did."""

import resource
import sys
import time
import traceback
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import neurocca
from neurocca.errors import NeuroccaError
from neurocca.io.files import one_line, write_text
from neurocca.steps.several import Outcome


class RunLog:
    """Log of a call that analysed something, in ``logs/<run id>`` of the output directory.

    Other outputs are the same to the byte whenever they are made; this is where times go.

    Parameters
    ----------
    output : Path
    command : str
    outcomes : iterable of Outcome
        What has come of participants already.

    Attributes
    ----------
    failures : dict
        Errors of participants by their labels.
    failed : list of (subject, task, reason)
        The same for the index.
    is_any : bool
        Whether anything came to a good end.
    """

    def __init__(self, output: Path, command: str, outcomes: Iterable[Outcome[Any]] = ()) -> None:
        self.failures: dict[str, Exception] = {}
        self.failed: list[tuple[str, str, str]] = []
        self._folder = output / "logs" / f"{time.strftime('%Y%m%d-%H%M%S')}_{uuid.uuid4()}"
        self._output = output
        self.is_any, self._is_said = False, True
        self._lines = [f"{_now()} neurocca {neurocca.__version__}: {command}"]
        self._crashes: dict[str, str] = {}
        for outcome in outcomes:
            self.add(outcome)

    def add(self, outcome: Outcome[Any]) -> None:
        """Note what came of a participant."""
        label, error = outcome.recording.subject, outcome.error
        if error is not None:
            self.failures[label] = error
            self.failed.append((label, outcome.recording.task, one_line(error)))
        self.note(f"sub-{label}", outcome.seconds, error)

    def note(self, name: str, seconds: float, error: Exception | None = None) -> None:
        """Note what came of a participant or a group, and after what time."""
        if error is None:
            self.is_any = True
            self._lines.append(f"{_now()} {name}: done in {seconds:.1f} s")
            return
        self._is_said = self._is_said and isinstance(error, NeuroccaError)
        kind = "" if isinstance(error, NeuroccaError) else f"{type(error).__name__}: "
        self._lines.append(f"{_now()} {name}: failed after {seconds:.1f} s: {kind}{error}")
        self._crashes[name] = "\n".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())])

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Note what comes of a block; where it fails, the log is written at once."""
        began = time.perf_counter()
        try:
            yield
        except Exception as error:
            error.add_note(traceback.format_exc())
            self.note(name, time.perf_counter() - began, error)
            self.write()
            raise
        self.note(name, time.perf_counter() - began)

    def write(self) -> None:
        """Write the log, and a file for every crash.

        Not where nothing was done: one line has said then what to mend, and the output directory is as it was.
        """
        if not self._output.exists() or (self._is_said and not self.is_any):
            return
        own, others = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        mebibytes = max(own, others) / (2**20 if sys.platform == "darwin" else 2**10)
        self._lines.append(f"{_now()} ended; largest process {mebibytes:.0f} MiB")
        write_text(self._folder / "neurocca.log", "\n".join(self._lines) + "\n")
        for name, text in self._crashes.items():
            write_text(self._folder / f"crash-{name}.txt", text.rstrip() + "\n")


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
