"""A short film of stretches of other films, with captions below the picture and their sound."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from neurocca.io.movie import iter_frames
from neurocca.io.movie_header import MovieInfo, probe
from neurocca.io.movie_writing import write_movie
from neurocca.io.sound import iter_audio
from neurocca.io.stills import even_size

SOUND_RATE = 44100

_WIDTHS = (480, 960)
_RATES = (5.0, 60.0)
_FADE = 0.02  # seconds in which sound comes and goes, so that no cut clicks


@dataclass(frozen=True)
class Clip:
    """A stretch of a film.

    Parameters
    ----------
    film : Path
    start, seconds : float
        Where it begins and how long it is.
    caption : tuple of str
        Lines below the picture.
    """

    film: Path
    start: float
    seconds: float
    caption: tuple[str, ...]


def write_reel(path: Path, clips: Sequence[Clip]) -> Path:
    """Write clips one after the other into an .mp4 file.

    Pictures are as wide as those of the first film, within 480 to 960 pixels, and at its rate; films of another shape
    are stretched to its.

    Parameters
    ----------
    path : Path
    clips : sequence of Clip

    Returns
    -------
    Path

    Raises
    ------
    NoInputError, DataError
        When a film cannot be read.
    OutputError
        When the file cannot be written.
    """
    infos = {clip.film: probe(clip.film) for clip in clips}
    first = infos[clips[0].film]
    fps = first.fps if _RATES[0] <= first.fps <= _RATES[1] else 25.0
    pictures = _Pictures(clips, even_size(first.size, 2 * (int(np.clip(first.size[0], *_WIDTHS)) // 2)), fps)
    seconds = pictures.n_frames / fps
    return write_movie(path, pictures.at, seconds, fps, pictures.size, _sound(clips, infos, fps), SOUND_RATE)


def _lengths(clips: Sequence[Clip], fps: float) -> list[int]:
    return [max(1, round(clip.seconds * fps)) for clip in clips]


class _Pictures:
    """Frames with captions, one after the other: no clip is in memory as a whole."""

    def __init__(self, clips: Sequence[Clip], size: tuple[int, int], fps: float) -> None:
        self._clips, self._picture, self._fps = clips, size, fps
        self._bands = _captions([clip.caption for clip in clips], size[0])
        self.size = (size[0], size[1] + self._bands[0].shape[0])
        self._starts = np.cumsum([0, *_lengths(clips, fps)])
        self.n_frames = int(self._starts[-1])
        self._next, self._frames = 0, self._all()
        self._shown: NDArray[np.uint8] | None = None

    def at(self, seconds: float) -> NDArray[np.uint8]:
        """Frame at a second of the reel; who asks for an earlier one than before starts anew."""
        index = min(round(seconds * self._fps), self.n_frames - 1)
        if self._shown is None or index < self._next - 1:
            self._next, self._frames = 0, self._all()
        while self._next <= index:
            self._shown, self._next = next(self._frames), self._next + 1
        assert self._shown is not None
        return self._shown

    def _all(self) -> Iterator[NDArray[np.uint8]]:
        for clip, band, first, stop in zip(self._clips, self._bands, self._starts, self._starts[1:], strict=False):
            frames = iter_frames(clip.film, self._fps, self._picture, start=round(clip.start * self._fps))
            frame = np.zeros((*self._picture[::-1], 3), np.uint8)
            for _ in range(first, stop):
                frame = next(frames, frame)  # the film's last one, where rounding reaches beyond its end
                yield np.vstack([frame, band])


def _captions(captions: Sequence[Sequence[str]], width: int) -> list[NDArray[np.uint8]]:
    """Bands of one size with the lines of every caption, in letters as large as the longest line allows."""
    longest = max((line for caption in captions for line in caption), key=len)
    height = max(14, round(width / 36))
    while height > 8 and ImageFont.load_default(height).getlength(longest) > width * 0.96:
        height -= 1
    font, step = ImageFont.load_default(height), round(1.4 * height)
    tall = 2 * ((max(map(len, captions)) * step + height) // 2)
    bands = []
    for caption in captions:
        band = Image.new("RGB", (width, tall), "black")
        draw = ImageDraw.Draw(band)
        for i, line in enumerate(caption):
            # the font that comes with Pillow has no minus sign
            text = line.replace("−", "-")
            draw.text((width * 0.02, height // 2 + i * step), text, font=font, fill="white")
        bands.append(np.asarray(band))
    return bands


def _sound(clips: Sequence[Clip], infos: dict[Path, MovieInfo], fps: float) -> NDArray[np.float32] | None:
    """Sound of all clips, shape (n, 2); silence where a film has none, nothing where no film has any."""
    if not any(info.has_audio for info in infos.values()):
        return None
    ends = np.rint(np.cumsum([0, *_lengths(clips, fps)]) / fps * SOUND_RATE).astype(int)
    sound = np.zeros((ends[-1], 2), np.float32)
    parts = [sound[a:b] for a, b in pairwise(ends)]
    for film in dict.fromkeys(clip.film for clip in clips if infos[clip.film].has_audio):
        of_film = [(part, clip) for part, clip in zip(parts, clips, strict=True) if clip.film == film]
        _listen(film, [(round(clip.start * fps) / fps, part) for part, clip in of_film])
    for part in parts:
        ramp = np.minimum(1, np.arange(len(part)) / (_FADE * SOUND_RATE))[:, None].astype(np.float32)
        part *= ramp * ramp[::-1]
    return sound


def _listen(film: Path, wanted: Sequence[tuple[float, NDArray[np.float32]]]) -> None:
    """Fill arrays with the sound from a second on; a film is read once, up to the last that is wanted."""
    firsts = [round(start * SOUND_RATE) for start, _ in wanted]
    last = max(first + len(part) for first, (_, part) in zip(firsts, wanted, strict=True))
    read = 0
    for block in iter_audio(film, SOUND_RATE, 10 * SOUND_RATE):
        for first, (_, part) in zip(firsts, wanted, strict=True):
            begin, end = max(first, read), min(first + len(part), read + len(block))
            if begin < end:
                part[begin - first : end - first] = block[begin - read : end - read]  # mono on both sides
        read += len(block)
        if read >= last:
            break
