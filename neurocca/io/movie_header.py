"""What a film is: its length, size, clock and colours, as ffmpeg finds them."""

import math
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

from neurocca.errors import DataError
from neurocca.io.ffmpeg import inspect, url
from neurocca.io.packets import PacketStream, packet_streams

_ROUNDING = 0.005  # seconds by which the last interval may be incomplete: containers round times
_FASTEST = 120.0  # pictures per second that a film may have by its header alone
_USUAL = 25.0  # pictures per second that are looked for where they come at no rate
_TOLERANCE = 1.0  # seconds by which a film may differ from what its header says
_AVI_HEADER = 1 << 16  # bytes at the beginning of an AVI file in which its streams are described


@dataclass(frozen=True)
class FirstPicture:
    """The first picture that ffmpeg decodes, and how it comes.

    ``ticks`` is its time on the container's clock, which counts in units of ``tick`` seconds. ``rate`` is in pictures
    per second, 0 when unknown. ``stored`` is (width, height) before non-square pixels are stretched, ``size`` after
    that. ``matrix`` names the conversion from RGB that the film was made with, "unknown" when it does not say.
    """

    ticks: int
    tick: Fraction
    rate: float
    stored: tuple[int, int]
    size: tuple[int, int]
    matrix: str


@dataclass(frozen=True)
class MovieInfo:
    """What is known of a film without decoding it.

    ``duration`` is in seconds, from the beginning of the first picture to the end of the last. ``fps`` is in frames per
    second, 0 where ffmpeg knows none; where the rate varies it is what ffmpeg makes of it: the rate that the file
    declares (often in Matroska) or the mean (in MP4). Transport streams and AVI files have that of a clock instead,
    up to thousands per second: then it is the mean, or 25 where that is less. ``size`` is (width, height) in square
    pixels as shown, after the rotation and the shape of pixels that the file asks for. ``has_audio`` says whether there
    is a sound track. ``first``, ``last_begins`` (seconds) and ``seekable`` are for the
    decoder: how the clock begins, when the last picture comes, and whether the container keeps an index of exact times.
    """

    path: Path
    duration: float
    fps: float
    size: tuple[int, int]
    has_audio: bool
    first: FirstPicture = field(repr=False, compare=False)
    last_begins: float = field(repr=False, compare=False)
    seekable: bool = field(repr=False, compare=False)


def probe(path: Path | str) -> MovieInfo:
    """Read a film's header and index; of its pictures only the first is decoded.

    The whole file is read once: no header says when the pictures end, and sound may outlast them.

    Parameters
    ----------
    path : path
        Any film that ffmpeg reads. Of several video streams the first counts that is not a cover picture.

    Returns
    -------
    MovieInfo

    Raises
    ------
    NoInputError
        When there is no such file.
    DataError
        When it is not a film that ffmpeg can read, or ends long before the time that its header gives.
    """
    path = Path(path)
    url(path)  # refuses what is no file, before it is asked for its size
    state = path.stat()
    return _probe(path.absolute(), path, state.st_size, state.st_mtime_ns)


def n_samples(duration: float, rate: float) -> int:
    """Number of complete sample intervals of 1/rate seconds in a film of so many seconds.

    Containers round times: an interval may lack up to 5 ms, but never half of itself.
    """
    return math.floor((duration + min(_ROUNDING, 0.5 / rate)) * rate)


