"""Films: their frames and sound as arrays, and arrays as a film. The only module that knows MoviePy and ffmpeg."""

import math
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO

import imageio_ffmpeg
import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurocca.design import FeatureSeries
from neurocca.errors import DataError, NoInputError, OutputError
from neurocca.features.lowlevel import frame_measures, sound_measures
from neurocca.io.files import staged

FEATURE_WIDTH = 320
"""Widest frame, in pixels, that the low-level measures are taken from: films of any resolution become comparable."""

_HEADER_ROUNDING = 0.005  # ffmpeg prints durations to a hundredth of a second
_MISSING_TOLERANCE = 1.0  # seconds by which the sound may outlast the pictures


@dataclass(frozen=True)
class MovieInfo:
    """What a film's header says.

    ``duration`` is in seconds (to 0.01 s), ``fps`` in frames per second, ``size`` is (width, height) in pixels as
    shown, after the rotation that the file asks for.
    ``fps`` is 0 when the header does not say.
    """

    path: Path
    duration: float
    fps: float
    size: tuple[int, int]
    has_audio: bool


def probe(path: Path | str) -> MovieInfo:
    """Read a film's header.

    Raises
    ------
    NoInputError
        When there is no such file.
    DataError
        When it is not a film that ffmpeg can read.
    """
    path = Path(path)
    # imageio_ffmpeg's own reader leaves pipes open when it fails; decoding one frame shows what ffmpeg finds
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-hide_banner", "-i", _url(path)]
    command += ["-map", "0:v:0", "-frames:v", "1", "-f", "null", "-"]
    child = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    source, _, output = child.stderr.decode("utf-8", "replace").partition("\nOutput #0")
    stream = re.search(r"^ *Stream .* Video: .*$", source, re.MULTILINE)
    shown = re.search(r"^ *Stream .* Video: .* (\d+)x(\d+)[, ]", output, re.MULTILINE)
    if child.returncode != 0 or stream is None or shown is None:
        raise DataError(f"film {path}: ffmpeg finds no readable pictures in it.")
    fps = re.search(r" ([\d.]+) fps", stream.group())
    has_audio = re.search(r"^ *Stream .* Audio: ", source, re.MULTILINE) is not None
    size = (int(shown.group(1)), int(shown.group(2)))
    return MovieInfo(path, _duration(source, path), float(fps.group(1)) if fps else 0.0, size, has_audio)


def _duration(header: str, path: Path) -> float:
    """Seconds of the film; counted where the header does not say."""
    clock = re.search(r"^ *Duration: (\d+):(\d+):(\d+\.\d+)", header, re.MULTILINE)
    if clock is None:
        return float(imageio_ffmpeg.count_frames_and_secs(_url(path))[1])
    hours, minutes, seconds = map(float, clock.groups())
    return 3600 * hours + 60 * minutes + seconds


def n_samples(duration: float, rate: float) -> int:
    """Number of complete sample intervals of 1/rate seconds in a film of so many seconds."""
    return math.floor((duration + _HEADER_ROUNDING) * rate)


