"""Permutations in chunks, on threads, processes or a cluster, interrupted or not: always with the same result."""

import time
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from copy import copy
from typing import Any, Literal, Protocol, cast
from uuid import uuid4

import numpy as np
from array_api_compat import device, is_array_api_obj, is_numpy_array
from joblib import Parallel, delayed, effective_n_jobs
from joblib import hash as content_hash
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController, threadpool_limits

from neurocca.inference.options import is_whole

CHUNK_SECONDS = 2.0
"""What one task of a worker takes about: long beside the cost of handing it over, short beside a coffee."""
SAVING_SHARE = 0.05
"""Share of the time that may go into saving; where files are small, that is after every chunk."""

Statistic = Callable[[int, int], NDArray]
Progress = Callable[[int], object] | bool | None
Chunks = Generator[tuple[int, int, NDArray], None, None]


class CheckpointLike(Protocol):
    """Where finished permutations are kept, such as `neurocca.io.checkpoint.Checkpoint`."""

    def load(self, key: str) -> tuple[NDArray[np.bool_], NDArray] | None:
        """What was saved under this key: which permutations are done, shape (B,), and their values, shape (B, m)."""

    def save(self, key: str, done: NDArray[np.bool_], values: NDArray) -> None:
        """Keep the state, all of it or none."""


def over_permutations(
    statistic: Statistic,
    n: int,
    *,
    quantum: int = 1,
    n_jobs: int = 1,
    prefer: Literal["threads", "processes"] = "threads",
    progress: Progress = None,
    checkpoint: CheckpointLike | None = None,
    key: Any = None,
) -> NDArray:
    """Statistics of all permutations, in their order.

    Every permutation is computed alone or among the same neighbours, so that neither the number of jobs nor the size
    of the chunks changes a bit. Linear algebra runs on one thread per job, as the number of threads changes last
    digits.

    Parameters
    ----------
    statistic : callable
        Takes the first permutation and the one after the last, and gives one row each, shape (stop - start, m).
    n : int
        Number of permutations.
    quantum : int
        Permutations that belong into one chunk: chunks begin at its multiples.
    n_jobs : int
        1 computes here, one chunk after the other; more, or -1 for one per core, in parallel on the threads,
        processes (loky) or cluster (dask) that joblib's ``parallel_config`` says, and on ``prefer`` where it says
        nothing. A cluster is used whole.
    progress : callable or bool, optional
        Called with the number of permutations done since the last call; True shows a bar.
    checkpoint : object with ``load`` and ``save``, optional
        Finished chunks are kept there, and not computed again.
    key : object, optional
        What the result depends on: a checkpoint of anything else is not read.

    Returns
    -------
    array, shape (n, m)

    Raises
    ------
    TypeError, ValueError
        When ``n_jobs`` is no number of jobs, ``progress`` or ``checkpoint`` is not what it should be, there are no
        permutations, or the statistic gives another number of rows than it was asked for.
    """
    check_jobs(n_jobs)
    _check_company(progress, checkpoint)
    if n < 1:
        raise ValueError(f"there are no permutations to compute: n={n}.")
    keeper = _Keeper(checkpoint, _digest((key, n)) if checkpoint is not None else "")
    done, values = keeper.load(n)
    todo = _Todo(done, quantum)
    chunks = _here(statistic, todo) if n_jobs == 1 else _parallel(statistic, todo, n_jobs, prefer)
    with threadpool_limits(1), _reporter(progress, n) as report, keeper, closing(chunks):
        report(int(done.sum()))
        for start, stop, found in chunks:
            if found.ndim != 2 or len(found) != stop - start:
                raise ValueError(
                    f"of permutations {start} to {stop} the statistic gave an array of shape {found.shape}."
                )
            if values is None:
                values = np.zeros((n, found.shape[1]), dtype=found.dtype)
            fresh = int((~done[start:stop]).sum())
            values[start:stop], done[start:stop] = found, True
            keeper.keep(done, values)
            report(fresh)
    return cast(NDArray, values)


