from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurocca.errors import DataError, UsageError
from neurocca.features.motion import ORIENTATIONS, TEMPORAL_FREQUENCIES, MotionMeasures, SpatialFilters

SIZE = (64, 36)
NAMES = MotionMeasures.names
MOVING = [k for k, name in enumerate(NAMES) if not name.startswith("tf0") and name != "total"]
DIRECTED = [k for k in MOVING if "dir" in NAMES[k]]


def _measure(frames, *, frame_rate=24, rate=24, sizes=None):
    """Energies of the intervals (not compressed); frames given whole or in blocks of these sizes."""
    measures = MotionMeasures(frame_rate, rate, frames.shape[2:0:-1])
    borders = np.cumsum([0, *sizes]) if sizes else (0, len(frames))
    rows = [measures.update(frames[a:b]) for a, b in pairwise(borders)]
    return np.expm1(np.concatenate([*rows, measures.finish()]))


def _grating(direction, sf, tf, *, amplitude=20.0, n=48, size=SIZE, phase=0.3):
    """Frames of a grating that drifts towards a direction in degrees, 0 right and 90 up."""
    width, height = size
    x, y = np.linspace(0, width / height, width), np.linspace(0, 1, height)[:, None]
    angle, seconds = np.radians(direction), np.arange(n)[:, None, None] / 24
    cycles = sf * (x * np.cos(angle) - y * np.sin(angle)) - tf * seconds
    levels = 128 + amplitude * np.cos(2 * np.pi * cycles + phase)
    return np.repeat(np.rint(levels)[..., None], 3, axis=3).astype(np.uint8)


def _clip(seed=0, n=30, size=SIZE):
    """Noise that is smooth in space and time."""
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(np.random.default_rng(seed).standard_normal((n, *size[::-1])), (2, 2, 2))
    levels = 128 + 40 * noise / noise.std()
    return np.repeat(np.clip(np.rint(levels), 0, 255)[..., None], 3, axis=3).astype(np.uint8)


@pytest.mark.parametrize("direction", range(0, 360, 45))
@pytest.mark.parametrize(("sf", "tf"), [(2, 2), (4, 4), (8, 2), (16, 4)])
def test_a_drifting_grating_has_its_squared_amplitude_in_its_channel(direction, sf, tf):
    size = (128, 72) if sf == 16 else SIZE
    energies = _measure(_grating(direction, sf, tf, size=size, n=24))[12]
    channel = NAMES.index(f"tf{tf}_sf{sf}_dir{direction}")
    assert energies[channel] == pytest.approx(20**2, rel=0.04)
    # neighbouring frequencies and directions hear little of it
    assert np.delete(energies, [channel, len(NAMES) - 1]).max() < 0.1 * energies[channel]
    assert energies[-1] == pytest.approx(energies[DIRECTED].sum())
    opposite = NAMES.index(f"tf{tf}_sf{sf}_dir{(direction + 180) % 360}")
    assert energies[opposite] < 0.01 * energies[channel]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_what_stands_still_has_no_energy_in_moving_channels(orientation):
    energies = _measure(_grating(orientation, 4, 0, amplitude=100))
    assert energies[:, NAMES.index(f"tf0_sf4_dir{orientation}")] == pytest.approx(100**2, rel=0.03)
    assert energies[:, MOVING].max() < 1e-6  # to the film's very ends
    np.testing.assert_allclose(energies, energies[:1].repeat(len(energies), axis=0), rtol=1e-4, atol=1e-6)


def test_light_that_comes_and_goes_has_no_direction():
    levels = 128 + 50 * np.sin(2 * np.pi * 2 * np.arange(48) / 24)
    frames = np.broadcast_to(np.rint(levels)[:, None, None, None], (48, 36, 64, 3)).astype(np.uint8)
    energies = _measure(frames)[18:30].mean(axis=0)  # one period
    assert energies[NAMES.index("tf2_sf0")] == pytest.approx(50**2, rel=0.02)
    assert energies[NAMES.index("tf4_sf0")] < 10
    assert energies[[k for k, name in enumerate(NAMES) if "dir" in name]].max() < 1e-3