def first_picture(path: Path, before: Sequence[str] = ()) -> tuple[FirstPicture | None, str]:
    """The first picture that can be decoded, None when there is none, and all that ffmpeg says of the film."""
    options = ["-map", "0:V:0", "-frames:v", "1", "-vf", "showinfo=checksum=0"]
    ok, messages = inspect(path, options, before)
    clock = re.search(r"config in time_base: (\d+/\d+), frame_rate: (\d+)/(\d+)", messages)
    shown = re.search(r"\] n: *0 pts: *(-?\d+) .* sar:(\d+)/(\d+) s:(\d+)x(\d+) ", messages)
    if not ok or clock is None or shown is None:
        return None, messages
    ticks, across, up, width, height = map(int, shown.groups())
    # pixels of shape 0/1 are of unknown shape
    size = (max(1, round(Fraction(width * across, up))) if across and up else width, height)
    matrix = re.search(r" color_space:(\w+)", messages)
    n, seconds = int(clock[2]), int(clock[3])
    rate = n / seconds if seconds else 0.0
    name = matrix[1] if matrix else "unknown"
    return FirstPicture(ticks, Fraction(clock[1]), rate, (width, height), size, name), messages


@lru_cache(maxsize=64)
def _probe(_place: Path, path: Path, n_bytes: int, _modified: int) -> MovieInfo:
    if n_bytes == 0:
        raise DataError(f"film {path}: is an empty file.")
    first, messages = first_picture(path)
    header = messages.partition("\nStream mapping:")[0]
    has_audio = re.search(r"^ *Stream .* Audio: ", header, re.MULTILINE) is not None
    if first is None:
        only_sound = ", only sound" if has_audio and "matches no streams" in messages else ""
        raise DataError(f"film {path}: ffmpeg finds no readable pictures in it{only_sound}.")
    pictures, *others = packet_streams(path)
    promised, length = max(_promised(header), _promised_by_avi(path)), _length([pictures, *others])
    if length < promised - _TOLERANCE:
        raise DataError(f"film {path}: ends after {length:.1f} s of {promised:.1f} s; is it truncated?")
    begin = first.ticks * first.tick
    duration, last = float(pictures.end - begin), float(pictures.last_begins - begin)
    if pictures.shown > 1.05 * duration + _TOLERANCE:
        raise DataError(
            f"film {path}: {pictures.shown:.1f} s of pictures lie within {duration:.1f} s; are files joined in it that "
            "each count from 0? ffmpeg -i FILE -c copy NEW.mkv gives them one clock."
        )
    fps, mean = first.rate, pictures.n / duration if duration else 0.0
    if fps > max(_FASTEST, 2.5 * mean):  # 2.5: each picture can be a packet for both of its fields
        fps = max(_USUAL, mean)
    # these two keep an index of exact times
    seekable = re.search(r"^Input #0, (mov|matroska)\b", header, re.MULTILINE) is not None
    return MovieInfo(path, duration, fps, first.size, has_audio, first, last, seekable)


def _length(streams: Sequence[PacketStream]) -> float:
    """Seconds of the whole film, counted as headers do: from 0, or from the earliest packet where that is before."""
    return float(max(stream.end for stream in streams) - min(Fraction(0), *(stream.begins for stream in streams)))


def _promised(header: str) -> float:
    """Seconds that a film lasts by its header, 0 if it does not say."""
    clock = re.search(r"^ *Duration: (\d+):(\d+):(\d+\.\d+)", header, re.MULTILINE)
    hours, minutes, seconds = map(float, clock.groups()) if clock else (0.0, 0.0, 0.0)
    return 3600 * hours + 60 * minutes + seconds


def _promised_by_avi(path: Path) -> float:
    """Seconds of pictures by the header of an AVI file, 0 where it does not say or is none.

    ffmpeg makes what the header promises smaller where the file is, and so hides that the rest is missing.
    """
    with path.open("rb") as file:
        start = file.read(_AVI_HEADER)
    # of the first stream of pictures: "strh", its size, "vids", codec, flags, 8 bytes, scale, rate, start, length
    stream = re.search(rb"strh....vids.{16}(.{16})", start, re.DOTALL)
    if start[:4] != b"RIFF" or start[8:12] != b"AVI " or stream is None:
        return 0.0
    scale, rate, _, length = struct.unpack("<4I", stream[1])
    return length * scale / rate if rate else 0.0
