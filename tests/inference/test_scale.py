"""Permutations on every backend, in every chunking, interrupted or not, are the same to the last bit."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager, nullcontext
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
from distributed import Client, LocalCluster
from hypothesis import given
from hypothesis import strategies as st
from joblib import parallel_config
from threadpoolctl import threadpool_info, threadpool_limits

from neurocca.errors import DataError
from neurocca.inference import parallel
from neurocca.inference.parallel import over_permutations
from neurocca.inference.plan import plan_permutations
from neurocca.inference.products import RowProducts, ShiftProducts
from neurocca.inference.stepdown import StepDown
from neurocca.io.checkpoint import Checkpoint

ROOT = Path(__file__).parents[2]
LENGTHS = (140, 97, 120)
N = 450
BACKENDS = ("here", "threading", "loky", "dask")

# a test of 400 permutations that takes some seconds at least
INTERRUPTED = """
import sys
from neurocca.io.checkpoint import Checkpoint
from tests.inference.test_scale import Slow, run_slow
if __name__ == "__main__":
    run_slow(Slow(0.03, sys.argv[2]), Checkpoint(sys.argv[1]), int(sys.argv[3]))
"""

# the digest of a key with all kinds of things in it, in a process of its own
DIGEST = """
import numpy as np, torch
from neurocca.inference.parallel import _digest
from neurocca.inference.plan import plan_permutations
plan = plan_permutations("circular_shift", (60, 70), 99, rng=5)
print(_digest((np.eye(3), [torch.eye(2)], {"b": "wilks", "a": 0.5}, {"x", "y", "z"}, None, plan)))
"""


def bases(n: int, p: int, q: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(11)
    U, V = (rng.standard_normal((n, m)) for m in (p, q))
    V[:, :2] += U[:, :2]
    return np.linalg.qr(U - U.mean(axis=0))[0], np.linalg.qr(V - V.mean(axis=0))[0]


def products(kind: str) -> RowProducts | ShiftProducts:
    """Tests of three runs; with 300 columns a table has two blocks."""
    scheme = "row_shuffle" if kind == "shuffled rows" else "circular_shift"
    plan = plan_permutations(scheme, LENGTHS, N, rng=4)
    with threadpool_limits(1):
        U, V = bases(sum(LENGTHS), 5, 300)
        step = StepDown.of(U, V, 3)
        if kind in ("shuffled rows", "shifted rows"):
            return RowProducts(U, V, step, plan)
        found = ShiftProducts(U, V, step, plan, max_memory=2**30 if kind == "table" else 2**20)
    assert found.fits == (kind == "table")
    return found


KINDS = ("shuffled rows", "shifted rows", "table", "table in tiles")


class Slow:
    """One row per permutation that depends on nothing else, after some time; writes down what it was asked for."""

    def __init__(self, seconds: float = 0.0, log: str | Path | None = None) -> None:
        self.seconds, self.log = seconds, log

    def __call__(self, start: int, stop: int) -> np.ndarray:
        rows = []
        for i in range(start, stop):
            time.sleep(self.seconds)
            rows.append(np.random.default_rng(i).standard_normal(4))
        if self.log is not None:
            with open(self.log, "a") as file:
                file.write(f"{start} {stop}\n")
        return np.array(rows)

    def asked(self) -> list[int]:
        chunks = [map(int, line.split()) for line in Path(self.log).read_text().splitlines()]
        return sorted(i for start, stop in chunks for i in range(start, stop))


def run_slow(statistic: Slow, checkpoint=None, n_jobs: int = 1, seed: int = 0, **options) -> np.ndarray:
    parallel.CHUNK_SECONDS = 0.1
    return over_permutations(
        statistic, 400, quantum=3, n_jobs=n_jobs, checkpoint=checkpoint, key=("slow", seed), **options
    )


@contextmanager
def config(backend: str):
    """Number of jobs, under joblib's configuration for a backend."""
    with nullcontext() if backend == "here" else parallel_config(backend):
        yield 1 if backend == "here" else 3


class Preparing(Slow):
    """One that makes a table for itself, and writes down who did."""

    @cached_property
    def table(self) -> np.ndarray:
        with open(self.log, "a") as file:
            file.write(f"{os.getpid()}\n")
        return np.arange(400.0)

    def __call__(self, start: int, stop: int) -> np.ndarray:
        time.sleep(0.001 * (stop - start))
        return self.table[start:stop, None]


class Memory:
    """A checkpoint for which nothing needs to be written."""

    def __init__(self, done=None, values=None) -> None:
        self.state = None if done is None else (done, values)

    def load(self, key):
        return None if self.state is None else tuple(a.copy() for a in self.state)

    def save(self, key, done, values):
        self.state = done.copy(), values.copy()


@pytest.fixture(autouse=True)
def chunk_seconds(monkeypatch):
    """Short enough for several chunks."""
    monkeypatch.setattr(parallel, "CHUNK_SECONDS", 0.02)