def _renamed(change):
    """Columns in the order of their names after a change of direction."""

    def new(name):
        head, _, direction = name.partition("_dir")
        return f"{head}_dir{change(int(direction), head)}" if direction else name

    return [NAMES.index(new(name)) for name in NAMES]


def test_backwards_is_the_opposite_direction():
    frames = _clip()
    opposite = _renamed(lambda d, head: d if head.startswith("tf0") else (d + 180) % 360)
    np.testing.assert_allclose(_measure(frames[::-1])[::-1], _measure(frames)[:, opposite], rtol=1e-3, atol=1e-3)


def test_mirrors_swap_left_and_right_or_up_and_down():
    frames, energies = _clip(), _measure(_clip())
    left_right = _renamed(lambda d, head: (180 - d) % (180 if head.startswith("tf0") else 360))
    up_down = _renamed(lambda d, head: -d % (180 if head.startswith("tf0") else 360))
    np.testing.assert_allclose(_measure(frames[:, :, ::-1]), energies[:, left_right], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(_measure(frames[:, ::-1]), energies[:, up_down], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("factor", [0.25, 0.5])
def test_energy_goes_with_the_square_of_contrast_and_not_with_brightness(factor):
    full = _measure(_grating(45, 4, 2, amplitude=100))
    less = _measure(_grating(45, 4, 2, amplitude=100 * factor) - np.uint8(20))
    np.testing.assert_allclose(less, full * factor**2, rtol=0.02, atol=0.1)


def test_a_cut_is_heard_alike_before_and_after():
    frames = np.concatenate([_clip(1, 1).repeat(20, axis=0), _clip(2, 1).repeat(20, axis=0)])
    total = _measure(frames)[:, -1]
    np.testing.assert_allclose(total, total[::-1], rtol=1e-3, atol=1e-4)
    # the filters reach seven frames: those next to the cut are 19 and 20
    np.testing.assert_array_equal(np.flatnonzero(total > 1e-3), np.arange(13, 27))


def test_against_pymoten():
    """Our filters are sums of pymoten's: the Gabor less its mean in space and in time."""
    frames = _clip(3, 12, (32, 34))
    measured = _measure(frames)
    levels = np.pad(frames[..., 0].astype(float), ((7, 7), (0, 0), (0, 0)), mode="edge").reshape(12 + 14, -1)
    for sf in (2, 4):
        bank = SpatialFilters(sf, (32, 34))
        places = [(x, y) for y in bank.centres[1] for x in bank.centres[0]]
        for tf in (0, *TEMPORAL_FREQUENCIES):
            for direction in ORIENTATIONS if tf == 0 else range(0, 360, 45):
                responses = [_pymoten(levels, sf, tf, direction, bank.envelope, place) for place in places]
                energies = np.mean(np.abs(responses) ** 2, axis=0)
                name = f"tf{tf}_sf{sf}_dir{direction}"
                np.testing.assert_allclose(measured[:, NAMES.index(name)], energies, rtol=1e-4, atol=1e-4)


def _pymoten(levels, sf, tf, direction, envelope, place):
    """Amplitude of the grating behind pymoten's complex response, its means taken out; shape (12,)."""

    def components(sf, tf):
        from moten.core import mk_3d_gabor

        # pymoten's directions are the opposite ones
        sin, cos, in_time_sin, in_time_cos = mk_3d_gabor(
            (34, 32), 24, aspect_ratio=32 / 34, centerh=place[0], centerv=place[1], direction=direction + 180.0,
            spatial_freq=sf, spatial_env=envelope, temporal_freq=tf, temporal_env=0.3,
        )  # fmt: skip
        return sin, cos, in_time_sin[1:], in_time_cos[1:]

    def response(sf, tf):
        from moten.core import dotdelay_frames

        sin, cos = dotdelay_frames(*components(sf, tf), levels, masklimit=-1)
        return (cos + 1j * sin)[7:-7]

    sin, cos, in_time_sin, in_time_cos = components(sf, tf)
    _, envelope_in_space, _, envelope_in_time = components(0, 0)
    mean_in_space = (cos + 1j * sin).sum() / envelope_in_space.sum()
    if tf == 0:
        total = response(sf, 0) - mean_in_space * response(0, 0)
        return 2 * total / (envelope_in_space.sum() * envelope_in_time.sum())
    taps = in_time_cos + 1j * in_time_sin
    mean_in_time = taps.sum() / envelope_in_time.sum()
    total = response(sf, tf) - mean_in_time * response(sf, 0)
    total = total - mean_in_space * (response(0, tf) - mean_in_time * response(0, 0))
    carrier = np.exp(-2j * np.pi * tf * np.arange(-7, 8) / 24)
    return 2 * total / (envelope_in_space.sum() * np.sum((taps - mean_in_time * envelope_in_time) * carrier))


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=6))
def test_blocks_give_the_bytes_of_the_whole(sizes):
    frames = _clip(n=40)[: sum(sizes)]
    if len(frames):
        assert _measure(frames, rate=4, sizes=sizes).tobytes() == _measure(frames, rate=4).tobytes()


