import numpy as np
import pytest

from neurocca.features.lowlevel import FRAME_NAMES, frame_measures, loudness, sound_measures


@pytest.fixture
def frames():
    return np.random.default_rng(0).integers(0, 256, (4, 9, 12, 3), dtype=np.uint8)


def _column(frames, name):
    data, names = frame_measures(frames)
    return data[:, names.index(name)]


def test_against_pixel_by_pixel_reference(frames):
    data, names = frame_measures(frames)
    light = np.sqrt((frames / 255.0) ** 2 @ [0.299, 0.587, 0.114])
    r, g, b = np.moveaxis(frames / 255.0, -1, 0)
    expected = {
        "luminance": light.mean((1, 2)),
        "contrast": light.std((1, 2)),
        "left_right": light[:, :, :6].mean((1, 2)) - light[:, :, 6:].mean((1, 2)),
        "up_down": light[:, :4].mean((1, 2)) - light[:, 5:].mean((1, 2)),
        "motion": np.r_[0, np.abs(np.diff(light, axis=0)).mean((1, 2))],
        "saturation": (np.maximum.reduce([r, g, b]) - np.minimum.reduce([r, g, b])).mean((1, 2)),
        "red_green": (r - g).mean((1, 2)),
        "blue_yellow": (b - (r + g) / 2).mean((1, 2)),
    }
    assert names == tuple(expected) == FRAME_NAMES
    np.testing.assert_allclose(data, np.column_stack(list(expected.values())), atol=1e-12)


def test_mirrored_frames_swap_sides_and_leave_all_else(frames):
    data, mirrored = frame_measures(frames)[0], frame_measures(frames[:, :, ::-1])[0]
    sign = np.where(np.array(FRAME_NAMES) == "left_right", -1, 1)
    np.testing.assert_allclose(mirrored, data * sign, atol=1e-12)


def test_grey_has_no_colour_and_a_still_has_no_motion():
    grey = np.repeat(np.random.default_rng(1).integers(0, 256, (1, 6, 6, 1), dtype=np.uint8), 3, axis=3)
    still = np.repeat(grey, 3, axis=0)
    for name in ("saturation", "red_green", "blue_yellow", "motion"):
        np.testing.assert_allclose(_column(still, name), 0, atol=1e-12)


@pytest.mark.parametrize(
    ("colour", "signs"),
    [((255, 0, 0), (1, -1)), ((0, 255, 0), (-1, -1)), ((0, 0, 255), (0, 1)), ((255, 255, 0), (0, -1))],
)
def test_opponent_colours_point_the_right_way(colour, signs):
    frame = np.full((1, 2, 2, 3), colour, dtype=np.uint8)
    assert (np.sign(_column(frame, "red_green")[0]), np.sign(_column(frame, "blue_yellow")[0])) == signs


def test_streams_frames_one_by_one():
    alive = []

    def generate():
        for k in range(50):
            alive.append(k)
            yield np.full((4, 4, 3), k, dtype=np.uint8)

    data, _ = frame_measures(generate())
    assert len(data) == len(alive) == 50
    assert frame_measures(iter(()))[0].shape == (0, 8)


def test_refuses_what_is_not_a_frame(frames):
    with pytest.raises(ValueError, match=r"frame 1 has shape \(8, 12, 3\), but the first has \(9, 12, 3\)"):
        frame_measures([frames[0], frames[0][:8]])
    with pytest.raises(ValueError, match="frame 0 is float64"):
        frame_measures([frames[0] / 255.0])


def test_loudness_of_each_interval():
    audio = np.random.default_rng(2).normal(size=(1000, 2)) * np.repeat([1, 3], 500)[:, None]
    expected = np.sqrt((audio.reshape(10, 100, 2) ** 2).mean((1, 2)))
    np.testing.assert_allclose(loudness(audio, 500, 0.2, 10), expected)


def test_loudness_with_intervals_that_are_not_whole_samples():
    rate, period, n = 44100, 1 / 7, 20
    audio = np.random.default_rng(3).normal(size=rate * 3)
    index = np.floor(np.arange(len(audio)) / rate / period).astype(int)
    expected = [np.sqrt(np.mean(audio[index == k] ** 2)) for k in range(n)]
    np.testing.assert_allclose(loudness(audio, rate, period, n), expected)


def test_sound_that_ends_early_is_followed_by_silence_and_a_longer_one_is_cut():
    np.testing.assert_allclose(loudness(np.ones(25), 10, 1.0, 5), [1, 1, 1, 0, 0])
    np.testing.assert_allclose(loudness(np.r_[np.ones(10), np.full(90, 9.0)], 10, 1.0, 1), [1])
    assert loudness(np.zeros((0, 2)), 10, 1.0, 3).tolist() == [0, 0, 0]


def test_loudness_scales_with_the_sound_and_ignores_its_sign():
    audio = np.random.default_rng(4).normal(size=400)
    np.testing.assert_allclose(loudness(-3 * audio, 100, 0.5, 8), 3 * loudness(audio, 100, 0.5, 8))


def test_side_of_stereo_sound():
    left = np.column_stack([np.ones(20), np.zeros(20)])
    data, names = sound_measures(left, 10, 1.0, 2)
    assert names == ("loudness", "loudness_left_right")
    np.testing.assert_allclose(data, [[np.sqrt(0.5), 1]] * 2)
    np.testing.assert_allclose(sound_measures(left[:, ::-1], 10, 1.0, 2)[0], data * [1, -1])
    assert sound_measures(left[:, 0], 10, 1.0, 2)[1] == ("loudness",)


def test_refuses_intervals_shorter_than_a_sample():
    with pytest.raises(ValueError, match=r"0\.01 s holds no sample of a sound at 10 per second"):
        loudness(np.ones(10), 10, 0.01, 3)
