"""Films from arrays, rendered by MoviePy."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurocca.errors import OutputError
from neurocca.io.ffmpeg import last_line
from neurocca.io.files import staged


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
                # what ffmpeg converts with; films of high definition that do not say so are taken for BT.709
                ffmpeg_params=["-colorspace", "smpte170m"],
                logger=None,
            )
        except OSError as error:
            raise OutputError(f"film {path}: cannot be written: {last_line(str(error))}") from error
    return path


def _audio_clip(audio: NDArray, rate: int, duration: float) -> object:
    """Sound of shape (n, 2) as a MoviePy clip.

    MoviePy's own AudioArrayClip truncates second * rate, which now and then repeats a sample and skips the next.
    """
    from moviepy import AudioClip

    def sound_at(seconds: float | NDArray) -> NDArray:
        return audio[np.clip(np.rint(np.asarray(seconds) * rate).astype(int), 0, len(audio) - 1)]

    return AudioClip(sound_at, duration=min(duration, len(audio) / rate), fps=rate)