def iter_frames(path: Path | str, rate: float, size: tuple[int, int] | None = None) -> Iterator[NDArray[np.uint8]]:
    """Decode a film at evenly spaced times, one frame in memory at a time.

    Sample k is the frame on screen at k/rate seconds. ffmpeg's ``fps`` filter would by default take the nearest
    frame in time, which is half a sample late; rounding up from second 0 is exact.

    Parameters
    ----------
    path : path
        Any film that ffmpeg reads.
    rate : float
        Samples per second.
    size : (width, height), optional
        Scale to so many pixels, in the decoder; the film's own size by default.

    Yields
    ------
    array, shape (height, width, 3), uint8
        RGB; ``floor(duration * rate)`` of them, or up to a second less where the sound outlasts the pictures.

    Raises
    ------
    NoInputError
        When there is no such file.
    DataError
        When it is not a film, or ends long before the time that its header gives.
    """
    if not rate > 0:
        raise ValueError(f"rate={rate} must be a positive number of samples per second.")
    info = probe(path)
    width, height = size or info.size
    fps = Fraction(rate).limit_denominator(100_000)
    expected = n_samples(info.duration, rate)
    options = ["-map", "0:v:0", "-vf", f"fps={fps}:round=up:start_time=0,scale={width}:{height}"]
    options += ["-frames:v", str(expected), "-pix_fmt", "rgb24", "-f", "rawvideo"]
    count = 0
    for chunk in _decode(info.path, options, width * height * 3):
        count += 1
        yield np.frombuffer(chunk, dtype=np.uint8).reshape(height, width, 3)
    if count < n_samples(info.duration - _MISSING_TOLERANCE, rate):
        raise DataError(
            f"film {info.path}: pictures end after {count / rate:.1f} s of {info.duration:.1f} s; is it truncated?"
        )


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
        Sound pressure, full scale is ±1; mono stays mono, all else is mixed to stereo. Row 0 is second 0 of the
        film, also where the track begins later. Shape (0, 0) when the film has no sound track.
    """
    info = probe(path)
    if not info.has_audio:
        return np.zeros((0, 0), dtype=np.float32)
    # first_pts=0 fills a late start with silence
    filters = f"aresample={rate}:async=1:first_pts=0,aformat=sample_fmts=flt:channel_layouts=mono|stereo"
    options = ["-map", "0:a:0", "-af", filters]
    # a .au header says how many channels there are (and unlike .wav has no size to be mended at the end)
    chunks = list(_decode(info.path, [*options, "-c:a", "pcm_f32be", "-f", "au"], 1 << 20))
    return _parse_au(b"".join(chunks), info.path)


def film_features(
    path: Path | str, rate: float, progress: Callable[[int], object] | None = None
) -> dict[str, FeatureSeries]:
    """Low-level features of a film's pictures and sound.

    Parameters
    ----------
    path : path
        A film.
    rate : float
        Samples per second; sample k begins at k/rate seconds.
    progress : callable, optional
        Called with 1 after every frame; there are ``n_samples(probe(path).duration, rate)``.

    Returns
    -------
    dict of FeatureSeries
        ``lowlevel`` (see `neurocca.features.lowlevel.frame_measures`) and, when the film has sound, ``audio``
        (see `sound_measures`).
    """
    info = probe(path)
    total = n_samples(info.duration, rate)
    frames = iter_frames(path, rate, _feature_size(info.size))
    data, names = frame_measures(_counted(frames, progress))
    series = {"lowlevel": FeatureSeries(data, np.arange(len(data)) / rate, names)}
    audio = read_audio(path)
    if len(audio):
        sound, sound_names = sound_measures(audio, 16000, 1 / rate, total)
        series["audio"] = FeatureSeries(sound, np.arange(total) / rate, sound_names)
    return series


def write_movie(
    path: Path | str,
    frame_function: Callable[[float], NDArray[np.uint8]],
    duration: float,
    fps: float,
    size: tuple[int, int],
    audio: ArrayLike | None = None,
    audio_rate: int = 44100,
) -> Path:
    """Write a film with H.264 pictures and AAC sound; the same input gives the same bytes.

    Parameters
    ----------
    path : path
        Where to write; must end in .mp4.
    frame_function : callable
        From seconds to a (height, width, 3) uint8 RGB frame.
    duration : float
        Length in seconds, rounded to a whole number of frames.
    fps : float
        Frames per second.
    size : (width, height)
        Size of the frames in pixels; even numbers.
    audio : array, shape (n, 2), optional
        Sound pressure, full scale is ±1.
    audio_rate : int
        Samples of sound per second.

    Returns
    -------
    Path
        The file written.
    """
    from moviepy import VideoClip  # slow to import, and only needed to write

    path = Path(path)
    if path.suffix != ".mp4" or size[0] % 2 or size[1] % 2:
        raise ValueError(f"{path} of {size[0]}x{size[1]} pixels: expected a name in .mp4 and even numbers of pixels.")
    if frame_function(0.0).shape != (size[1], size[0], 3):
        raise ValueError(f"frames have shape {frame_function(0.0).shape}, expected ({size[1]}, {size[0]}, 3).")
    # MoviePy truncates duration * fps, so half a frame more keeps the last one
    clip = VideoClip(frame_function, duration=(round(duration * fps) + 0.5) / fps)
    if audio is not None:
        clip = clip.with_audio(_audio_clip(np.asarray(audio), audio_rate, duration))
    with staged(path.parent) as folder:
        try:
            clip.write_videofile(
                str(folder / path.name),
                fps=fps,
                codec="libx264",
                audio_codec="aac",
                audio_fps=audio_rate,
                temp_audiofile=str(folder / "sound.m4a"),
                pixel_format="yuv420p",
                threads=1,  # x264's output depends on the number of threads
                logger=None,
            )
        except OSError as error:
            raise OutputError(f"film {path}: cannot be written: {_last_line(str(error))}") from error
    return path


def _audio_clip(audio: NDArray, rate: int, duration: float) -> object:
    """Sound of shape (n, 2) as a MoviePy clip.

    MoviePy's own AudioArrayClip truncates second * rate, which now and then repeats a sample and skips the next.
    """
    from moviepy import AudioClip

    def sound_at(seconds: float | NDArray) -> NDArray:
        return audio[np.clip(np.rint(np.asarray(seconds) * rate).astype(int), 0, len(audio) - 1)]

    return AudioClip(sound_at, duration=min(duration, len(audio) / rate), fps=rate)


def _decode(path: Path, options: list[str], chunk_size: int) -> Iterator[bytes]:
    """Output of ffmpeg in chunks of so many bytes; the child ends with the iterator."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-i", _url(path), *options, "pipe:1"]
    # messages go to a file: a pipe that nobody reads would block ffmpeg
    with tempfile.TemporaryFile() as messages:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=messages)
        assert child.stdout is not None
        try:
            while chunk := child.stdout.read(chunk_size):
                yield chunk
            if child.wait() != 0:
                raise DataError(f"film {path}: ffmpeg cannot decode it: {_tail(messages)}")
        finally:
            child.kill()  # does nothing to a child that has ended
            child.stdout.close()
            child.wait()


