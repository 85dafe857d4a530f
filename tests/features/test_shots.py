from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from neurocca.errors import DataError
from neurocca.features.shots import ShotCuts, shot_features

SIZE = (128, 72)
PHOTOS = ("astronaut", "chelsea", "coffee", "rocket")


@pytest.fixture(scope="module")
def photos():
    """Four colour photographs of 256 x 144 pixels: as large as two frames each way."""
    from skimage import data

    return [np.asarray(Image.fromarray(getattr(data, name)()[..., :3]).resize((256, 144))) for name in PHOTOS]


def _found(frames, frame_rate=24, sizes=None):
    """Frames at which cuts are found."""
    shots, start, cuts = ShotCuts(frame_rate), 0, []
    for size in sizes or [len(frames)]:
        cuts.append(shots.update(frames[start : start + size]))
        start += size
    cuts.append(shots.finish())
    return np.rint(np.concatenate(cuts) * frame_rate).astype(int).tolist()


def _pan(photo, n, step=1):
    """Frames of a camera that moves to the right by so many pixels per frame, back and forth."""
    offsets = np.abs((np.arange(n) * step + 128) % 256 - 128)
    return np.stack([photo[30 : 30 + SIZE[1], x : x + SIZE[0]] for x in offsets])


def _film(photos, lengths):
    return np.concatenate([_pan(photos[k % len(photos)], n) for k, n in enumerate(lengths)])


@pytest.mark.parametrize("lengths", [[30, 20, 40, 25, 30], [5, 6, 5, 7, 5, 5]])
def test_cuts_are_found_at_their_very_frames(photos, lengths):
    assert _found(_film(photos, lengths)) == np.cumsum(lengths)[:-1].tolist()


def test_cuts_are_given_in_seconds_as_soon_as_four_more_frames_have_come(photos):
    frames = _film(photos, [20, 20])
    shots = ShotCuts(25)
    assert shots.update(frames[:24]).tolist() == []
    assert shots.update(frames[24:25]).tolist() == [20 / 25]
    assert shots.finish().tolist() == []
    shots = ShotCuts(25)
    shots.update(frames[:21])
    assert shots.finish().tolist() == [20 / 25]


@pytest.mark.parametrize("step", [4, 10, 16])
def test_fast_pans_are_no_cuts(photos, step):
    for photo in photos:
        assert _found(_pan(photo, 60, step)) == []


@pytest.mark.parametrize("length", [1, 2, 3])
@pytest.mark.parametrize("kind", ["white", "black", "bright", "other"])
def test_flashes_are_no_cuts(photos, length, kind):
    frames = _pan(photos[0], 40)
    flash = frames[20 : 20 + length]
    frames[20 : 20 + length] = {
        "white": np.full_like(flash, 255),
        "black": np.zeros_like(flash),
        "bright": np.minimum(flash.astype(int) * 3 + 40, 255).astype(np.uint8),
        "other": _pan(photos[1], length),
    }[kind]
    assert _found(frames) == []


def test_a_flash_that_dies_down_is_no_cut(photos):
    frames = _pan(photos[0], 40)
    white = np.array([1, 0.8, 0.5])[:, None, None, None]
    frames[20:23] = (frames[20:23] * (1 - white) + 255 * white).astype(np.uint8)
    assert _found(frames) == []


def test_a_camera_that_jerks_once_is_no_cut(photos):
    for photo in photos:
        still, moved = photo[30:102, :128], photo[36:108, 16:144]
        assert _found(np.stack([still] * 20 + [moved] * 20)) == []


def test_what_jumps_within_the_picture_is_no_cut():
    y, x = np.mgrid[:72, :128]
    discs = [np.where((x - centre) ** 2 + (y - 36) ** 2 < 30**2, 220, 60).astype(np.uint8) for centre in (32, 96)]
    frames = np.repeat(np.stack([discs[0]] * 20 + [discs[1]] * 20)[..., None], 3, axis=3)
    assert _found(frames) == []


def test_another_grain_and_light_on_an_empty_picture_is_no_cut():
    grain = np.random.default_rng(1).integers(0, 4, (2, 72, 128, 3), dtype=np.uint8)
    grain += np.array([28, 32], dtype=np.uint8)[:, None, None, None]  # colours on either side of the histogram's border
    assert _found(grain.repeat(20, axis=0)) == []


@pytest.mark.parametrize("gain", [0.4, 0.7, 1.6])
def test_light_that_goes_on_or_off_is_no_cut(photos, gain):
    frames = _pan(photos[1], 40)
    frames[20:] = np.clip(frames[20:] * gain, 0, 255).astype(np.uint8)
    assert _found(frames) == []


def test_noise_neither_makes_nor_hides_cuts(photos):
    rng = np.random.default_rng(0)
    frames = _film(photos, [30, 30, 30])
    noisy = np.clip(frames + rng.normal(0, 25, frames.shape), 0, 255).astype(np.uint8)
    assert _found(noisy) == [30, 60]
    assert _found(rng.integers(0, 256, (60, 72, 128, 3), dtype=np.uint8)) == []


def test_slow_fades_and_dissolves_are_not_found(photos):
    first, second = _pan(photos[0], 48).astype(float), _pan(photos[2], 48)
    weight = np.linspace(0, 1, 48)[:, None, None, None]
    assert _found((first * (1 - weight) + second * weight).astype(np.uint8)) == []
    faded = (second * weight).astype(np.uint8)
    assert _found(np.concatenate([np.zeros_like(faded), faded])) == []