class _Todo:
    """Quanta that are not finished, handed out in chunks that take about `CHUNK_SECONDS`."""

    def __init__(self, done: NDArray[np.bool_], quantum: int) -> None:
        finished = np.logical_and.reduceat(done, np.arange(0, len(done), quantum))
        self.n, self.quantum, self.size = len(done), quantum, 1
        self.quanta, self.next = np.flatnonzero(~finished), 0

    def chunks(self, workers: int = 1) -> Iterator[tuple[int, int]]:
        """First permutation of a chunk and the one after its last; near the end every worker gets its share."""
        while self.next < len(self.quanta):
            left = len(self.quanta) - self.next
            window = self.quanta[self.next : self.next + min(self.size, -(-left // workers))]
            gaps = np.flatnonzero(np.diff(window) != 1)
            used = int(gaps[0]) + 1 if len(gaps) else len(window)
            self.next += used
            yield int(window[0]) * self.quantum, min((int(window[used - 1]) + 1) * self.quantum, self.n)

    def learn(self, n_done: int, seconds: float) -> None:
        """Set the size of the chunks to come, in quanta."""
        self.size = max(1, int(CHUNK_SECONDS * n_done / max(seconds, 1e-6)) // self.quantum)


def _here(statistic: Statistic, todo: _Todo) -> Chunks:
    sent = _Sent(statistic)
    for chunk in todo.chunks():
        start, stop, seconds, found = _work(sent, *chunk)
        todo.learn(stop - start, seconds)
        yield start, stop, found


def _parallel(statistic: Statistic, todo: _Todo, n_jobs: int, prefer: str) -> Chunks:
    """Chunks as they are finished: no worker waits for another, and none while a checkpoint is written."""
    if not len(todo.quanta):
        return
    sent = _Sent(statistic)
    tasks = (delayed(_work)(sent, *chunk) for chunk in todo.chunks(effective_n_jobs(n_jobs)))
    finished = Parallel(n_jobs=n_jobs, prefer=prefer, batch_size=1, return_as="generator_unordered")(tasks)
    try:
        for start, stop, seconds, found in finished:
            todo.learn(stop - start, seconds)
            yield start, stop, found
    finally:
        with warnings.catch_warnings():  # joblib warns of chunks that an interrupt leaves unfinished
            warnings.simplefilter("ignore")
            finished.close()


def _work(sent: "_Sent", start: int, stop: int) -> tuple[int, int, float, NDArray]:
    """One chunk, and the seconds it took."""
    if sent.is_abroad:
        threadpool_limits(1)  # for good: a worker may have several threads, each of which would lift the limit of all
    # OpenMP counts threads for every calling thread, BLAS libraries for the process
    with ThreadpoolController().select(user_api="openmp").limit(limits=1):
        before = time.perf_counter()
        found = sent.statistic(start, stop)
        return start, stop, time.perf_counter() - before, found


class _Sent:
    """A statistic on its way to workers: a process keeps the one it got first, with the tables it has made for it."""

    def __init__(self, statistic: Statistic, token: str = "") -> None:
        self.statistic, self.is_abroad = statistic, bool(token)
        self._token = token or uuid4().hex
        self._fresh = copy(statistic)  # what a statistic prepares for itself may be larger than itself

    def __sizeof__(self) -> int:
        return 2**20  # dask sends what is large once, not with every chunk

    def __reduce__(self) -> tuple:
        return _received, (self._fresh, self._token)


_RECEIVED: dict[str, _Sent] = {}


def _received(statistic: Statistic, token: str) -> _Sent:
    if token not in _RECEIVED:
        _RECEIVED.clear()  # one is enough, and may be large
        _RECEIVED[token] = _Sent(statistic, token)
    return _RECEIVED[token]


class _Keeper:
    """Saves what is done, as often as costs little, and at the end, whatever ends it."""

    def __init__(self, checkpoint: CheckpointLike | None, key: str) -> None:
        self._checkpoint, self._key, self._due = checkpoint, key, 0.0
        self._unsaved: tuple[NDArray[np.bool_], NDArray] | None = None

    def load(self, n: int) -> tuple[NDArray[np.bool_], NDArray | None]:
        saved = None if self._checkpoint is None else self._checkpoint.load(self._key)
        if saved is None:
            return np.zeros(n, dtype=bool), None
        done, values = saved
        if done.shape != (n,) or values.ndim != 2 or len(values) != n:
            raise ValueError(
                f"the checkpoint holds arrays of shapes {done.shape} and {values.shape}, for {n} permutations."
            )
        return done, values if done.any() else None

    def keep(self, done: NDArray[np.bool_], values: NDArray) -> None:
        self._unsaved = done, values
        if time.perf_counter() >= self._due:
            self._save()

    def _save(self) -> None:
        if self._checkpoint is None or self._unsaved is None:
            return
        state, self._unsaved = self._unsaved, None
        before = time.perf_counter()
        try:
            self._checkpoint.save(self._key, *state)
        except KeyboardInterrupt:
            self._unsaved = state  # once more on the way out
            raise
        after = time.perf_counter()
        self._due = after + (after - before) / SAVING_SHARE

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._save()


def _digest(key: Any) -> str:
    """The same in every process for the same content."""
    return content_hash(_plain(key))


def _plain(key: Any) -> Any:
    """A key whose arrays are numpy's: pickles of torch's hold addresses in memory."""
    if isinstance(key, tuple | list):
        return [_plain(item) for item in key]
    if isinstance(key, dict):
        return {name: _plain(item) for name, item in key.items()}
    if is_array_api_obj(key) and not is_numpy_array(key):
        return type(key).__name__, str(device(key)), np.asarray(key.cpu() if hasattr(key, "cpu") else key)
    return key


def check_jobs(n_jobs: int) -> None:
    """Refuse what is no number of jobs."""
    if not is_whole(n_jobs):
        raise TypeError(f"n_jobs={n_jobs!r} must be a whole number, not a {type(n_jobs).__name__}.")
    if n_jobs == 0:
        raise ValueError("n_jobs=0: there must be at least one job; -1 is one per core.")


def _check_company(progress: Progress, checkpoint: CheckpointLike | None) -> None:
    if not (progress is None or isinstance(progress, bool) or callable(progress)):
        raise TypeError(
            f"progress={progress!r} must be a callable that takes a number of permutations, True for a bar, or None."
        )
    if checkpoint is not None and not (hasattr(checkpoint, "load") and hasattr(checkpoint, "save")):
        raise TypeError(
            f"checkpoint={checkpoint!r} has no load and save: give Checkpoint(path) of neurocca.io.checkpoint."
        )


@contextmanager
def _reporter(progress: Progress, n: int) -> Iterator[Callable[[int], object]]:
    if progress is True:
        from tqdm import tqdm

        with tqdm(total=n, desc="permutations", dynamic_ncols=True) as bar:
            yield bar.update
    else:
        yield progress if callable(progress) else lambda _: None