@pytest.fixture(scope="module")
def cluster():
    two_threads = {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    with (
        # dask itself would leave one thread to linear algebra
        LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address="127.0.0.1:0", env=two_threads) as workers,
        Client(workers) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def sequential() -> dict[str, bytes]:
    """In one chunk, and without anything between."""
    with threadpool_limits(1):
        return {kind: products(kind)(0, N).tobytes() for kind in KINDS}


def computed(kind: str, n_jobs: int) -> bytes:
    statistic = products(kind)
    return over_permutations(statistic, N, quantum=statistic.batch, n_jobs=n_jobs).tobytes()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seconds", [1e-6, 0.05, 60.0])
def test_chunks_of_any_size_give_the_same(kind, seconds, sequential, monkeypatch):
    monkeypatch.setattr(parallel, "CHUNK_SECONDS", seconds)
    assert computed(kind, 1) == sequential[kind]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_jobs", [2, 5, -1])
def test_threads_give_the_same(kind, n_jobs, sequential):
    assert computed(kind, n_jobs) == sequential[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_processes_give_the_same(kind, sequential):
    with parallel_config("loky"):
        assert computed(kind, 2) == sequential[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_a_dask_cluster_gives_the_same(kind, sequential, cluster):
    with parallel_config("dask"):
        assert computed(kind, -1) == sequential[kind]


def test_a_table_in_tiles_gives_what_the_table_gives(sequential):
    assert sequential["table"] == sequential["table in tiles"]
    shuffled, table = (np.frombuffer(sequential[kind]) for kind in ("shifted rows", "table"))
    np.testing.assert_allclose(shuffled, table, rtol=1e-9)


def test_fewer_permutations_are_the_first_of_many(sequential):
    statistic = products("table")
    few = over_permutations(statistic, 2 * statistic.batch, quantum=statistic.batch)
    assert sequential["table"].startswith(few.tobytes())


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_kept_part_is_not_computed_again(backend, tmp_path, cluster):
    statistic, expected = Slow(log=tmp_path / "log"), Slow()(0, 400)
    done = np.zeros(400, dtype=bool)
    done[30:180] = done[399:] = True
    kept = Memory(done, np.where(done[:, None], expected, 0))
    counted: list[int] = []
    with config(backend) as n_jobs:
        found = run_slow(statistic, kept, n_jobs, progress=counted.append)
    assert found.tobytes() == expected.tobytes()
    assert statistic.asked() == np.flatnonzero(~done).tolist()
    assert (counted[0], sum(counted)) == (151, 400)
    assert kept.state[0].all()
    assert kept.state[1].tobytes() == expected.tobytes()


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(1, 9), st.integers(1, 3))
def test_exactly_the_quanta_that_are_not_finished_are_computed(done, quantum, n_jobs):
    done = np.array(done)
    chunks: list[tuple[int, int]] = []

    def statistic(start, stop):
        chunks.append((start, stop))
        return np.arange(start, stop, dtype=float)[:, None]

    kept = Memory(done, np.where(done, np.arange(len(done)), np.nan)[:, None])
    found = over_permutations(statistic, len(done), quantum=quantum, n_jobs=n_jobs, checkpoint=kept)
    np.testing.assert_array_equal(found[:, 0], np.arange(len(done)))
    starts = range(0, len(done), quantum)
    missing = [i for a in starts if not done[a : a + quantum].all() for i in range(a, min(a + quantum, len(done)))]
    assert sorted(i for a, b in chunks for i in range(a, b)) == missing
    assert all(a % quantum == 0 and (b % quantum == 0 or b == len(done)) for a, b in chunks)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_killed_process_is_resumed_where_it_was(n_jobs, tmp_path):
    path, checkpoint = tmp_path / "test.npz", Checkpoint(tmp_path / "test.npz")
    script = tmp_path / "interrupted.py"
    script.write_text(INTERRUPTED)
    command = [sys.executable, str(script), str(path), str(tmp_path / "first"), str(n_jobs)]
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}) as child:
        while not path.exists() or len((tmp_path / "first").read_text().splitlines()) < 8:
            assert child.poll() is None
            time.sleep(0.02)
        os.kill(child.pid, signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    done, _ = checkpoint.load(parallel._digest((("slow", 0), 400)))
    assert 0 < done.sum() < 400
    with pytest.raises(DataError, match=r"test\.npz belongs to another test"):
        run_slow(Slow(), checkpoint, seed=1)

    statistic = Slow(log=tmp_path / "second")
    found = run_slow(statistic, checkpoint, n_jobs=3 - n_jobs)
    assert found.tobytes() == Slow()(0, 400).tobytes()
    assert statistic.asked() == np.flatnonzero(~done).tolist()

    path_before = path.read_bytes()
    again = Slow(log=tmp_path / "third")
    assert run_slow(again, checkpoint, n_jobs=2).tobytes() == found.tobytes()
    assert not (tmp_path / "third").exists()
    path.write_bytes(path_before[:-1])
    with pytest.raises(DataError, match=r"test\.npz: damaged"):
        run_slow(again, checkpoint)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_interrupt_keeps_all_that_was_reported(backend, tmp_path, cluster, monkeypatch):
    monkeypatch.setattr(parallel, "SAVING_SHARE", 1e-9)  # saved after the first chunk and at the end
    checkpoint, counted = Checkpoint(tmp_path / "test.npz"), []

    def stop_at_100(n: int) -> None:
        counted.append(n)
        if sum(counted) > 100:
            raise KeyboardInterrupt

    with config(backend) as n_jobs:
        with pytest.raises(KeyboardInterrupt):
            run_slow(Slow(0.001), checkpoint, n_jobs, progress=stop_at_100)
        done, _ = checkpoint.load(parallel._digest((("slow", 0), 400)))
        assert done.sum() == sum(counted) < 400
        statistic = Slow(log=tmp_path / "log")
        assert run_slow(statistic, checkpoint, n_jobs).tobytes() == Slow()(0, 400).tobytes()
    assert statistic.asked() == np.flatnonzero(~done).tolist()


def test_an_error_of_the_statistic_keeps_what_is_finished():
    def failing(start, stop):
        if stop > 50:
            raise ZeroDivisionError
        return Slow(0.005)(start, stop)

    kept = Memory()
    with pytest.raises(ZeroDivisionError):
        over_permutations(failing, 100, checkpoint=kept)
    assert 0 < kept.state[0].sum() <= 50


def test_a_key_means_the_same_in_every_process():
    first, second = (
        subprocess.run(
            [sys.executable, "-c", DIGEST],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    )
    assert first == second
    assert len(first) == 32


def test_a_key_differs_where_anything_differs():
    keys = [(np.eye(3), 1, plan_permutations("row_shuffle", (60, 70), 99, rng=seed)) for seed in (0, 1)]
    keys += [(np.eye(3), 2, keys[0][2]), (np.eye(3) * 2, 1, keys[0][2]), (np.eye(3, dtype="f4"), 1, keys[0][2])]
    keys += [(np.eye(3), 1, plan_permutations("row_shuffle", (60, 70), 98, rng=0))]
    assert len({parallel._digest(key) for key in keys}) == len(keys)


@pytest.mark.parametrize("backend", BACKENDS[1:])
def test_what_a_statistic_prepares_is_prepared_once_per_process(backend, tmp_path, cluster):
    counted: list[int] = []
    with config(backend) as n_jobs:
        run_slow(Preparing(log=tmp_path / "log"), n_jobs=n_jobs, progress=counted.append)
    makers = (tmp_path / "log").read_text().split()
    assert len(counted) > 6
    # without a lock, which Python 3.12 took away, two threads may do it at once
    assert max(Counter(makers).values()) <= (3 if backend == "threading" else 2)
    assert len(set(makers)) <= 3


def n_threads() -> list[int]:
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


def threads_inside(start: int, stop: int) -> np.ndarray:
    time.sleep(0.002 * (start % 3))  # so that some leave while others are inside
    return np.full((stop - start, 1), max(n_threads()))


@pytest.mark.parametrize("backend", BACKENDS)
def test_linear_algebra_has_one_thread_in_every_job_and_its_own_number_after(backend, cluster):
    with threadpool_limits(2, user_api="blas"), config(backend) as n_jobs:
        before = n_threads()
        assert max(before) == 2
        assert (over_permutations(threads_inside, 60, n_jobs=n_jobs) == 1).all()
        assert n_threads() == before


@pytest.mark.parametrize(
    ("n_jobs", "error"), [(0, ValueError), ("2", TypeError), (2.0, TypeError), (True, TypeError), (None, TypeError)]
)
def test_jobs_that_are_no_number_are_refused(n_jobs, error):
    with pytest.raises(error, match=f"n_jobs={n_jobs!r}"):
        over_permutations(Slow(), 3, n_jobs=n_jobs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"progress": "yes"}, "progress='yes' must be a callable"),
        ({"progress": 1}, "progress=1 must be a callable"),
        ({"checkpoint": "test.npz"}, r"checkpoint='test\.npz' has no load and save: give Checkpoint\(path\)"),
    ],
)
def test_company_of_a_wrong_kind_is_refused(options, message):
    with pytest.raises(TypeError, match=message):
        over_permutations(Slow(), 3, **options)


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("rows", [0, 1, 5])
def test_a_statistic_that_gives_other_rows_than_asked_is_refused(rows, n_jobs):
    with pytest.raises(
        ValueError, match=rf"permutations \d+ to \d+ the statistic gave an array of shape \({rows}, 2\)"
    ):
        over_permutations(lambda start, stop: np.zeros((rows, 2)), 40, quantum=4, n_jobs=n_jobs)


def test_no_permutations_and_a_checkpoint_of_another_length_are_refused():
    with pytest.raises(ValueError, match="no permutations to compute: n=0"):
        over_permutations(Slow(), 0)
    with pytest.raises(ValueError, match=r"shapes \(5,\) and \(5, 2\), for 6 permutations"):
        over_permutations(Slow(), 6, checkpoint=Memory(np.ones(5, dtype=bool), np.zeros((5, 2))))


def test_a_bar_shows_how_many_are_done(capsys):
    done = np.arange(20) < 10
    over_permutations(Slow(), 20, progress=True, checkpoint=Memory(done, np.zeros((20, 4))))
    assert "20/20" in capsys.readouterr().err