def test_a_cut_from_black_and_one_between_flat_colours():
    colours = ((0, 0, 0), (200, 30, 30), (20, 20, 150))
    black, red, blue = (np.full((20, 72, 128, 3), colour, dtype=np.uint8) for colour in colours)
    title = red.copy()
    title[:, 30:40, 30:90] = 255
    assert _found(np.concatenate([black, title])) == [20]
    # flat colours have no structure: this is taken for a change of light
    assert _found(np.concatenate([red, blue])) == []


def test_shots_of_fewer_than_five_frames_are_none_of_their_own(photos):
    assert len(_found(_film(photos, [20, 3, 20]))) == 1
    assert _found(_film(photos, [20, 5, 20])) == [20, 25]


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, 30), max_size=8))
def test_blocks_find_what_the_whole_does(photos, sizes):
    frames = _film(photos, [20, 15, 9, 30])
    rest = len(frames) - min(sum(sizes), len(frames))
    assert _found(frames, sizes=[*sizes, rest]) == [20, 35, 44]


@pytest.mark.parametrize("cut", [0, 1, 19, 22, 25])
def test_goes_on_from_a_state(photos, cut):
    frames = _film(photos, [20, 15, 9])
    first, second = ShotCuts(24), ShotCuts(24)
    found = [first.update(frames[:cut])]
    second.update(frames[::-1])
    second.restore(first.state())
    found += [second.update(frames[cut:]), second.finish()]
    np.testing.assert_allclose(np.concatenate(found) * 24, [20, 35])


@pytest.mark.parametrize("size", [(160, 96), (131, 77), (32, 18), (320, 240)])
def test_any_size_will_do(photos, size):
    frames = _film(photos, [20, 20, 20])
    resized = np.stack([np.asarray(Image.fromarray(frame).resize(size)) for frame in frames])
    assert _found(resized) == [20, 40]


def test_refuses_what_is_no_frame():
    shots = ShotCuts(24)
    with pytest.raises(DataError, match="31 x 18 pixels are too small to find cuts in: at least 32 x 18 are needed"):
        shots.update(np.zeros((1, 18, 31, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match=r"frames are float64 of shape \(1, 72, 128, 3\)"):
        shots.update(np.zeros((1, 72, 128, 3)))
    assert shots.finish().tolist() == []


@pytest.mark.parametrize("seed", [0, 1])
def test_precision_and_recall_on_an_encoded_film(seed, tmp_path):
    from neurocca.demo.film import FPS, SIZE, Film
    from neurocca.io.movie import iter_frames
    from neurocca.io.movie_writing import write_movie

    seconds = 90
    film = Film(seconds, np.random.default_rng(seed))
    path = write_movie(tmp_path / "film.mp4", film.frame, seconds, FPS, SIZE)
    found = _found(np.stack(list(iter_frames(path, FPS, (128, 72)))), FPS)
    cuts = [round(scene.start * FPS) for scene in film.scenes[1:]]
    hits = len(set(found) & set(cuts))
    assert len(cuts) > 8
    assert hits / len(found) >= 0.95
    assert hits / len(cuts) >= 0.95


@pytest.mark.slow
def test_cuts_of_a_real_film(real_film):
    """The first 150 s of *Big Buck Bunny*, seen shot by shot: 23 cuts, a fade at the beginning and one dissolve."""
    from neurocca.io.movie import iter_frames

    frames = np.stack(list(islice(iter_frames(real_film, 24, (128, 72)), 3600)))
    assert _found(frames) == [
        *(285, 378, 553, 1145, 1346, 1456, 1531, 1666, 1711, 1763, 1813, 1919),
        *(2154, 2194, 2394, 2494, 2704, 2831, 2901, 2963, 3045, 3513, 3578),
    ]


def test_regressors_worked_out_by_hand():
    series = shot_features([0.5, 2.0], rate=1, n_samples=4)
    assert series.names == ("cut", "since_cut", "shot_length")
    np.testing.assert_allclose(series.times, [0, 1, 2, 3])
    np.testing.assert_array_equal(series.data[:, 0], [1, 0, 1, 0])
    # half a second of 0 to 0.5 and half of 0 to 0.5; 0.5 to 1.5; …
    np.testing.assert_allclose(np.expm1(series.data[:, 1]), [0.25, 1.0, 0.5, 1.5])
    np.testing.assert_allclose(np.expm1(series.data[:, 2]), [(0.5 + 1.5) / 2, 1.5, 2, 2])


@given(st.lists(st.floats(0.01, 29.9), max_size=8, unique=True), st.sampled_from([0.5, 1.0, 4.0]))
def test_regressors_are_means_of_what_is_fine(cuts, rate):
    """Averages over intervals agree with sums over a grid of a thousandth of a second."""
    cuts, n = np.sort(np.round(cuts, 3)), int(30 * rate)
    middles = (np.arange(30_000) + 0.5) / 1000
    starts = np.r_[0, cuts]
    shot = np.searchsorted(starts, middles) - 1
    since = (middles - starts[shot]).reshape(n, -1).mean(axis=1)
    length = np.diff(np.r_[starts, 30])[shot].reshape(n, -1).mean(axis=1)
    data = shot_features(cuts, rate, n).data
    assert data[:, 0].sum() == len(cuts)
    np.testing.assert_allclose(np.expm1(data[:, 1:]), np.column_stack([since, length]), atol=1e-6)


def test_no_cuts_and_cuts_outside_of_the_film():
    none = shot_features([], 2, 6).data
    assert none[:, 0].tolist() == [0] * 6
    np.testing.assert_array_equal(shot_features([3.0, 9.0], 2, 6).data, none)
