import shutil
import subprocess

import imageio_ffmpeg
import numpy as np
import pytest

from neurocca.errors import DataError, NoInputError
from neurocca.io.movie import MovieInfo, film_features, iter_frames, n_samples, probe, read_audio, write_movie

BITS = 8
BLOCK = 16
SECONDS = 8.0


def _numbered(fps):
    """Frames that show their own number as a row of black and white blocks."""

    def frame(seconds):
        number = round(seconds * fps)
        bits = [number >> b & 1 for b in range(BITS)]
        row = np.repeat(np.array(bits, dtype=np.uint8) * 255, BLOCK)
        return np.broadcast_to(row[None, :, None], (48, len(row), 3)).copy()

    return frame


def _number(frame):
    blocks = frame.reshape(frame.shape[0], BITS, -1, 3).mean((0, 2, 3))
    return sum(int(level > 127) << b for b, level in enumerate(blocks))


def _ffmpeg(*arguments):
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *map(str, arguments)], check=True)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    seconds = np.arange(int(SECONDS * 44100)) / 44100
    # a loud tone on the right from second 2 to 4, silence elsewhere
    tone = np.where((seconds >= 2) & (seconds < 4), 0.5 * np.sin(2 * np.pi * 440 * seconds), 0)
    audio = np.column_stack([0.1 * tone, tone])
    return {
        fps: write_movie(folder / f"film{fps}.mp4", _numbered(fps), SECONDS, fps, (BITS * BLOCK, 48), audio)
        for fps in (24, 25)
    }


@pytest.fixture(scope="module")
def films_of_all_kinds(films, tmp_path_factory):
    """The same frames in other containers, with a late start, turned, and without sound."""
    folder = tmp_path_factory.mktemp("kinds")
    _ffmpeg("-i", films[25], "-c", "copy", folder / "film.mkv")
    _ffmpeg("-i", films[25], "-c", "copy", "-output_ts_offset", "0.5", folder / "late.mkv")
    _ffmpeg("-i", films[25], "-c", "copy", "-an", folder / "silent.mp4")
    _ffmpeg("-display_rotation", "90", "-i", films[25], "-c", "copy", folder / "turned.mp4")
    return folder


@pytest.mark.parametrize("fps", [24, 25])
@pytest.mark.parametrize("rate", [1, 2, 4, 5, 7])
def test_sample_k_is_the_frame_on_screen_at_k_over_rate(films, fps, rate):
    numbers = [_number(frame) for frame in iter_frames(films[fps], rate)]
    assert numbers == [k * fps // rate for k in range(int(SECONDS * rate))]


@pytest.mark.parametrize("fps", [24, 25])
def test_every_frame_comes_once_at_the_films_own_rate(films, fps):
    assert [_number(frame) for frame in iter_frames(films[fps], fps)] == list(range(int(SECONDS * fps)))


@pytest.mark.parametrize("name", ["film.mkv", "late.mkv", "silent.mp4"])
def test_other_containers_and_late_starts_give_the_same_frames(films_of_all_kinds, name):
    numbers = [_number(frame) for frame in iter_frames(films_of_all_kinds / name, 5)]
    assert numbers[:40] == [5 * k for k in range(40)]


def test_probe(films, films_of_all_kinds):
    assert probe(films[24]) == MovieInfo(films[24], SECONDS, 24.0, (BITS * BLOCK, 48), True)
    assert not probe(films_of_all_kinds / "silent.mp4").has_audio
    turned = probe(films_of_all_kinds / "turned.mp4")
    assert turned.size == (48, BITS * BLOCK)
    assert next(iter_frames(turned.path, 1)).shape == (BITS * BLOCK, 48, 3)


def test_frames_are_scaled_in_the_decoder(films):
    frames = list(iter_frames(films[25], 5, size=(BITS * 4, 10)))
    assert {frame.shape for frame in frames} == {(10, BITS * 4, 3)}
    assert [_number(frame) for frame in frames] == [5 * k for k in range(40)]


def test_an_abandoned_iterator_ends_its_child(films, monkeypatch):
    children = []
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: children.append(popen(*a, **k)) or children[-1])
    frames = iter_frames(films[25], 25)
    next(frames)
    running = [child for child in children if child.poll() is None]
    frames.close()
    assert all(child.poll() is not None for child in children)
    assert running, "the decoder should have been at work when it was abandoned"


