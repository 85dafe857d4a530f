import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from neurocca.errors import DataError, OutputError
from neurocca.io.checkpoint import Checkpoint

ROOT = Path(__file__).parents[2]
KEY = "0123456789abcdef" * 2
DONE, VALUES = np.array([True, False, True]), np.arange(6.0).reshape(3, 2)

# writes one state after the other, as fast as it can, until somebody kills it
WRITER = """
import sys, numpy as np
from neurocca.io.checkpoint import Checkpoint
checkpoint = Checkpoint(sys.argv[1])
for i in range(10_000):
    checkpoint.save("key", np.full(2000, i % 2 == 1), np.full((2000, 50), float(i)))
    print(i, flush=True)
"""


@pytest.fixture
def checkpoint(tmp_path) -> Checkpoint:
    return Checkpoint(tmp_path / "test.npz")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int16])
def test_what_was_saved_is_loaded_and_numpy_can_read_it(checkpoint, dtype):
    assert checkpoint.load(KEY) is None
    checkpoint.save(KEY, DONE, VALUES.astype(dtype))
    done, values = checkpoint.load(KEY)
    assert (done.dtype, values.dtype) == (bool, dtype)
    np.testing.assert_array_equal(done, DONE)
    np.testing.assert_array_equal(values, VALUES)
    values[0] = 7  # the caller goes on with it
    with np.load(checkpoint.path, allow_pickle=False) as file:
        np.testing.assert_array_equal(file["values"], VALUES)


def test_equal_states_are_equal_bytes_whatever_came_before(tmp_path):
    one, other = Checkpoint(tmp_path / "one.npz"), Checkpoint(tmp_path / "a" / "other.npz")
    one.save(KEY, DONE, VALUES)
    other.save(KEY, ~DONE, VALUES + 1)
    other.save(KEY, DONE, np.asfortranarray(VALUES))
    assert one.path.read_bytes() == other.path.read_bytes()
    assert names(tmp_path) == ["a", "one.npz"]


def test_a_file_of_another_test_is_neither_read_nor_overwritten(checkpoint):
    checkpoint.save(KEY, DONE, VALUES)
    before = checkpoint.path.read_bytes()
    for act in (checkpoint.load, lambda key: checkpoint.save(key, DONE, VALUES)):
        with pytest.raises(DataError, match=r"test\.npz belongs to another test: .* delete it or choose another path"):
            act("another")
    assert checkpoint.path.read_bytes() == before
    checkpoint.clear()
    checkpoint.clear()
    checkpoint.save("another", DONE, VALUES)
    assert checkpoint.load("another") is not None


def test_a_damaged_file_is_refused_wherever_the_damage_is(checkpoint):
    checkpoint.save(KEY, DONE, VALUES)
    whole = checkpoint.path.read_bytes()
    damaged = [whole[:i] for i in range(0, len(whole), 29)]
    # the latter makes other digits of digits
    damaged += [whole[:i] + bytes([whole[i] ^ (0xFF, 0x02)[i % 2]]) + whole[i + 1 :] for i in range(len(whole))]
    refusals = []
    for content in damaged:
        checkpoint.path.write_bytes(content)
        try:
            done, values = checkpoint.load(KEY)
        except DataError as error:
            refusals.append(str(error))
        else:  # a date, a permission: what nobody reads
            np.testing.assert_array_equal(done, DONE)
            np.testing.assert_array_equal(values, VALUES)
    assert len(refusals) > 0.7 * len(damaged)
    assert all(str(checkpoint.path) in refusal for refusal in refusals)
    checkpoint.clear()
    # arrays that are shorter than they were, and so are read without coming to their end
    checkpoint.save("long", np.ones(9000, dtype=bool), np.ones((9000, 2)))
    checkpoint.path.write_bytes(checkpoint.path.read_bytes().replace(b"(9000, 2)", b"(9000, 0)"))
    with pytest.raises(DataError, match="damaged"):
        checkpoint.load("long")
    checkpoint.path.write_bytes(whole[:-30])
    with pytest.raises(DataError, match=r"test\.npz: damaged"):
        checkpoint.save(KEY, DONE, VALUES)


@pytest.mark.parametrize(
    "arrays",
    [
        {"x": VALUES},
        {"format": 1, "key": KEY, "done": DONE},
        {"format": 1, "key": KEY, "done": DONE, "values": np.array([[{}]] * 3)},
        {"format": 1, "key": KEY, "done": DONE, "values": VALUES[:2]},
        {"format": 1, "key": KEY, "done": VALUES[:, 0], "values": VALUES},
        {"format": 2, "key": KEY, "done": DONE, "values": VALUES},
    ],
)
def test_a_file_of_something_else_is_refused(checkpoint, arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    checkpoint.path.write_bytes(buffer.getvalue())
    with pytest.raises(DataError, match=r"test\.npz: (damaged, or no checkpoint|of format 2)"):
        checkpoint.load(KEY)


def test_what_needs_pickle_is_not_written(checkpoint):
    with pytest.raises(ValueError, match="allow_pickle"):
        checkpoint.save(KEY, DONE, np.array([[{}]] * 3))
    assert names(checkpoint.path.parent) == []


def test_places_that_cannot_be_written_or_read_are_named(tmp_path):
    (tmp_path / "file").write_text("")
    blocked = Checkpoint(tmp_path / "file" / "test.npz")
    assert blocked.load(KEY) is None
    with pytest.raises(OutputError, match=r"file/test\.npz: cannot be written"):
        blocked.save(KEY, DONE, VALUES)
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        Checkpoint(tmp_path).load(KEY)


@pytest.mark.parametrize("act", [lambda c: c.save(KEY, DONE, VALUES), Checkpoint.clear])
def test_what_a_killed_process_left_is_removed_and_nothing_else(checkpoint, act):
    folder = checkpoint.path.parent
    for name in (".test.npz.tmp-0a1b2c3d", ".other.npz.tmp-0a1b2c3d", "test.npz.txt"):
        (folder / name).write_bytes(b"half")
    checkpoint.load(KEY)
    assert len(names(folder)) == 3, "a reader must not take away what another process is writing"
    act(checkpoint)
    assert set(names(folder)) - {"test.npz"} == {".other.npz.tmp-0a1b2c3d", "test.npz.txt"}


def test_a_process_killed_while_it_writes_leaves_the_old_or_the_new_state(checkpoint):
    rng = np.random.default_rng(3)
    for delay in rng.uniform(0, 0.05, 5):
        checkpoint.clear()
        command = [sys.executable, "-c", WRITER, str(checkpoint.path)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as writer:
            written = [int(writer.stdout.readline()) for _ in range(3)][-1]
            time.sleep(delay)
            os.kill(writer.pid, signal.SIGKILL)
            written = max([written, *map(int, writer.stdout.read().split())])
        done, values = checkpoint.load("key")
        state = int(values[0, 0])
        assert state in (written, written + 1)
        assert (values == state).all()
        assert (done == (state % 2 == 1)).all()
    checkpoint.save("key", done, values)
    assert names(checkpoint.path.parent) == ["test.npz"]
