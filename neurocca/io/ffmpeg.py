"""ffmpeg as a child process: its command line, its output as it comes, and what it complains of.

imageio-ffmpeg brings the program along. No other module starts it.
"""

import logging
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from neurocca.errors import DataError, NoInputError

log = logging.getLogger(__name__)

# copyts: the container's own times. Otherwise ffmpeg counts from the earliest of the streams that it is asked for, so
# that a call for pictures and one for sound would have clocks that differ
_READING = ("-nostdin", "-hide_banner", "-copyts")


class Output:
    """What a child writes, as it comes.

    Parameters
    ----------
    pipe : binary file, unbuffered
    """

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe

    def fill(self, picture: NDArray[np.uint8]) -> bool:
        """Fill an array with the next picture; False when there is no whole one."""
        return self._read_into(picture.data.cast("B")) == picture.nbytes

    def read(self, n: int) -> bytes:
        """The next n bytes, or fewer at the end."""
        buffer = bytearray(n)
        return bytes(buffer[: self._read_into(memoryview(buffer))])

    def lines(self) -> Iterator[bytes]:
        """All lines of a text."""
        rest = b""
        while chunk := self.read(1 << 16):
            *whole, rest = (rest + chunk).split(b"\n")
            yield from whole
        if rest:
            yield rest

    def _read_into(self, buffer: memoryview) -> int:
        done = 0
        while done < len(buffer):
            n = self._pipe.readinto(buffer[done:])  # type: ignore[attr-defined]
            if not n:
                break
            done += n
        return done


def inspect(path: Path, options: Sequence[str], before: Sequence[str] = ()) -> tuple[bool, str]:
    """Run ffmpeg for its messages.

    Parameters
    ----------
    path : Path
        A film.
    options : sequence of str
        What to do with it.
    before : sequence of str, optional
        Options of reading, which come before the film's name.

    Returns
    -------
    ok : bool
        Whether it ended well.
    messages : str
    """
    command = [program(), *_READING, *before, "-i", url(path), *options, "-f", "null", "-"]
    child = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return child.returncode == 0, child.stderr.decode("utf-8", "replace")


@contextmanager
def decoding(
    path: Path, options: Sequence[str], before: Sequence[str] = (), *, times: int | None = None, quiet: bool = False
) -> Iterator[Output]:
    """Run ffmpeg for its output; the child ends with the block.

    Damage does not stop ffmpeg as long as most of the film can be decoded: it shows what a player would show there, at
    the times that the container gives. That much is logged as a warning.

    Parameters
    ----------
    path : Path
        A film.
    options, before : sequence of str
        As `inspect` takes them.
    times : int, optional
        File descriptor that the child writes to as well; closed here once the child has it.
    quiet : bool
        Whether complaints are expected, and not passed on.

    Yields
    ------
    Output

    Raises
    ------
    DataError
        When ffmpeg gives up.
    """
    command = [program(), *_READING, "-v", "error", *before, "-i", url(path), *options, "pipe:1"]
    inherited = () if times is None else (times,)
    # messages go to a file: a pipe that nobody reads would block ffmpeg
    with tempfile.TemporaryFile() as messages:
        try:
            child = subprocess.Popen(
                command,
                bufsize=0,
                pipesize=1 << 20,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=messages,
                pass_fds=inherited,
            )
        finally:
            for descriptor in inherited:
                os.close(descriptor)
        assert child.stdout is not None
        try:
            yield Output(child.stdout)
            while child.stdout.read(1 << 16):  # what is over is little, and how the child ends is of interest
                pass
            if child.wait() != 0:
                raise DataError(f"film {path}: ffmpeg cannot decode it: {last_line(_text(messages))}")
            if not quiet:
                _warn(path, _text(messages))
        finally:
            child.kill()  # does nothing to a child that has ended
            child.stdout.close()
            child.wait()


@contextmanager
def decoding_pictures(
    path: Path, options: Sequence[str], before: Sequence[str] = ()
) -> Iterator[tuple[Output, IO[str]]]:
    """Run ffmpeg for raw pictures and the time of each: a line with its ticks is there before the picture is.

    Parameters
    ----------
    path, options, before
        As `decoding` takes them.

    Yields
    ------
    pictures : Output
    ticks : text file
    """
    end, start = os.pipe()
    with os.fdopen(end) as ticks:
        # in ticks of the film: the encoder's own would be frames of a constant rate
        stats = ["-enc_time_base", "filter", "-stats_enc_pre", f"pipe:{start}", "-stats_enc_pre_fmt", "{pts}"]
        with decoding(path, [*stats, *options], before, times=start) as pictures:
            yield pictures, ticks


def url(path: Path) -> str:
    """Name for ffmpeg that it can take neither for an option nor for a protocol.

    Raises
    ------
    NoInputError
        When there is no file to read under that name.
    """
    if path.is_dir():
        raise NoInputError(f"film {path}: is a folder.")
    if not path.is_file():
        hint = "its content has not been fetched (datalad get)" if path.is_symlink() else "no such file"
        raise NoInputError(f"film {path}: {hint}.")
    if not os.access(path, os.R_OK):
        raise NoInputError(f"film {path}: may not be read (permission denied).")
    return f"file:{path.absolute()}"


def last_line(text: str) -> str:
    """The last line that says anything."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"


def program() -> str:
    """Path of the ffmpeg program."""
    return str(imageio_ffmpeg.get_ffmpeg_exe())


def _text(messages: IO[bytes]) -> str:
    messages.seek(0)
    return messages.read().decode("utf-8", "replace")


def _warn(path: Path, messages: str) -> None:
    lines = messages.splitlines()
    if lines:
        more = f" (and {len(lines) - 1} more lines)" if len(lines) > 1 else ""
        log.warning("film %s: damaged? ffmpeg says: %s%s", path, lines[0].strip(), more)
