import numpy as np
import pytest

from neurocca.errors import OutputError
from neurocca.io.movie import iter_frames, probe
from neurocca.io.movie_writing import write_movie
from neurocca.io.sound import read_audio
from tests.io.films import SIZE, number_of, numbered


def _shown(seconds):
    return numbered(round(seconds * 10))


def test_what_is_written_is_read(tmp_path):
    audio = np.random.default_rng(0).normal(0, 0.1, (16000, 2))
    path = write_movie(tmp_path / "film.mp4", _shown, 2, 10, SIZE, audio, 8000)
    info = probe(path)
    assert (info.duration, info.fps, info.size, info.has_audio) == (2.0, 10.0, SIZE, True)
    assert [number_of(frame) for frame in iter_frames(path, 10)] == list(range(20))
    assert read_audio(path, 8000).shape == (16000, 2)


@pytest.mark.parametrize("size", [(160, 96), (1280, 64), (64, 720)])
def test_colours_are_those_that_were_written(tmp_path, size):
    width, height = size
    patches = np.random.default_rng(1).integers(0, 256, (height // 32, width // 32, 3)).astype(np.uint8)
    picture = np.zeros((height, width, 3), np.uint8)
    picture[: height // 32 * 32] = patches.repeat(32, 0).repeat(32, 1)
    path = write_movie(tmp_path / "film.mp4", lambda _: picture, 1, 4, size)
    difference = next(iter_frames(path, 1))[: height // 32 * 32].astype(int) - picture[: height // 32 * 32]
    assert np.abs(difference.reshape(height // 32, 32, width // 32, 32, 3)[:, 8:24, :, 8:24].mean((1, 3))).max() < 3


def test_writing_is_byte_stable_and_leaves_nothing_else(tmp_path):
    audio = np.random.default_rng(0).normal(0, 0.1, (8000, 2))
    paths = [write_movie(tmp_path / name, _shown, 1, 10, SIZE, audio, 8000) for name in ("a.mp4", "b.mp4")]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]


def test_what_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"expected a name in \.mp4 and even numbers"):
        write_movie(tmp_path / "a.mkv", _shown, 1, 10, SIZE)
    with pytest.raises(ValueError, match="even numbers"):
        write_movie(tmp_path / "a.mp4", _shown, 1, 10, (31, 48))
    with pytest.raises(ValueError, match=r"frames have shape \(48, 128, 3\), expected \(32, 32, 3\)"):
        write_movie(tmp_path / "a.mp4", _shown, 1, 10, (32, 32))
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        write_movie(tmp_path / "file" / "a.mp4", _shown, 1, 10, SIZE)
