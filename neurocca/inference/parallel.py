"""Permutations in chunks, on threads, processes or a cluster, interrupted or not: always with the same result."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, Protocol

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs, hash as content_hash
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

CHUNK_SECONDS = 2.0
"""What one task of a worker takes about: long beside the cost of handing it over, short beside a coffee."""

Statistic = Callable[[int, int], NDArray]
Progress = Callable[[int], object] | bool | None


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
        Parallel jobs, on whatever joblib's ``parallel_config`` says; ``prefer`` where it says nothing.
    progress : callable or bool, optional
        Called with the number of permutations done since the last call; True shows a bar.
    checkpoint : object with ``load`` and ``save``, optional
        Finished chunks are kept there, and not computed again.
    key : object, optional
        What the result depends on: a checkpoint of anything else is not read.

    Returns
    -------
    array, shape (n, m)
    """
    digest = content_hash(key) if checkpoint is not None else ""
    saved = None if checkpoint is None else checkpoint.load(digest)
    done, values = (np.zeros(n, dtype=bool), None) if saved is None else saved
    with threadpool_limits(1), _reporter(progress, n) as report:
        report(int(done.sum()))
        todo = _missing(done, quantum)
        if todo and n_jobs == 1 or len(todo) == 1:
            chunks = _sequential(statistic, todo, quantum)
        else:
            chunks = _parallel(statistic, todo, quantum, n_jobs, prefer)
        for start, stop, found in chunks:
            values = np.zeros((n, found.shape[1]), dtype=found.dtype) if values is None else values
            values[start:stop], done[start:stop] = found, True
            report(stop - start)
            if checkpoint is not None:
                checkpoint.save(digest, done, values)
    if values is None:
        raise ValueError("there are no permutations to compute.")
    return values


def _missing(done: NDArray[np.bool_], quantum: int) -> list[tuple[int, int]]:
    """Quanta that are not finished."""
    n = len(done)
    quanta = ((start, min(start + quantum, n)) for start in range(0, n, quantum))
    return [(start, stop) for start, stop in quanta if not done[start:stop].all()]


def _sequential(
    statistic: Statistic, todo: list[tuple[int, int]], quantum: int
) -> Iterator[tuple[int, int, NDArray]]:
    size = 1
    while todo:
        (start, stop), todo = _first_chunk(todo, size)
        before = time.perf_counter()
        yield start, stop, statistic(start, stop)
        size = _chunk_size(time.perf_counter() - before, stop - start, quantum)


def _parallel(
    statistic: Statistic, todo: list[tuple[int, int]], quantum: int, n_jobs: int, prefer: str
) -> Iterator[tuple[int, int, NDArray]]:
    """Waves of one chunk per worker; the first, of one quantum each, says how long a chunk may be."""
    size = 1
    with Parallel(n_jobs=n_jobs, prefer=prefer) as parallel:
        workers = max(1, effective_n_jobs(n_jobs))
        while todo:
            wave = []
            share = max(1, min(size, -(-len(todo) // workers)))
            while todo and len(wave) < workers:
                chunk, todo = _first_chunk(todo, share)
                wave.append(chunk)
            before = time.perf_counter()
            found = parallel(delayed(_on_one_thread)(statistic, start, stop) for start, stop in wave)
            size = _chunk_size(time.perf_counter() - before, wave[0][1] - wave[0][0], quantum)
            for (start, stop), values in zip(wave, found, strict=True):
                yield start, stop, values


def _first_chunk(todo: list[tuple[int, int]], size: int) -> tuple[tuple[int, int], list[tuple[int, int]]]:
    """Up to ``size`` quanta that follow one another, and the rest."""
    used = 1
    while used < min(size, len(todo)) and todo[used][0] == todo[used - 1][1]:
        used += 1
    return (todo[0][0], todo[used - 1][1]), todo[used:]


def _chunk_size(seconds: float, n_done: int, quantum: int) -> int:
    """Quanta that take about `CHUNK_SECONDS`."""
    return max(1, int(CHUNK_SECONDS * n_done / max(seconds, 1e-6)) // quantum)


def _on_one_thread(statistic: Statistic, start: int, stop: int) -> NDArray:
    with threadpool_limits(1):  # in a process of its own nobody else has said so
        return statistic(start, stop)


@contextmanager
def _reporter(progress: Progress, n: int) -> Iterator[Callable[[int], object]]:
    if progress is True:
        from tqdm import tqdm

        with tqdm(total=n, desc="permutations", dynamic_ncols=True) as bar:
            yield bar.update
    else:
        yield progress if callable(progress) else lambda _: None