@pytest.mark.parametrize("name", ["-i.mp4", "concat:a.mp4", "two words %03d.mp4"])
def test_names_are_neither_options_nor_protocols(films, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    shutil.copy(films[25], tmp_path / name)
    assert len(list(iter_frames(name, 2))) == 16


def test_sound_is_where_it_was(films):
    audio = read_audio(films[25], rate=16000)
    assert audio.dtype == np.float32
    assert audio.shape == (8 * 16000, 2)
    seconds = np.arange(len(audio)) / 16000
    tone = 0.5 * np.sin(2 * np.pi * 440 * seconds)
    inside = (seconds > 2.1) & (seconds < 3.9)
    np.testing.assert_allclose(audio[inside, 1], tone[inside], atol=0.02)
    np.testing.assert_allclose(audio[inside, 0], 0.1 * tone[inside], atol=0.02)
    assert np.abs(audio[(seconds < 1.9) | (seconds > 4.1)]).max() < 0.01


def test_a_track_that_starts_late_is_led_in_by_silence(films, films_of_all_kinds, tmp_path):
    film = tmp_path / "late_sound.mkv"
    _ffmpeg("-i", films[25], "-itsoffset", "1", "-i", films[25], "-map", "0:v", "-map", "1:a", "-c", "copy", film)
    loud = np.abs(read_audio(film)[:, 1]) > 0.1
    assert np.flatnonzero(loud)[0] / 16000 == pytest.approx(3.0, abs=0.02)


def test_no_sound(films_of_all_kinds):
    assert read_audio(films_of_all_kinds / "silent.mp4").shape == (0, 0)
    assert set(film_features(films_of_all_kinds / "silent.mp4", 2)) == {"lowlevel"}


def test_film_features_share_one_clock(films):
    calls = []
    series = film_features(films[24], 4, progress=calls.append)
    assert calls == [1] * 32
    assert set(series) == {"lowlevel", "audio"}
    for space in series.values():
        np.testing.assert_array_equal(space.times, np.arange(32) / 4)
    sound = series["audio"]
    assert sound.names == ("loudness", "loudness_left_right")
    loud = (sound.times >= 2) & (sound.times < 4)
    assert sound.data[loud, 0].min() > 10 * sound.data[~loud, 0].max()
    assert (sound.data[loud, 1] < 0).all()


def test_truncated_films_are_refused(films, films_of_all_kinds, tmp_path):
    for source in (films[25], films_of_all_kinds / "film.mkv"):
        content = source.read_bytes()
        broken = tmp_path / f"broken{source.suffix}"
        broken.write_bytes(content[: len(content) // 2])
        with pytest.raises(DataError, match=rf"film .*{broken.name}: .*") as caught:
            list(iter_frames(broken, 5))
        assert "\n" not in str(caught.value)


def test_what_is_no_film_is_refused(tmp_path):
    (tmp_path / "text.mp4").write_text("no film")
    with pytest.raises(DataError, match=r"text\.mp4: ffmpeg finds no readable pictures"):
        probe(tmp_path / "text.mp4")
    with pytest.raises(NoInputError, match=r"absent\.mp4: no such file"):
        next(iter_frames(tmp_path / "absent.mp4", 1))
    (tmp_path / "annexed.mp4").symlink_to(tmp_path / "nowhere")
    with pytest.raises(NoInputError, match="datalad get"):
        probe(tmp_path / "annexed.mp4")


def test_writing_is_byte_stable_and_leaves_nothing_else(tmp_path):
    audio = np.random.default_rng(0).normal(0, 0.1, (8000, 2))
    paths = []
    for name in ("a.mp4", "b.mp4"):
        paths.append(write_movie(tmp_path / name, _numbered(10), 1, 10, (BITS * BLOCK, 48), audio, 8000))
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]


def test_n_samples_counts_complete_intervals():
    assert [n_samples(10.0, 4), n_samples(10.24, 4), n_samples(10.25, 4)] == [40, 40, 41]
