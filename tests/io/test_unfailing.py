import errno
import os
import signal
import time
from pathlib import Path

import pytest

from neurocca.io.unfailing import UnfailingFile, write_file


def test_what_is_written_is_there(tmp_path):
    def write(file: UnfailingFile) -> None:
        assert file.write(b"abcdef") == 6
        file.seek(2)
        file.write(memoryview(b"XY"))
        file.truncate(5)

    write_file(tmp_path / "x", write)
    assert (tmp_path / "x").read_bytes() == b"abXYe"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full, a disk that is always full, on this system")
def test_a_failure_is_said_after_all_has_been_taken():
    taken = []

    def write(file: UnfailingFile) -> None:
        taken.append(file.write(b"abc"))
        taken.append(file.write(b"de"))
        file.truncate(100)
        raise RuntimeError("what a library makes of it")

    with pytest.raises(OSError, match="No space left") as error:
        write_file(Path("/dev/full"), write)
    assert taken == [3, 2]
    assert error.value.errno == errno.ENOSPC


def test_other_failures_are_their_own(tmp_path):
    def write(file: UnfailingFile) -> None:
        raise TypeError("wrong")

    with pytest.raises(TypeError, match="wrong"):
        write_file(tmp_path / "x", write)


def test_an_interrupt_never_comes_while_the_file_is_in_use(tmp_path):
    reached = []

    def write(file: UnfailingFile) -> None:
        time.sleep(0.3)  # the main thread waits by then
        os.kill(os.getpid(), signal.SIGINT)
        end = time.monotonic() + 30
        while file.failure is None and time.monotonic() < end:
            time.sleep(0.01)
        reached.append(file.write(b"abc"))
        file.check()

    with pytest.raises(KeyboardInterrupt):
        write_file(tmp_path / "x", write)
    assert reached == [3]
    assert (tmp_path / "x").read_bytes() == b""
