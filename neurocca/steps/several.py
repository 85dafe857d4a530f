"""Participants one after the other, or several at the same time, to the same end."""

import logging
import time
import traceback
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from joblib import effective_n_jobs
from joblib.externals.loky.process_executor import BrokenProcessPool
from threadpoolctl import threadpool_limits

from neurocca.errors import NeuroccaError
from neurocca.io.recording import Recording
from neurocca.steps.pool import processes
from neurocca.steps.terminal import log_to_terminal, progress_bar, without_bars

Result = TypeVar("Result")

Work = Callable[[Recording, int], Result]
"""From a participant and a number of jobs to what comes out."""


@dataclass(frozen=True)
class Outcome(Generic[Result]):
    """What came of one participant: a result, or the error that ended it; and the seconds that it took."""

    recording: Recording
    result: Result | None
    error: Exception | None
    seconds: float


def each_participant(
    work: Work[Result], recordings: Sequence[Recording], n_jobs: int | None = None
) -> Generator[Outcome[Result]]:
    """What comes of every participant, in their order; one that fails leaves the others alone.

    Linear algebra of several threads differs in its last digits from that of one, and takes longer where matrices are
    small: it has one thread, and jobs take the cores.

    Parameters
    ----------
    work : callable
        Goes to other processes where there are several jobs.
    recordings : sequence of Recording
    n_jobs : int, optional
        Participants that are analysed at the same time; what is left over goes to each of them. -1 is one job per core.
        By default one participant at a time, with a job on each core.

    Raises
    ------
    NeuroccaError
        When the process of a participant was killed; others that are at work by then are given up.
    """
    at_once = 1 if n_jobs is None else max(1, min(effective_n_jobs(n_jobs), len(recordings)))
    one = _Participant(work, effective_n_jobs(-1 if n_jobs is None else n_jobs) // at_once)
    if at_once == 1:
        for recording in recordings:
            yield one(recording)
        return
    with progress_bar(len(recordings), "participants", "participant") as done, processes(at_once) as pool:
        for future in [pool.submit(one.abroad, recording) for recording in recordings]:
            try:
                outcome = future.result()
            except BrokenProcessPool as error:
                raise NeuroccaError(
                    "the process of a participant was ended from outside, most likely for want of memory: fewer "
                    "--n-jobs, or --low-mem, take less of it."
                ) from error
            done(1)
            yield outcome


@dataclass(frozen=True)
class _Participant(Generic[Result]):
    """Work on one participant, by one thread of linear algebra for each job."""

    work: Work[Result]
    n_jobs: int

    def __call__(self, recording: Recording) -> Outcome[Result]:
        start = time.perf_counter()
        result, failure = None, None
        try:
            with threadpool_limits(1):
                result = self.work(recording, self.n_jobs)
        except Exception as error:  # of whatever kind: the others go on
            failure = error
            failure.add_note(traceback.format_exc())  # which does not reach another process by itself
        return Outcome(recording, result, failure, time.perf_counter() - start)

    def abroad(self, recording: Recording) -> Outcome[Result]:
        """The same in a process beside others: its messages say whose they are."""
        log_to_terminal(logging.getLogger("neurocca").getEffectiveLevel(), f"[sub-{recording.subject}] ")
        with without_bars():
            return self(recording)
