"""Sound tracks of films as arrays, on the clock of the pictures: second 0 is the first picture."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurocca.errors import DataError
from neurocca.io.ffmpeg import Output, decoding
from neurocca.io.movie_header import MovieInfo, probe

_HEADER = 24  # bytes of a .au file that say how it goes on


def iter_audio(path: Path | str, rate: int, block: int) -> Iterator[NDArray[np.float32]]:
    """Read the first sound track of a film block by block.

    Parameters
    ----------
    path : path
        A film.
    rate : int
        Samples per second to resample to.
    block : int
        Samples in an array; the last one may have fewer.

    Returns
    -------
    iterator of array, shape (n, channels), float32
        Sound pressure, full scale is ±1; mono stays mono, all else is mixed to stereo. Sample 0 is heard when the first
        picture appears: a track that begins later is led in by silence, and what comes before is left out.

    Raises
    ------
    NoInputError
        When there is no such file.
    DataError
        When it is not a film, or has no sound; while blocks are taken, when the sound cannot be decoded.
    """
    info = probe(path)
    if not info.has_audio:
        raise DataError(f"film {info.path}: has no sound.")
    return _blocks(info, rate, block)


def read_audio(path: Path | str, rate: int = 16000) -> NDArray[np.float32]:
    """Read the whole first sound track of a film.

    Parameters
    ----------
    path : path
        A film.
    rate : int
        Samples per second to resample to.

    Returns
    -------
    array, shape (n, channels), float32
        As `iter_audio` gives it. Shape (0, 0) when the film has no sound track.

    Raises
    ------
    NoInputError, DataError
        As `iter_audio` raises them for a film with sound.
    """
    info = probe(path)
    blocks = list(_blocks(info, rate, 60 * rate)) if info.has_audio else []
    return np.concatenate(blocks) if blocks else np.zeros((0, 0), dtype=np.float32)


def _blocks(info: MovieInfo, rate: int, block: int) -> Iterator[NDArray[np.float32]]:
    begin = info.first.ticks * info.first.tick
    # async=1 fills gaps with silence, first_pts=0 also the one before a late start
    filters = f"asetpts=PTS-{begin}/TB,aresample={rate}:async=1:first_pts=0"
    filters += ",aformat=sample_fmts=flt:channel_layouts=mono|stereo"
    # a .au header says how many channels there are (and unlike .wav has no size to be mended at the end)
    options = ["-map", "0:a:0", "-af", filters, "-c:a", "pcm_f32be", "-f", "au"]
    with decoding(info.path, options) as sound:
        channels = _channels(sound, info.path)
        while chunk := sound.read(4 * channels * block):
            samples = np.frombuffer(chunk, dtype=">f4", count=len(chunk) // (4 * channels) * channels)
            yield samples.astype(np.float32).reshape(-1, channels)


def _channels(sound: Output, path: Path) -> int:
    """Number of channels by the header of a .au stream, which is read."""
    header = sound.read(_HEADER)
    if len(header) < _HEADER or header[:4] != b".snd":
        raise DataError(f"film {path}: its sound track cannot be decoded.")
    sound.read(int.from_bytes(header[4:8], "big") - _HEADER)
    return int.from_bytes(header[20:24], "big")
