"""A generated film: scenes of drifting texture and moving balls between cuts, and a sound track independent of them."""

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.fft import irfft2, rfft2
from scipy.ndimage import gaussian_filter1d

SIZE = (160, 96)
"""Width and height in pixels."""

FPS = 10

SOUND_RATE = 16000

SCENE_SECONDS = (2.0, 12.0)
"""Shortest and longest scene."""


@dataclass(frozen=True)
class Scene:
    """What is on screen between two cuts.

    Parameters
    ----------
    start : float
        Second of its first frame.
    canvas : array, shape (height, width, 3), float32
        Background in 0 to 1; its left and right edge join.
    drift : float
        Speed of the background in pixels per second.
    centres, velocities : arrays, shape (b, 2)
        Balls at the scene's start, x and y in pixels, and their motion in pixels per second.
    radii : array, shape (b,)
        Pixels.
    colours : array, shape (b, 3)
        0 to 1.
    """

    start: float
    canvas: NDArray[np.float32]
    drift: float
    centres: NDArray[np.float64]
    velocities: NDArray[np.float64]
    radii: NDArray[np.float64]
    colours: NDArray[np.float64]


class Film:
    """Pictures of a generated film at any second.

    Parameters
    ----------
    duration : float
        Seconds.
    rng : Generator
        Where all chance comes from.
    """

    def __init__(self, duration: float, rng: Generator) -> None:
        self.scenes = make_scenes(duration, rng)
        self._starts = [scene.start for scene in self.scenes]

    def frame(self, seconds: float) -> NDArray[np.uint8]:
        """Frame on screen at a second, shape (height, width, 3)."""
        # seconds of frames are k / fps in floats: a hair more never shows the scene before the cut
        scene = self.scenes[max(0, bisect_right(self._starts, seconds + 1e-6) - 1)]
        elapsed = seconds - scene.start
        picture = _slide(scene.canvas, scene.drift * elapsed)
        centres = _bounce(scene.centres + scene.velocities * elapsed, np.array(SIZE) - 1.0)
        for centre, radius, colour in zip(centres, scene.radii, scene.colours, strict=True):
            _draw_ball(picture, centre, radius, colour)
        return (np.clip(picture, 0, 1) * 255).astype(np.uint8)


def make_scenes(duration: float, rng: Generator) -> list[Scene]:
    """Scenes of random length that fill a film of so many seconds."""
    scenes, start = [], 0.0
    while start < duration:
        scenes.append(_scene(start, rng))
        # cuts lie on frames
        start = round((start + rng.uniform(*SCENE_SECONDS)) * FPS) / FPS
    return scenes


def sound_track(duration: float, rng: Generator) -> NDArray[np.float64]:
    """Noise and chords whose loudness and side change slowly.

    Parameters
    ----------
    duration : float
        Seconds.
    rng : Generator

    Returns
    -------
    array, shape (n, 2)
        Sound pressure in -1 to 1 at SOUND_RATE.
    """
    n = round(duration * SOUND_RATE)
    seconds = np.arange(n) / SOUND_RATE
    noise = gaussian_filter1d(rng.standard_normal(n), 2.0)  # a waterfall rather than a hiss
    sound = 0.6 * noise / noise.std() + _chords(seconds, rng)
    # slow enough to pass the haemodynamic response, fast enough to pass a high-pass filter; a factor e in 1.1 sd
    loud = 0.06 * np.exp(0.9 * _slow_course(duration, 2.5, rng, seconds))
    side = 0.35 * np.tanh(_slow_course(duration, 6.0, rng, seconds))
    return np.clip(np.column_stack([sound * loud * (1 + side), sound * loud * (1 - side)]), -1, 1)


def _scene(start: float, rng: Generator) -> Scene:
    n_balls = int(rng.integers(2, 6))
    # speed differs between scenes by a factor e each standard deviation: this is what motion areas respond to
    speed = 22.0 * np.exp(0.9 * rng.standard_normal())
    angles = rng.uniform(0, 2 * np.pi, n_balls)
    velocities = speed * rng.uniform(0.5, 1.5, (n_balls, 1)) * np.column_stack([np.cos(angles), np.sin(angles)])
    return Scene(
        start=start,
        canvas=_background(rng),
        drift=float(rng.choice([-1, 1]) * 0.5 * speed),
        centres=rng.uniform(0, 1, (n_balls, 2)) * SIZE,
        velocities=velocities,
        radii=rng.uniform(6, 22, n_balls),
        colours=_colours(n_balls, rng, brightness=rng.uniform(0.6, 1.3)),
    )


