import numpy as np
import pytest

from neurocca.errors import NoInputError
from neurocca.io.movie import iter_frames, probe
from neurocca.io.sample_film import DURATION, SEGMENTS, cut_sample_film, fetch_sample_film


def test_the_film_is_what_its_description_says(real_film):
    info = probe(real_film)
    assert info.duration == pytest.approx(DURATION, abs=0.05)
    assert (info.fps, info.size, info.has_audio) == (24.0, (1280, 720), True)


def test_it_is_fetched_once(real_film):
    before = real_film.stat().st_mtime_ns
    assert fetch_sample_film(real_film.parent) == real_film
    assert real_film.stat().st_mtime_ns == before


@pytest.mark.parametrize("start", SEGMENTS)
def test_a_stretch_begins_at_its_frame_and_lasts_as_long_as_was_asked(real_film, tmp_path, start):
    target = tmp_path / "cut.mp4"
    cut_sample_film(real_film, start, 10.0, target)
    assert 9.99 < probe(target).duration < 10.2  # frames are stored in another order than they are shown in
    cut = next(iter_frames(target, 24, (160, 90)))
    whole = next(iter_frames(real_film, 24, (160, 90), start=round(start * 24)))
    np.testing.assert_array_equal(cut, whole)


def test_without_an_index_it_says_so_in_a_line(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    with pytest.raises(NoInputError, match=r"^Big Buck Bunny: pip cannot download moviepy==2\.2\.1: ERROR: .*$"):
        fetch_sample_film(tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
