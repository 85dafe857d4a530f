import numpy as np
import pytest

from neurocca.features.lowlevel import (
    FRAME_NAMES,
    FREQUENCY_BANDS,
    FrameMeasures,
    frame_measures,
    perceived_luminance,
    studyforrest_measures,
)
from neurocca.features.phash import perceptual_hash

BANDS = [f"frequency_{low}_{high}" for low, high in FREQUENCY_BANDS]


@pytest.fixture
def frames():
    return np.random.default_rng(0).integers(0, 256, (4, 9, 12, 3), dtype=np.uint8)


@pytest.fixture
def pictures():
    """Smooth colour pictures, each an own one."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:72, :128] / 72
    waves = np.sin(rng.uniform(1, 9, (7, 1, 1, 3)) * x[..., None] + rng.uniform(1, 9, (7, 1, 1, 3)) * y[..., None])
    return (128 + 100 * waves).astype(np.uint8)


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
    expected |= _spectral_reference(light)
    bits = perceptual_hash(frames)
    expected["perceptual_difference"] = np.r_[0, (bits[1:] != bits[:-1]).mean(axis=1)]
    assert names == tuple(expected) == FRAME_NAMES
    # luminance is kept in single precision
    np.testing.assert_allclose(data, np.column_stack(list(expected.values())), atol=1e-6)


def _spectral_reference(light):
    """Whole complex spectrum in double precision, octave by octave."""
    _, height, width = light.shape
    window = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1])
    mean = (light * window).sum((1, 2), keepdims=True) / window.sum()
    power = np.abs(np.fft.fft2((light - mean) * window)) ** 2 / (height * width * np.sum(window**2))
    cycles_down = np.fft.fftfreq(height) * height
    cycles_across = np.fft.fftfreq(width) * height
    frequency = np.sqrt(cycles_down[:, None] ** 2 + cycles_across**2)
    return {
        name: np.sqrt(power[:, (frequency >= low) & (frequency < high)].sum(axis=1))
        for name, (low, high) in zip(BANDS, FREQUENCY_BANDS, strict=True)
    }


@pytest.mark.parametrize("sizes", [[1] * 7, [3, 4], [2, 0, 5]])
def test_blocks_give_the_bytes_of_the_whole(pictures, sizes):
    measures, rows, start = FrameMeasures(), [], 0
    for size in sizes:
        rows.append(measures.update(pictures[start : start + size]))
        start += size
    assert np.concatenate(rows).tobytes() == frame_measures(pictures)[0].tobytes()


@pytest.mark.parametrize("cut", [0, 1, 4])
def test_goes_on_from_a_state(pictures, cut):
    first, second = FrameMeasures(), FrameMeasures()
    before = first.update(pictures[:cut])
    second.update(pictures[::-1])  # restoring forgets whatever came before
    second.restore(first.state())
    whole = np.concatenate([before, second.update(pictures[cut:])])
    assert whole.tobytes() == frame_measures(pictures)[0].tobytes()
    with pytest.raises(ValueError, match="frame 7 has shape"):
        second.update(pictures[:, 1:])


# along the longer side frequencies lie close enough that a window does not blur octaves as low as these
@pytest.mark.parametrize(("cycles", "band", "slant"), [(1.5, 0, 0), (3, 1, 0)])
def test_a_slow_grating_has_most_energy_in_its_octave(cycles, band, slant):
    energies = _grating_energies(cycles, slant)
    assert np.argmax(energies) == band
    assert energies[band] == pytest.approx(0.2 / np.sqrt(2), rel=0.15)


@pytest.mark.parametrize(("cycles", "band"), [(6, 2), (12, 3), (24, 4), (48, 5)])
@pytest.mark.parametrize("slant", [0, 45, 90])
def test_a_grating_has_its_energy_in_its_octave(cycles, band, slant):
    energies = _grating_energies(cycles, slant)
    assert energies[band] == pytest.approx(0.2 / np.sqrt(2), rel=0.02)
    assert np.delete(energies, band).max() < 0.02 * energies[band]


def _grating_energies(cycles, slant):
    """Octaves of a grating of amplitude 0.2 that is turned by so many degrees."""
    y, x = np.mgrid[:144, :256] / 144
    along = x * np.cos(np.radians(slant)) + y * np.sin(np.radians(slant))
    light = 0.5 + 0.2 * np.sin(2 * np.pi * cycles * along)
    frames = np.repeat(np.rint(255 * light)[None, ..., None], 3, axis=3).astype(np.uint8)
    return np.array([_column(frames, name)[0] for name in BANDS])


def test_uniform_light_has_no_detail_and_half_the_contrast_half_the_energy(pictures):
    uniform = np.full((1, 72, 128, 3), 200, dtype=np.uint8)
    assert max(_column(uniform, name)[0] for name in BANDS) < 1e-6
    grey = np.repeat(pictures[..., :1] // 2 * 2, 3, axis=3)
    for name in BANDS:
        np.testing.assert_allclose(_column(grey // 2, name), _column(grey, name) / 2, rtol=1e-4)


def test_pictures_too_small_for_an_octave_have_nothing_in_it(pictures):
    assert _column(pictures[:, ::4, ::4], "frequency_32_64").tolist() == [0.0] * 7  # 18 rows hold 9 cycles


def test_mirrored_frames_swap_sides_and_leave_all_else(frames):
    data, mirrored = frame_measures(frames)[0], frame_measures(frames[:, :, ::-1])[0]
    sign = np.where(np.array(FRAME_NAMES) == "left_right", -1, 1)
    hash_free = np.array(FRAME_NAMES) != "perceptual_difference"
    np.testing.assert_allclose(mirrored[:, hash_free], (data * sign)[:, hash_free], atol=1e-6)


def test_grey_has_no_colour_and_a_still_has_no_motion():
    grey = np.repeat(np.random.default_rng(1).integers(0, 256, (1, 6, 6, 1), dtype=np.uint8), 3, axis=3)
    still = np.repeat(grey, 3, axis=0)
    for name in ("saturation", "red_green", "blue_yellow", "motion"):
        np.testing.assert_allclose(_column(still, name), 0, atol=1e-12)
    assert _column(still, "perceptual_difference").tolist() == [0, 0, 0]


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
    assert frame_measures(iter(()))[0].shape == (0, 15)


def test_refuses_what_is_not_a_frame(frames):
    with pytest.raises(ValueError, match=r"frame 1 has shape \(8, 12, 3\), but the first has \(9, 12, 3\)"):
        frame_measures([frames[0], frames[0][:8]])
    with pytest.raises(ValueError, match="frame 0 is float64"):
        frame_measures([frames[0] / 255.0])


def _quadrants(upper_left, upper_right, lower_left, lower_right):
    """A frame of the film segments: bars of grey, and a picture of four grey quadrants in rows 90 to 630."""
    frame = np.full((720, 1280, 3), 128, dtype=np.uint8)
    frame[90:360, :640], frame[90:360, 640:] = upper_left, upper_right
    frame[360:630, :640], frame[360:630, 640:] = lower_left, lower_right
    return frame


def test_published_measures_worked_out_by_hand():
    data, names = studyforrest_measures([_quadrants(128, 128, 128, 128), _quadrants(10, 20, 30, 41)])
    assert names == ("brmean", "brlr", "brud", "norm_diff")
    # mean (10 + 20 + 30 + 41) / 4; left minus right 40 - 61; upper minus lower 30 - 71
    np.testing.assert_array_equal(data[:, :3], [[128, 0, 0], [25.25, -21, -41]])
    assert data[0, 3] == 0
    assert data[1, 3] * 144 == pytest.approx(round(data[1, 3] * 144))
    assert data[1, 3] > 0


def test_published_measures_leave_the_bars_out():
    barred = _quadrants(10, 200, 30, 40)
    other_bars = barred.copy()
    other_bars[:90] = other_bars[630:] = 255
    np.testing.assert_array_equal(studyforrest_measures([barred])[0], studyforrest_measures([other_bars])[0])
    uncropped = studyforrest_measures([barred], rows=(0, 720))[0]
    assert uncropped[0, 0] != studyforrest_measures([barred])[0][0, 0]


def test_published_measures_round_every_quadrant():
    frame = _quadrants(100, 100, 100, 100)
    frame[90:360, :640:2] = 101  # mean 100.5 of the upper left, a hair more or less
    frame[90, 1] = 101
    np.testing.assert_array_equal(studyforrest_measures([frame])[0][0, :3], [100.25, 1, 1])


def test_own_measures_convert_into_the_published_units(pictures):
    data, names = frame_measures(pictures)
    published = studyforrest_measures(pictures, rows=(0, 72))[0]
    own = {name: data[:, names.index(name)] for name in ("luminance", "left_right", "up_down", "perceptual_difference")}
    assert np.abs(255 * own["luminance"] - published[:, 0]).max() <= 0.5
    assert np.abs(510 * own["left_right"] - published[:, 1]).max() <= 2
    assert np.abs(510 * own["up_down"] - published[:, 2]).max() <= 2
    np.testing.assert_array_equal(own["perceptual_difference"], published[:, 3])


def test_published_measures_refuse_frames_without_the_rows():
    assert studyforrest_measures([])[0].shape == (0, 4)
    with pytest.raises(ValueError, match="frame 0 has 576 rows: there are no rows 90 to 630 in it"):
        studyforrest_measures([np.zeros((576, 720, 3), dtype=np.uint8)])


def test_perceived_luminance_of_any_number_of_frames(pictures):
    assert perceived_luminance(pictures[0]).tobytes() == perceived_luminance(pictures)[0].tobytes()
    np.testing.assert_allclose(perceived_luminance(np.array([[[255, 0, 0]]], dtype=np.uint8)), [[np.sqrt(0.299)]])