@pytest.mark.parametrize("cut", [0, 3, 11, 29])
def test_goes_on_from_a_state(cut):
    frames = _clip()
    first, second = MotionMeasures(24, 4, SIZE), MotionMeasures(24, 4, SIZE)
    rows = [first.update(frames[:cut])]
    second.update(frames[::-1])
    second.restore(first.state())
    rows += [second.update(frames[cut:]), second.finish()]
    assert np.expm1(np.concatenate(rows)).tobytes() == _measure(frames, rate=4).tobytes()


@pytest.mark.parametrize(("frame_rate", "rate"), [(24, 4), (25, 4), (24, 7), (24000 / 1001, 4), (30, 30)])
def test_a_sample_is_the_mean_over_its_interval(frame_rate, rate):
    frames = _clip(n=31)
    each = _measure(frames, frame_rate=frame_rate, rate=frame_rate)
    intervals = np.floor(np.arange(31) * rate / frame_rate + 1e-9).astype(int)
    expected = [each[intervals == k].mean(axis=0) for k in range(intervals[-1] + 1)]
    np.testing.assert_allclose(_measure(frames, frame_rate=frame_rate, rate=rate), expected, rtol=1e-4)


def test_finish_gives_as_many_rows_as_the_film_has_samples():
    frames = _clip(n=30)  # five intervals of six frames
    for n_samples, rows in ((None, 5), (5, 5), (4, 4), (9, 5), (0, 2)):  # two were finished before
        measures = MotionMeasures(24, 4, SIZE)
        first = measures.update(frames)
        assert len(first) + len(measures.finish(n_samples)) == max(rows, len(first))
    assert MotionMeasures(24, 4, SIZE).finish(3).shape == (0, len(NAMES))


def test_refuses_settings_that_filters_cannot_meet():
    with pytest.raises(DataError, match=r"needs more than 8 frames per second.*: 8 are too few"):
        MotionMeasures(8, 4, SIZE)
    with pytest.raises(UsageError, match="cannot be sampled 25 times per second where there are 24 frames in one"):
        MotionMeasures(24, 25, SIZE)
    with pytest.raises(DataError, match=r"needs more than 32 rows of pixels.*: 32 are too few"):
        MotionMeasures(24, 4, (64, 32))
    with pytest.raises(ValueError, match=r"uint8 of shape \(1, 36, 63, 3\): expected uint8 \(b, 36, 64, 3\)"):
        MotionMeasures(24, 4, SIZE).update(np.zeros((1, 36, 63, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match="frames are float64"):
        MotionMeasures(24, 4, SIZE).update(np.zeros((1, 36, 64, 3)))