def _background(rng: Generator) -> NDArray[np.float32]:
    """Sky and ground of two colours with clouds or stripes of random contrast."""
    height = SIZE[1]
    brightness, horizon = rng.uniform(0.25, 1.1), rng.uniform(0.3, 0.8)
    sky, ground = _colours(2, rng, brightness) * np.array([[1.0], [rng.uniform(0.4, 0.9)]])
    blend = 1 / (1 + np.exp((horizon - np.linspace(0, 1, height)) * rng.uniform(6, 30)))
    colours = sky + blend[:, None] * (ground - sky)
    texture = 0.7 * _clouds(rng) + 0.3 * _stripes(rng)
    contrast = rng.uniform(0.05, 0.45)
    return (colours[:, None, :] * (1 + contrast * texture[..., None])).astype(np.float32)


def _clouds(rng: Generator) -> NDArray[np.float64]:
    """Noise with amplitude 1/f^1.5, as in natural scenes; shape (height, width), periodic, unit variance."""
    width, height = SIZE
    fy, fx = np.fft.fftfreq(height)[:, None] * height, np.fft.rfftfreq(width) * width
    spectrum = rfft2(rng.standard_normal((height, width))) / np.maximum(np.hypot(fx, fy), 1.0) ** 1.5
    spectrum[0, 0] = 0
    clouds = irfft2(spectrum, s=(height, width))
    return np.asarray(clouds / clouds.std())


def _stripes(rng: Generator) -> NDArray[np.float64]:
    """A grating with whole cycles per width, so that it can slide; shape (height, width), unit variance."""
    width, height = SIZE
    y, x = np.mgrid[:height, :width]
    cycles, slant = rng.integers(2, 12), rng.uniform(-0.2, 0.2)
    return np.asarray(np.sqrt(2) * np.sin(2 * np.pi * cycles * x / width + slant * y + rng.uniform(0, 2 * np.pi)))


def _colours(n: int, rng: Generator, brightness: float) -> NDArray[np.float64]:
    """Random hues of medium saturation, shape (n, 3)."""
    phases = 2 * np.pi * (rng.uniform(0, 1, (n, 1)) + np.arange(3) / 3)
    return brightness * (1 + rng.uniform(0.1, 0.6) * np.cos(phases)) / 1.6


def _draw_ball(picture: NDArray[np.float32], centre: NDArray, radius: float, colour: NDArray) -> None:
    """Draw a shaded ball into a (height, width, 3) picture."""
    # only the square around the ball is touched: most of the time of a film goes here
    first = np.maximum(np.floor(centre - radius - 1).astype(int), 0)
    last = np.ceil(centre + radius + 2).astype(int)
    part = picture[first[1] : last[1], first[0] : last[0]]
    x = np.arange(first[0], first[0] + part.shape[1], dtype=np.float32) - np.float32(centre[0])
    y = np.arange(first[1], first[1] + part.shape[0], dtype=np.float32) - np.float32(centre[1])
    distance = np.sqrt(x**2 + y[:, None] ** 2) / np.float32(radius)
    # an edge one pixel soft, and shading towards the rim
    cover = np.clip((1 - distance) * np.float32(radius) + np.float32(0.5), 0, 1)[..., None]
    shade = np.clip(1.15 - 0.55 * distance**2, 0.3, 1.15)[..., None]
    part += cover * (shade * colour.astype(np.float32) - part)


def _slide(canvas: NDArray[np.float32], pixels: float) -> NDArray[np.float32]:
    """Canvas moved sideways by a fraction of pixels; what leaves at one edge enters at the other."""
    whole = int(np.floor(pixels))
    part = np.float32(pixels - whole)
    near = np.roll(canvas, -whole, axis=1)
    return near + part * (np.roll(near, -1, axis=1) - near)


def _bounce(position: NDArray[np.float64], limit: NDArray[np.float64]) -> NDArray[np.float64]:
    """Positions reflected at 0 and at the limit."""
    folded = np.mod(position, 2 * limit)
    return np.minimum(folded, 2 * limit - folded)


def _chords(seconds: NDArray[np.float64], rng: Generator) -> NDArray[np.float64]:
    """Three tones that change now and then, faded at the changes."""
    sound = np.zeros_like(seconds)
    start, end = 0.0, seconds[-1] if len(seconds) else 0.0
    while start < end:
        stop = start + rng.uniform(3, 9)
        part = slice(*np.searchsorted(seconds, [start, stop]))
        t = seconds[part]
        root = 110 * 2 ** (rng.integers(0, 24) / 12)
        ramp = np.clip(np.minimum(t - start, stop - t) / 0.05, 0, 1)
        sound[part] = ramp * sum(np.sin(2 * np.pi * root * ratio * t) for ratio in (1, 1.25, 1.5)) / 1.5
        start = stop
    return sound


def _slow_course(duration: float, smooth: float, rng: Generator, seconds: NDArray) -> NDArray[np.float64]:
    """Gaussian course of unit variance whose smoothness is given in seconds, at the given seconds."""
    coarse = np.arange(0, duration + 0.1, 0.1)
    course = gaussian_filter1d(rng.standard_normal(len(coarse)), smooth / 0.1, mode="wrap")
    return np.interp(seconds, coarse, (course - course.mean()) / course.std())
