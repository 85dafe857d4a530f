import subprocess
import tracemalloc

import numpy as np
import pytest

from neurocca.errors import DataError, NoInputError
from neurocca.io.movie import iter_frames, probe
from neurocca.io.movie_writing import write_movie
from neurocca.io.sound import iter_audio, read_audio
from tests.io.films import encode, ffmpeg

RATE = 16000
SECONDS = 8


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """A film with a loud tone on the right from second 2 to 4, a soft one on the left, and silence elsewhere."""
    seconds = np.arange(SECONDS * 44100) / 44100
    tone = np.where((seconds >= 2) & (seconds < 4), 0.5 * np.sin(2 * np.pi * 440 * seconds), 0)
    audio = np.column_stack([0.1 * tone, tone])
    path = tmp_path_factory.mktemp("sound") / "film.mp4"
    return write_movie(path, lambda _: np.zeros((32, 32, 3), np.uint8), SECONDS, 25, (32, 32), audio)


@pytest.fixture(scope="module")
def flash(tmp_path_factory):
    """Pictures that turn from black to white at second 2, and sound that begins at second 2."""
    folder = tmp_path_factory.mktemp("flash")
    frames = np.zeros((100, 32, 32, 3), np.uint8)
    frames[50:] = 255
    encode(folder / "pictures.mp4", frames, 25)
    ffmpeg("-f", "lavfi", "-i", "aevalsrc='0.5*gte(t,2)*sin(2*PI*1000*t)':s=48000:d=4", folder / "sound.wav")
    return folder


def onset(samples, rate):
    """Second at which the sound begins."""
    return np.flatnonzero(np.abs(samples).max(axis=1) > 0.1)[0] / rate


def test_sound_is_where_it_was(film):
    audio = read_audio(film, rate=RATE)
    assert audio.dtype == np.float32
    assert audio.shape == (SECONDS * RATE, 2)
    seconds = np.arange(len(audio)) / RATE
    tone = 0.5 * np.sin(2 * np.pi * 440 * seconds)
    inside = (seconds > 2.1) & (seconds < 3.9)
    np.testing.assert_allclose(audio[inside, 1], tone[inside], atol=0.02)
    np.testing.assert_allclose(audio[inside, 0], 0.1 * tone[inside], atol=0.02)
    assert np.abs(audio[(seconds < 1.9) | (seconds > 4.1)]).max() < 0.01


@pytest.mark.parametrize(
    ("container", "codec", "tolerance"),
    [("mkv", "pcm_s16le", 0.001), ("mp4", "aac", 0.025), ("mkv", "aac", 0.025), ("ts", "mp2", 0.025)],
)
@pytest.mark.parametrize("later", ["", "sound", "pictures"])
@pytest.mark.parametrize("start", [0.0, 0.7])
def test_sound_and_pictures_have_one_clock(flash, tmp_path, container, codec, tolerance, later, start):
    path = tmp_path / f"film.{container}"
    pictures, sound = ["-i", flash / "pictures.mp4"], ["-i", flash / "sound.wav"]
    if later == "pictures":
        pictures = ["-itsoffset", "0.56", *pictures]
    elif later:
        sound = ["-itsoffset", "0.56", *sound]
    ffmpeg(*pictures, *sound, "-c:v", "copy", "-c:a", codec, "-output_ts_offset", start, path)
    shift = {"": 0.0, "sound": 0.56, "pictures": -0.56}[later]
    white = [frame.mean() > 127 for frame in iter_frames(path, 25)]
    assert white.index(True) == 50
    assert len(white) == 100
    audio = read_audio(path, RATE)
    assert onset(audio, RATE) == pytest.approx(2 + shift, abs=tolerance)
    assert len(audio) == pytest.approx((4 + shift) * RATE, abs=0.05 * RATE)
    if container == "mkv":
        assert np.abs(audio[: int(max(shift, 0) * RATE)]).max(initial=0) == 0


def test_blocks_make_up_the_whole(film):
    blocks = list(iter_audio(film, RATE, 10_000))
    assert [len(block) for block in blocks] == [10_000] * 12 + [8_000]
    assert {block.dtype for block in blocks} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(np.concatenate(blocks), read_audio(film, RATE))


@pytest.mark.parametrize(("channels", "kept"), [(1, 1), (2, 2), (6, 2)])
def test_mono_stays_mono_and_all_else_is_mixed_to_stereo(flash, tmp_path, channels, kept):
    path = tmp_path / "film.mkv"
    mixed = ["-c:v", "copy", "-c:a", "pcm_s16le", "-ac", channels]
    ffmpeg("-i", flash / "pictures.mp4", "-i", flash / "sound.wav", *mixed, path)
    assert read_audio(path).shape == (4 * RATE, kept)


def test_memory_does_not_grow_with_the_sound(flash, tmp_path):
    path = tmp_path / "film.mkv"
    long = ["-f", "lavfi", "-i", "sine=duration=300:sample_rate=16000"]
    ffmpeg("-i", flash / "pictures.mp4", *long, "-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", "pcm_s16le", path)
    probe(path)
    tracemalloc.start()
    try:
        assert sum(len(block) for block in iter_audio(path, RATE, RATE)) == 300 * RATE
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_an_abandoned_track_ends_its_child(film, monkeypatch):
    children, popen = [], subprocess.Popen
    probe(film)
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: children.append(popen(*a, **k)) or children[-1])
    blocks = iter_audio(film, 192_000, 1000)
    next(blocks)
    running = [child for child in children if child.poll() is None]
    blocks.close()
    assert running
    assert all(child.poll() is not None for child in children)


def test_no_sound(flash, tmp_path):
    assert not probe(flash / "pictures.mp4").has_audio
    assert read_audio(flash / "pictures.mp4").shape == (0, 0)
    with pytest.raises(DataError, match=r"film .*pictures\.mp4: has no sound"):
        iter_audio(flash / "pictures.mp4", RATE, 100)
    with pytest.raises(NoInputError, match="no such file"):
        iter_audio(tmp_path / "absent.mp4", RATE, 100)
    with pytest.raises(DataError, match="only sound"):
        read_audio(flash / "sound.wav")
