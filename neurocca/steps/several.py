"""Participants one after the other, or several at the same time, to the same end."""

import logging
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from joblib import cpu_count, effective_n_jobs
from joblib.externals.loky.process_executor import BrokenProcessPool
from threadpoolctl import threadpool_info, threadpool_limits

from neurocca.errors import NeuroccaError
from neurocca.io.recording import Recording
from neurocca.steps.pool import processes
from neurocca.steps.terminal import log_to_terminal, progress_bar, without_bars

Result = TypeVar("Result")

Work = Callable[[Recording, int], Result]
"""From a participant and a number of jobs to what comes out."""


def each_participant(work: Work[Result], recordings: Sequence[Recording], n_jobs: int) -> Generator[Result]:
    """What comes out for every participant, in their order.

    Linear algebra of several threads differs in its last digits from that of one. So where there is more than one
    participant each gets the same number of threads, its share of the cores, whether others are analysed at the same
    time or not.

    Parameters
    ----------
    work : callable
        Goes to other processes where there are several jobs.
    recordings : sequence of Recording
    n_jobs : int
        Participants that are analysed at the same time; what is left over goes to each of them. -1 is one job per core.

    Raises
    ------
    NeuroccaError
        What went wrong with the first participant that failed, when those before it are done; others that are at work
        by then are given up.
    """
    n_jobs = effective_n_jobs(n_jobs)
    if len(recordings) == 1:
        yield work(recordings[0], n_jobs)
        return
    n_threads = _share_of_threads(len(recordings))
    at_once = min(n_jobs, len(recordings))
    one = _Participant(work, n_threads, n_jobs // at_once)
    if at_once == 1:
        for recording in recordings:
            yield one(recording)
        return
    with progress_bar(len(recordings), "participants", "participant") as done, processes(at_once) as pool:
        for future in [pool.submit(one.abroad, recording) for recording in recordings]:
            try:
                result = future.result()
            except BrokenProcessPool as error:
                raise NeuroccaError(
                    "the process of a participant was ended from outside, most likely for want of memory: fewer "
                    "--n-jobs, or --low-mem, take less of it."
                ) from error
            done(1)
            yield result


@dataclass(frozen=True)
class _Participant(Generic[Result]):
    """Work on one participant with a share of threads and jobs."""

    work: Work[Result]
    n_threads: int
    n_jobs: int

    def __call__(self, recording: Recording) -> Result:
        with threadpool_limits(self.n_threads):
            return self.work(recording, self.n_jobs)

    def abroad(self, recording: Recording) -> Result:
        """The same in a process beside others: its messages say whose they are."""
        log_to_terminal(logging.getLogger("neurocca").getEffectiveLevel(), f"[sub-{recording.subject}] ")
        with without_bars():
            return self(recording)


def _share_of_threads(n: int) -> int:
    """Threads of linear algebra for each of n participants, as if all were analysed at the same time."""
    available = [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]
    return max(1, min([cpu_count() // n, *available]))
