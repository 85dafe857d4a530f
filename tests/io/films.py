"""Small films of which every picture is known."""

import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np

BITS = 8
BLOCK = 16
SIZE = (BITS * BLOCK, 48)


def ffmpeg(*arguments, stdin=None):
    """Run ffmpeg; it must succeed."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)]
    subprocess.run(command, input=stdin, stdin=None if stdin else subprocess.DEVNULL, check=True)


def encode(path, frames, fps, *options, pixels="rgb24", size=None):
    """Write frames, arrays of shape (height, width, 3), to a film; H.264 with B-frames by default."""
    width, height = size or frames[0].shape[1::-1]
    raw = b"".join(np.ascontiguousarray(frame).tobytes() for frame in frames)
    codec = [] if "-c:v" in options else ["-c:v", "libx264", "-preset", "veryfast", "-crf", "16", "-pix_fmt", "yuv420p"]
    source = ["-f", "rawvideo", "-pix_fmt", pixels, "-s", f"{width}x{height}", "-r", fps, "-i", "-"]
    ffmpeg(*source, *codec, *options, path, stdin=raw)
    return path


def numbered(number):
    """A frame that shows a number as a row of black and white blocks."""
    bits = [number >> b & 1 for b in range(BITS)]
    row = np.repeat(np.array(bits, dtype=np.uint8) * 255, BLOCK)
    return np.broadcast_to(row[None, :, None], (SIZE[1], SIZE[0], 3))


def bits_of(frame):
    """Brightness of each block, 0 to 1; the shape of the frame does not matter."""
    return frame.reshape(frame.shape[0], BITS, -1, 3).mean((0, 2, 3)) / 255


def number_of(frame):
    """The number that a frame shows."""
    return sum(int(level > 0.5) << b for b, level in enumerate(bits_of(frame)))


def numbered_film(path: Path, n, fps, *options):
    """A film of so many numbered frames."""
    return encode(path, [numbered(k) for k in range(n)], fps, *options)


def irregular_times(n):
    """Milliseconds of frames at a varying rate, with one still of more than two seconds in the middle."""
    k = np.arange(n)
    return np.rint(40 * k + 15 * np.sin(k) + 2000 * (k >= n // 2)).astype(int)


def irregular_film(path: Path, n, *options):
    """A film of numbered frames at `irregular_times`."""
    times = f"settb=1/1000,setpts=round(40*N+15*sin(N)+2000*gte(N\\,{n // 2}))"
    timed = ["-vf", times, "-fps_mode", "passthrough", "-enc_time_base", "filter"]
    scale = ["-video_track_timescale", "1000"] if path.suffix == ".mp4" else []
    return numbered_film(path, n, 25, *timed, *scale, *options)


def moving(n, size=(160, 96), seed=0):
    """Frames of a drifting texture under a change of light, with a cut in the middle: motion and B-frames."""
    rng = np.random.default_rng(seed)
    width, height = size
    scenes = rng.integers(0, 256, (2, height // 8 + 8, width // 8 + 8, 3)).repeat(8, 1).repeat(8, 2)
    frames = []
    for k in range(n):
        shift = k // 2 % 64
        scene = scenes[2 * k // n, shift : shift + height, shift : shift + width]
        frames.append((scene * (0.6 + 0.4 * np.sin(k / 9))).astype(np.uint8))
    return frames