def _url(path: Path) -> str:
    """Name for ffmpeg that it can take neither for an option nor for a protocol."""
    if not path.is_file():
        hint = "its content has not been fetched (datalad get)" if path.is_symlink() else "no such file"
        raise NoInputError(f"film {path}: {hint}.")
    return f"file:{path.absolute()}"


def _tail(messages: IO[bytes]) -> str:
    messages.seek(0)
    return _last_line(messages.read().decode("utf-8", "replace"))


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"


def _parse_au(sound: bytes, path: Path) -> NDArray[np.float32]:
    """Samples (n, channels) of a .au stream of big-endian float32."""
    if len(sound) < 24 or sound[:4] != b".snd":
        raise DataError(f"film {path}: its sound track cannot be decoded.")
    start, channels = int.from_bytes(sound[4:8], "big"), int.from_bytes(sound[20:24], "big")
    n = (len(sound) - start) // (4 * channels)
    samples = np.frombuffer(sound, dtype=">f4", count=n * channels, offset=start)
    return samples.astype(np.float32).reshape(n, channels)


def _feature_size(size: tuple[int, int]) -> tuple[int, int]:
    """Size of at most FEATURE_WIDTH pixels' width with the same proportions."""
    width, height = size
    return (width, height) if width <= FEATURE_WIDTH else (FEATURE_WIDTH, max(1, round(height * FEATURE_WIDTH / width)))


def _counted(
    frames: Iterator[NDArray[np.uint8]], progress: Callable[[int], object] | None
) -> Iterator[NDArray[np.uint8]]:
    for frame in frames:
        yield frame
        if progress is not None:
            progress(1)
