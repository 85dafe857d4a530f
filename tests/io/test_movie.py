import logging
import math
import shutil
import subprocess
import time
import tracemalloc
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from neurocca.errors import DataError, NoInputError, UsageError
from neurocca.io.ffmpeg import Output
from neurocca.io.movie import iter_batches, iter_frames, n_samples, probe
from tests.io.films import (
    SIZE,
    bits_of,
    encode,
    ffmpeg,
    irregular_film,
    irregular_times,
    moving,
    number_of,
    numbered_film,
)

N = 192
RATES = {"24": Fraction(24), "25": Fraction(25), "30000/1001": Fraction(30000, 1001)}
MILLISECOND = Fraction(1, 1000)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Films of N numbered frames by frame rate and container."""
    folder = tmp_path_factory.mktemp("films")
    films = {}
    for fps in RATES:
        name = fps.replace("/", "-")
        films[fps, "mp4"] = numbered_film(folder / f"{name}.mp4", N, fps)
        films[fps, "mkv"] = folder / f"{name}.mkv"
        ffmpeg("-i", films[fps, "mp4"], "-c", "copy", films[fps, "mkv"])
    return films


@pytest.fixture(scope="module")
def irregular(tmp_path_factory):
    """Films of N numbered frames at a varying rate by container."""
    folder = tmp_path_factory.mktemp("irregular")
    return {kind: irregular_film(folder / f"film.{kind}", N) for kind in ("mp4", "mkv")}


@pytest.fixture(scope="module")
def kinds(films, tmp_path_factory):
    """The film of 25 frames per second in other containers, with late starts, turned, and with other pixels."""
    folder, source = tmp_path_factory.mktemp("kinds"), films["25", "mp4"]
    ffmpeg("-i", source, "-c", "copy", folder / "film.ts")
    ffmpeg("-i", source, "-c:v", "mpeg4", "-q:v", "2", folder / "film.avi")
    ffmpeg("-i", source, "-c", "copy", "-bsf:v", "h264_mp4toannexb", folder / "film.h264")
    ffmpeg("-i", source, "-c", "copy", "-output_ts_offset", "0.5", folder / "late.mkv")
    ffmpeg("-i", source, "-c", "copy", "-output_ts_offset", "0.52", folder / "late.mp4")
    sound = ["-f", "lavfi", "-i", "sine=duration=9"]
    # pictures come 0.6 s after the sound, and end before it does
    early = ["-itsoffset", "0.6", "-i", source, *sound, "-map", "0:v", "-map", "1:a", "-c:v", "copy"]
    ffmpeg(*early, "-c:a", "pcm_s16le", folder / "early_sound.mkv")
    ffmpeg(*early, "-c:a", "aac", folder / "early_sound.mp4")
    ffmpeg(*early, "-c:a", "mp2", folder / "early_sound.ts")
    ffmpeg("-display_rotation", "90", "-i", source, "-c", "copy", folder / "turned.mp4")
    ffmpeg("-i", source, "-c", "copy", "-bsf:v", "h264_metadata=sample_aspect_ratio=3/2", folder / "wide_pixels.mp4")
    Image.new("RGB", (64, 64), "red").save(folder / "cover.png")
    cover = ["-i", folder / "cover.png", "-i", source, "-map", "0", "-map", "1", "-c", "copy"]
    ffmpeg(*cover, "-disposition:v:0", "attached_pic", folder / "cover.mp4")
    return folder


def numbers(path, rate, **options):
    return [number_of(frame) for frame in iter_frames(path, rate, **options)]


def commands(monkeypatch):
    """Command lines of the decoders started from now on."""
    started, popen = [], subprocess.Popen

    def spy(command, *args, **kwargs):
        started.append(command)
        return popen(command, *args, **kwargs)

    monkeypatch.setattr(subprocess, "Popen", spy)
    return started


# which frame


@pytest.mark.parametrize("kind", ["mp4", "mkv"])
@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("rate", [1, 4, 7, 2.5, 50])
def test_sample_k_is_the_frame_on_screen_at_k_over_rate_to_a_millisecond(films, fps, kind, rate):
    got = numbers(films[fps, kind], rate)
    assert len(got) == n_samples(float(N / RATES[fps]), rate)
    for k, number in enumerate(got):
        time = Fraction(k) / Fraction(rate)
        assert number / RATES[fps] <= time + MILLISECOND
        assert (number + 1) / RATES[fps] > time - MILLISECOND


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("rate", [1, 4, 7, 2.5])
def test_where_the_container_is_exact_the_frame_is_too(films, fps, rate):
    expected = [math.floor(Fraction(k) / Fraction(rate) * RATES[fps]) for k in range(n_samples(N / RATES[fps], rate))]
    assert numbers(films[fps, "mp4"], rate) == expected


@pytest.mark.parametrize("kind", ["mp4", "mkv"])
@pytest.mark.parametrize("rate", [4, 7, 30])
def test_frames_of_a_varying_rate_come_at_their_times(irregular, kind, rate):
    path, times = irregular[kind], irregular_times(N)
    on_screen = [np.searchsorted(times, 1000 * k / rate, side="right") - 1 for k in range(int(N / 25 * rate))]
    nearly = [np.searchsorted(times, 1000 * k / rate + 0.5, side="right") - 1 for k in range(len(on_screen))]
    got = numbers(path, rate)
    assert all(a <= b <= c for a, b, c in zip(on_screen, got, nearly, strict=False))
    assert probe(path).duration == pytest.approx((times[-1] + 40) / 1000, abs=0.05)


@pytest.mark.parametrize(("seconds", "fps"), [("N/24+.005*sin(N)", 24), ("N*2+.3*sin(N)", 25)])
@pytest.mark.parametrize("kind", ["ts", "avi"])
def test_the_rate_of_a_clock_is_not_that_of_a_film(kind, seconds, fps, tmp_path):
    timed = ["-vf", f"settb=1/1000,setpts=round(1000*({seconds}))", "-fps_mode", "passthrough"]
    options = [*timed, "-enc_time_base", "filter", "-c:v", "mpeg4", "-q:v", "2"]
    path = numbered_film(tmp_path / f"film.{kind}", 60, 25, *options)
    assert probe(path).fps == pytest.approx(fps, rel=0.03)


@pytest.mark.parametrize("kind", ["mp4", "mkv"])
@pytest.mark.parametrize("fps", RATES)
def test_every_frame_comes_once_at_the_films_own_rate(films, fps, kind):
    info = probe(films[fps, kind])
    assert info.fps == pytest.approx(float(RATES[fps]), abs=1e-9)
    assert numbers(films[fps, kind], info.fps) == list(range(N))


@pytest.mark.parametrize(
    "name",
    [
        "film.ts",
        "film.avi",
        "film.h264",
        "late.mkv",
        "late.mp4",
        "early_sound.mkv",
        "early_sound.mp4",
        "early_sound.ts",
    ],
)
def test_time_0_is_the_first_picture_in_every_container(kinds, name):
    # raw H.264 has no times, and AVI no times of pictures that come out of order: ffmpeg guesses
    guessed = 0.1 if name.endswith((".h264", ".avi")) else 0.002
    assert probe(kinds / name).duration == pytest.approx(N / 25, abs=guessed)
    assert numbers(kinds / name, 5)[:38] == [5 * k for k in range(38)]
    bits = [bits_of(frame) for frame in iter_frames(kinds / name, 25, window="mean")]
    np.testing.assert_allclose(bits[:190], [[k >> b & 1 for b in range(8)] for k in range(190)], atol=0.06)


def test_what_an_edit_list_hides_is_not_shown(films, tmp_path):
    ffmpeg("-ss", 2, "-i", films["25", "mp4"], "-c", "copy", "-t", 4, tmp_path / "cut.mp4")
    # copying ends in the middle of a group of pictures
    assert probe(tmp_path / "cut.mp4").duration == pytest.approx(4, abs=0.25)
    assert numbers(tmp_path / "cut.mp4", 25)[:95] == list(range(50, 145))
    # a list that ends before the film does
    content = bytearray(films["25", "mp4"].read_bytes())
    entry = content.rindex(b"elst") + 12
    content[entry : entry + 4] = (5000).to_bytes(4, "big")
    (tmp_path / "short.mp4").write_bytes(content)
    assert probe(tmp_path / "short.mp4").duration == pytest.approx(5, abs=0.13), "B-frames that lead over the end"
    assert numbers(tmp_path / "short.mp4", 25)[:122] == list(range(122))


# means


@pytest.mark.parametrize("kind", ["mp4", "mkv", "irregular mp4", "irregular mkv"])
@pytest.mark.parametrize("rate", [4, 7, 40])
def test_means_weigh_frames_by_their_time_on_screen(films, irregular, kind, rate):
    if kind.startswith("irregular"):
        path, begins = irregular[kind.split()[1]], irregular_times(N) / 1000
    else:
        path, begins = films["30000/1001", kind], np.arange(N) * 1001 / 30000
    ends = np.append(begins[1:], np.inf)
    got = [bits_of(frame) for frame in iter_frames(path, rate, window="mean")]
    assert len(got) == n_samples(probe(path).duration, rate)
    shown = np.array([[k >> b & 1 for b in range(8)] for k in range(N)])
    for k, bits in enumerate(got):
        overlap = np.minimum(ends, (k + 1) / rate) - np.maximum(begins, k / rate)
        # half a level of rounding, two of coding, and a millisecond of the container
        np.testing.assert_allclose(bits, np.maximum(overlap, 0) * rate @ shown, atol=2.5 / 255 + 0.001 * rate)


def test_means_are_rounded(films):
    frames = np.array(list(iter_frames(films["25", "mp4"], 25, (60, 24)))[:190])
    means = frames.reshape(38, 5, 24, 60, 3).mean(axis=1)
    got = np.array(list(iter_frames(films["25", "mp4"], 5, (60, 24), window="mean")))
    assert np.abs(got[:38] - means).max() < 0.501


def test_the_mean_of_one_frame_is_that_frame(films):
    once = list(iter_frames(films["25", "mp4"], 25, (32, 24)))
    np.testing.assert_array_equal(once, list(iter_frames(films["25", "mp4"], 25, (32, 24), window="mean")))


# going on from the middle


@pytest.fixture(scope="module")
def long_films(tmp_path_factory):
    """Films of 32 s and more that are coded in ways in which one picture depends on others."""
    folder = tmp_path_factory.mktemp("long")
    frames, x264 = moving(800, (64, 48)), ["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p"]
    encode(folder / "open.mp4", frames, 25, *x264, "-x264-params", "open-gop=1:keyint=48:bframes=3:scenecut=0")
    ffmpeg("-i", folder / "open.mp4", "-c", "copy", folder / "open.mkv")
    ffmpeg("-i", folder / "open.mp4", "-c", "copy", folder / "open.ts")
    encode(folder / "stripes.mkv", frames, 25, *x264, "-x264-params", "intra-refresh=1:keyint=50")
    encode(folder / "one_key.mp4", frames, 25, *x264, "-x264-params", "keyint=infinite:scenecut=0")
    encode(folder / "vp9.webm", frames, 25, "-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", 8)
    encode(folder / "mpeg2.mkv", frames, 25, "-c:v", "mpeg2video", "-bf", 2, "-q:v", 4, "-pix_fmt", "yuv420p")
    # 3 s of motion, five stills of 12 s, and again: by the index, which has the times of decoding, some key frames come
    # long before they are shown
    times = "63*floor(N/80)+if(lt(mod(N\\,80)\\,75)\\,0.04*mod(N\\,80)\\,3+12*(mod(N\\,80)-75))"
    timed = [
        "-vf",
        f"settb=1/1000,setpts=round(1000*({times}))",
        "-fps_mode",
        "passthrough",
        "-enc_time_base",
        "filter",
    ]
    encode(folder / "stills.mp4", frames[:480], 25, *x264, *timed, "-bf", 3, "-g", 20)
    encode(folder / "mpeg4.avi", frames, 25, "-c:v", "mpeg4", "-bf", 2, "-q:v", 4)
    return folder


@pytest.mark.parametrize("window", ["frame", "mean"])
@pytest.mark.parametrize(
    "name",
    [
        "open.mp4",
        "open.mkv",
        "open.ts",
        "stripes.mkv",
        "one_key.mp4",
        "vp9.webm",
        "mpeg2.mkv",
        "stills.mp4",
        "mpeg4.avi",
    ],
)
def test_going_on_gives_the_same_arrays_as_from_the_beginning(long_films, name, window):
    rate = {"stills.mp4": 2, "mpeg4.avi": 25}.get(name, 7)
    whole = list(iter_frames(long_films / name, rate, (32, 24), window=window))
    n = {"stripes.mkv": 15, "stills.mp4": 30}.get(name, 5)
    for start in [1, *np.linspace(len(whole) / 4, len(whole) - 1, n).astype(int)]:
        frames = iter_frames(long_films / name, rate, (32, 24), window=window, start=start)
        rest = [frame for frame, _ in zip(frames, range(5), strict=False)]
        np.testing.assert_array_equal(rest, whole[start : start + 5])


@pytest.mark.parametrize("window", ["frame", "mean"])
def test_going_on_in_a_real_film(real_film, window):
    rate, start = 2, 2 * 13
    frames = iter_frames(real_film, rate, (64, 36), window=window)
    whole = [frame for frame, _ in zip(frames, range(start + 10), strict=False)]
    frames = iter_frames(real_film, rate, (64, 36), window=window, start=start)
    np.testing.assert_array_equal([frame for frame, _ in zip(frames, range(10), strict=False)], whole[start:])


def test_going_on_decodes_only_what_it_needs(long_films, monkeypatch):
    started = commands(monkeypatch)
    next(iter_frames(long_films / "open.mp4", 7, (32, 24), start=200))
    assert any(float(c[c.index("-ss") + 1]) > 18 for c in started if "-ss" in c and c[-1] == "pipe:1")


def test_going_on_at_or_beyond_the_end_gives_nothing(films):
    n = len(numbers(films["25", "mp4"], 4))
    assert [len(numbers(films["25", "mp4"], 4, start=n + k)) for k in (-1, 0, 5)] == [1, 0, 0]


# size and shape


def test_probe(films, kinds):
    info = probe(films["24", "mp4"])
    assert (info.duration, info.fps, info.size, info.has_audio) == (N / 24, 24.0, SIZE, False)
    info = probe(kinds / "early_sound.mp4")
    assert info.has_audio
    assert info.duration == pytest.approx(N / 25, abs=1e-3), "the sound's end is not the pictures'"


def test_films_are_seen_as_they_are_shown(kinds):
    turned = probe(kinds / "turned.mp4")
    assert turned.size == SIZE[::-1]
    assert next(iter_frames(turned.path, 1)).shape == (SIZE[0], SIZE[1], 3)
    wide = probe(kinds / "wide_pixels.mp4")
    assert wide.size == (SIZE[0] * 3 // 2, SIZE[1])
    assert numbers(wide.path, 5)[:30] == [5 * k for k in range(30)]
    # the right half of what is shown, which has other pixels than what is stored
    half = next(iter_frames(wide.path, 1, crop=(96, 48, 96, 0), start=3))
    np.testing.assert_allclose(half.reshape(48, 4, 24, 3).mean((0, 2, 3)) > 127, [75 >> b & 1 for b in range(4, 8)])


def test_a_cover_picture_is_not_the_film(kinds):
    assert probe(kinds / "cover.mp4").size == SIZE
    assert numbers(kinds / "cover.mp4", 5)[:38] == [5 * k for k in range(38)]


def test_frames_are_scaled_in_the_decoder(films):
    frames = list(iter_frames(films["25", "mp4"], 5, size=(40, 11)))
    assert {frame.shape for frame in frames} == {(11, 40, 3)}
    assert [number_of(frame) for frame in frames] == [5 * k for k in range(len(frames))]


@pytest.fixture(scope="module")
def photograph(tmp_path_factory):
    """A photograph, 640 x 426 pixels, as a film of one second."""
    frame = load_sample_image("china.jpg")[:426]
    return encode(tmp_path_factory.mktemp("photograph") / "film.mp4", [frame] * 8, 8), frame


@pytest.mark.parametrize("crop", [(300, 200, 40, 30), (301, 199, 41, 33), (1, 1, 639, 425), (640, 426, 0, 0)])
def test_a_crop_is_that_part_of_the_frame(photograph, crop):
    width, height, x, y = crop
    whole = next(iter_frames(photograph[0], 1))
    np.testing.assert_array_equal(next(iter_frames(photograph[0], 1, crop=crop)), whole[y : y + height, x : x + width])


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("crop", [None, (500, 351, 41, 33)])
def test_cover_does_what_networks_own_preprocessing_does(photograph, crop, interpolation):
    options = {"crop": crop, "fit": "cover", "resize": 256, "interpolation": interpolation}
    got = next(iter_frames(photograph[0], 1, (224, 224), **options))
    picture = Image.fromarray(next(iter_frames(photograph[0], 1, crop=crop)))
    width = 256 * picture.width // picture.height
    scaled = np.asarray(picture.resize((width, 256), getattr(Image, interpolation.upper())))
    x, y = round((width - 224) / 2), 16
    difference = np.abs(got.astype(int) - scaled[y : y + 224, x : x + 224])
    assert difference.mean() < 0.6
    assert np.quantile(difference, 0.999) <= 8


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size", [(150, 90), (320, 213), (900, 600)])
def test_light_is_scaled_as_pillow_scales_it(tmp_path, interpolation, size):
    light = load_sample_image("china.jpg")[:426].mean(axis=2).astype(np.uint8)
    frame = np.repeat(light[..., None], 3, axis=2)
    path = encode(tmp_path / "film.mp4", [frame] * 4, 4, "-c:v", "libx264rgb", "-qp", 0)
    expected = np.asarray(Image.fromarray(light).resize(size, getattr(Image, interpolation.upper())))[..., None]
    got = next(iter_frames(path, 1, size, interpolation=interpolation)).astype(int)
    difference = np.abs(got - expected)
    assert difference.mean() < 0.2  # with ffmpeg's own bicubic kernel 0.3 and more
    assert np.quantile(difference, 0.999) <= 4


def test_cover_agrees_with_pillow_on_a_real_film(real_film):
    pairs = zip(
        iter_frames(real_film, 0.5, (224, 224), fit="cover", resize=256, start=8),
        iter_frames(real_film, 0.5, start=8),
        strict=True,
    )
    for _, (got, frame) in zip(range(3), pairs, strict=False):
        scaled = np.asarray(Image.fromarray(frame).resize((455, 256), Image.Resampling.BICUBIC))[16:240, 116:340]
        difference = np.abs(got.astype(int) - scaled)
        assert difference.mean() < 0.4
        assert np.quantile(difference, 0.999) <= 3


# colours


def _coded(rgb, matrix, full, bits):
    """Planes of a picture in Y'CbCr by the definitions of ITU-R BT.601, 709 and 2020."""
    red, blue = {"smpte170m": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020nc": (0.2627, 0.0593)}[matrix]
    r, g, b = np.moveaxis(rgb / 255, -1, 0)
    y = red * r + (1 - red - blue) * g + blue * b
    colours = np.stack([(b - y) / (2 - 2 * blue), (r - y) / (2 - 2 * red)])
    colours = colours.reshape(2, len(y) // 2, 2, -1, 2).mean((2, 4))
    unit, top = 2 ** (bits - 8), 2**bits - 1
    y, colours = (y * top, colours * top) if full else (unit * (16 + 219 * y), unit * 224 * colours)
    planes = [y, *(np.clip(c + 128 * unit, 0, top) for c in colours)]
    return b"".join(np.rint(plane).astype("<u2" if bits > 8 else np.uint8).tobytes() for plane in planes)


@pytest.mark.parametrize(
    ("matrix", "tagged", "full", "bits", "size"),
    [
        ("smpte170m", True, False, 8, (192, 96)),
        ("smpte170m", True, True, 8, (192, 96)),
        ("bt709", True, False, 8, (192, 96)),
        ("bt709", True, True, 10, (192, 96)),
        ("bt2020nc", True, False, 10, (192, 96)),
        ("smpte170m", False, False, 8, (192, 96)),
        ("bt709", False, False, 8, (1280, 96)),
        ("bt709", False, False, 8, (96, 720)),
    ],
)
@pytest.mark.parametrize("cropped", [False, True])
def test_colours_come_out_as_they_were_put_in(tmp_path, matrix, tagged, full, bits, size, cropped):
    width, height = size
    patches = np.random.default_rng(3).integers(0, 256, (height // 16, width // 16, 3))
    rgb = patches.repeat(16, 0).repeat(16, 1)
    coded = np.frombuffer(_coded(rgb, matrix, full, bits), dtype=np.uint8)
    pixels = "yuv420p10le" if bits > 8 else "yuv420p"
    tags = (
        f"colorspace={matrix if tagged else 'unknown'}:range={('full' if full else 'limited') if tagged else 'unknown'}"
    )
    lossless = ["-vf", f"setparams={tags}", "-c:v", "libx264", "-qp", 0]
    path = encode(tmp_path / "film.mkv", [coded] * 4, 4, *lossless, pixels=pixels, size=size)
    frame = next(iter_frames(path, 1, crop=(width, height, 0, 0) if cropped else None)).astype(int)
    difference = np.abs(frame - rgb).reshape(height // 16, 16, width // 16, 16, 3)
    # beside the edges of a patch its colour is mixed with the neighbour's, as colours have half the resolution
    assert difference[:, 4:12, :, 4:12].max() <= 2


# batches


@pytest.mark.parametrize("window", ["frame", "mean"])
def test_batches_are_the_frames(films, window):
    path = films["25", "mp4"]
    frames = list(iter_frames(path, 5, (32, 24), window=window, start=3))
    batches = list(iter_batches(path, 5, 8, (32, 24), window=window, start=3))
    assert [len(batch) for batch in batches] == [8, 8, 8, 8, 3]
    np.testing.assert_array_equal(np.concatenate(batches), frames)
    assert not any(np.shares_memory(a, b) for a, b in pairwise(batches))


def test_decoding_on_one_thread_changes_nothing(films, monkeypatch):
    path = films["25", "mp4"]
    started = commands(monkeypatch)
    np.testing.assert_array_equal(list(iter_frames(path, 5, threads=1)), list(iter_frames(path, 5)))
    decoders = [c for c in started if "rawvideo" in c]
    assert [c.index("-threads") < c.index("-i") if "-threads" in c else None for c in decoders] == [True, None]


def test_at_most_two_batches_are_decoded_ahead(films, monkeypatch):
    filled, fill = [], Output.fill
    monkeypatch.setattr(Output, "fill", lambda self, picture: filled.append(1) or fill(self, picture))
    batches = iter_batches(films["25", "mp4"], 25, 4)
    next(batches)
    time.sleep(0.5)
    assert 4 <= len(filled) <= 12
    batches.close()


@pytest.mark.parametrize("window", ["frame", "mean"])
def test_memory_does_not_grow_with_the_film(films, window):
    path = films["25", "mp4"]
    size = (320, 240)
    probe(path)
    tracemalloc.start()
    try:
        assert sum(len(batch) for batch in iter_batches(path, 25, 4, size, window=window)) == N
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # three batches (two ahead), one being filled, and what the means take
    assert peak < 28 * size[0] * size[1] * 3


@pytest.mark.parametrize("batched", [False, True])
def test_an_abandoned_iterator_ends_its_child(films, monkeypatch, batched):
    children, popen = [], subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: children.append(popen(*a, **k)) or children[-1])
    path = films["25", "mp4"]
    frames = iter_batches(path, 25, 4, (640, 480)) if batched else iter_frames(path, 25, (640, 480))
    next(frames)
    running = [child for child in children if child.poll() is None]
    frames.close()
    assert all(child.poll() is not None for child in children)
    assert running, "the decoder should have been at work when it was abandoned"


# bad input


@pytest.mark.parametrize("name", ["-i.mp4", "concat:a.mp4", "two words %03d.mp4"])
def test_names_are_neither_options_nor_protocols(films, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    shutil.copy(films["25", "mp4"], tmp_path / name)
    assert len(list(iter_frames(name, 2))) == 15


@pytest.mark.parametrize("kind", ["mp4", "mkv", "fast.mp4"])
def test_truncated_films_are_refused_at_once(films, tmp_path, kind):
    whole = tmp_path / f"whole.{kind}"
    ffmpeg("-i", films["25", "mp4"], "-c", "copy", *(["-movflags", "faststart"] if "fast" in kind else []), whole)
    broken = tmp_path / f"broken.{kind}"
    broken.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(DataError, match=rf"film .*{broken.name}: .*(no readable pictures|is it truncated)") as caught:
        probe(broken)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("sound", [[], ["-f", "lavfi", "-i", "sine=300:duration=4", "-c:a", "pcm_s16le"]])
def test_truncated_avi_files_are_told_by_their_header(tmp_path, sound):
    film = encode(tmp_path / "film.avi", moving(100), 25, *sound, "-c:v", "mpeg4", "-q:v", "2")
    assert probe(film).duration == pytest.approx(4, abs=1e-3)
    whole = film.read_bytes()
    (tmp_path / "broken.avi").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"broken\.avi: ends after 2\.\d s of 4\.0 s; is it truncated\?"):
        probe(tmp_path / "broken.avi")
    # as a recorder leaves it that lost its power: its header does not say how many frames there are
    length = whole.index(b"strh") + 40
    assert int.from_bytes(whole[length : length + 4], "little") == 100
    (tmp_path / "unfinished.avi").write_bytes((whole[:length] + bytes(4) + whole[length + 4 :])[: len(whole) // 2])
    assert 1.5 < probe(tmp_path / "unfinished.avi").duration < 2.5


def test_subtitles_that_outlast_the_film_are_no_sign_of_truncation(films, tmp_path):
    (tmp_path / "words.srt").write_text("1\n00:00:01,000 --> 00:00:30,000\nThe end.\n")
    ffmpeg("-i", films["25", "mp4"], "-i", tmp_path / "words.srt", "-c", "copy", "-c:s", "srt", tmp_path / "film.mkv")
    assert probe(tmp_path / "film.mkv").duration == pytest.approx(N / 25, abs=1e-3)


def test_films_joined_without_one_clock_are_refused(kinds, tmp_path):
    (tmp_path / "joined.ts").write_bytes(2 * (kinds / "film.ts").read_bytes())
    with pytest.raises(DataError, match=r"joined\.ts: 15\.\d s of pictures lie within 7\.\d s; are files joined"):
        probe(tmp_path / "joined.ts")


def test_what_is_no_film_is_refused(tmp_path):
    (tmp_path / "text.mp4").write_text("no film")
    with pytest.raises(DataError, match=r"text\.mp4: ffmpeg finds no readable pictures in it\.$"):
        probe(tmp_path / "text.mp4")
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(DataError, match=r"empty\.mp4: is an empty file"):
        probe(tmp_path / "empty.mp4")
    ffmpeg("-f", "lavfi", "-i", "sine=duration=1", tmp_path / "sound.m4a")
    with pytest.raises(DataError, match=r"no readable pictures in it, only sound"):
        iter_frames(tmp_path / "sound.m4a", 1)
    with pytest.raises(NoInputError, match=r"absent\.mp4: no such file"):
        iter_frames(tmp_path / "absent.mp4", 1)
    with pytest.raises(NoInputError, match="is a folder"):
        probe(tmp_path)
    (tmp_path / "annexed.mp4").symlink_to(tmp_path / "nowhere")
    with pytest.raises(NoInputError, match="datalad get"):
        probe(tmp_path / "annexed.mp4")


def test_a_film_without_one_whole_interval_is_refused(photograph, tmp_path):
    with pytest.raises(DataError, match=r"lasts 1 s, less than one sample at 0\.5 per second"):
        iter_frames(photograph[0], 0.5)
    Image.fromarray(photograph[1]).save(tmp_path / "photograph.png")
    with pytest.raises(DataError, match="less than one sample"):
        iter_frames(tmp_path / "photograph.png", 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 0}, "rate=0 must be a positive"),
        ({"rate": math.nan}, "rate=nan must be a positive"),
        ({"size": (0, 4)}, "at least one pixel"),
        ({"start": -1}, "start=-1 must not be negative"),
        ({"window": "median"}, "'frame' or 'mean'"),
        ({"interpolation": "nearest"}, "none of bicubic, bilinear"),
        ({"crop": (128, 48, 1, 0)}, r"crop 128:48:1:0 .* outside the picture of 128x48 pixels"),
        ({"crop": (0, 48, 0, 0)}, "reaches outside"),
        ({"fit": "cover"}, "'cover' needs a resize"),
        ({"resize": 32}, "'stretch' takes none"),
        ({"fit": "cover", "resize": 32, "size": (32, 33)}, "does not fit into the 85x32 pixels"),
    ],
)
def test_what_cannot_be_used_is_refused_before_decoding(films, options, message):
    with pytest.raises(UsageError, match=message):
        iter_frames(films["25", "mp4"], **{"rate": 4, **options})
    with pytest.raises(UsageError, match=message):
        iter_batches(films["25", "mp4"], batch_size=4, **{"rate": 4, **options})
    with pytest.raises(UsageError, match="batch_size=0"):
        iter_batches(films["25", "mp4"], 4, 0)


@pytest.mark.parametrize("name", ["open.mp4", "open.mkv"])
def test_damage_in_the_middle_neither_shifts_times_nor_goes_unnoticed(long_films, tmp_path, caplog, name):
    content = bytearray((long_films / name).read_bytes())
    third = len(content) // 3
    content[third : third + 400] = bytes(400)
    (tmp_path / name).write_bytes(content)
    whole = np.array(list(iter_frames(long_films / name, 5, (32, 24)))).astype(int)
    with caplog.at_level(logging.WARNING):
        damaged = np.array(list(iter_frames(tmp_path / name, 5, (32, 24)))).astype(int)
    assert damaged.shape == whole.shape
    same = np.abs(damaged - whole).max((1, 2, 3)) == 0
    assert not same.all()
    assert same[:40].all()
    assert same[-80:].all()
    assert "damaged? ffmpeg says" in caplog.text


@pytest.mark.parametrize("window", ["frame", "mean"])
def test_a_film_that_cannot_be_decoded_to_its_end_is_refused(long_films, tmp_path, window):
    content = bytearray((long_films / "one_key.mp4").read_bytes())
    index = content.rindex(b"moov")  # the index comes last, and is left as it is
    content[len(content) // 2 : index - 4] = bytes(index - 4 - len(content) // 2)
    (tmp_path / "film.mp4").write_bytes(content)
    with pytest.raises(DataError, match=r"film\.mp4: (ffmpeg cannot decode it|cannot be decoded beyond)") as caught:
        list(iter_frames(tmp_path / "film.mp4", 5, (32, 24), window=window))
    assert "\n" not in str(caught.value)


def test_n_samples_counts_complete_intervals():
    assert [n_samples(10.0, 4), n_samples(10.24, 4), n_samples(10.25, 4)] == [40, 40, 41]
    assert [n_samples(10.0, 240), n_samples(10.0, 1000)] == [2400, 10000]
    assert [n_samples(9.996, 4), n_samples(9.994, 4)] == [40, 39]
