import librosa
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurocca.errors import DataError, UsageError
from neurocca.features.audio import SoundMeasures, sound_measures
from neurocca.features.loudness import channel_rms, interval_edges, loudness, loudness_from_published
from neurocca.features.spectra import decibel

RATE = 16000


def noise(seconds, channels=1, rate=RATE, seed=0):
    sound = np.random.default_rng(seed).normal(scale=0.1, size=(round(seconds * rate), channels))
    # louder and softer by turns, so that intervals differ
    loud = 1 + 0.9 * np.sin(2 * np.pi * 0.7 * np.arange(len(sound)) / rate)
    return (sound * loud[:, None]).astype(np.float32)


def seconds_of(seconds, rate=RATE):
    return np.arange(round(seconds * rate)) / rate


def columns(data, names, prefix):
    return data[:, [name.startswith(prefix) for name in names]]


def measured(sound, period, n_samples, prefix, rate=RATE):
    data, names = sound_measures(sound, rate, period, n_samples)
    return columns(data, names, prefix)


def in_blocks(measures, sound, cuts):
    return [measures.update(block) for block in np.split(sound, cuts)]


# references: librosa on the whole signal


def reference_bands(sound, rate, width, hop):
    """Power of each band and frame of a (n, channels) sound, from librosa's own mel spectrogram."""
    mel = librosa.feature.melspectrogram(
        y=sound.T, sr=rate, n_fft=width, hop_length=hop, n_mels=32, fmin=50, fmax=8000, norm=None, center=True
    )
    window = librosa.filters.get_window("hann", width)
    return mel.mean(axis=0).T.astype(float) * 2 / (width * np.sum(window**2))


def interval_means(values, seconds, period, n_samples, first=0):
    index = np.floor(seconds / period + 1e-9).astype(int)
    return np.array([values[index == k].mean(axis=0) for k in range(first, n_samples)])


@pytest.mark.parametrize(
    ("rate", "period", "channels", "width", "hop"),
    [
        (16000, 0.25, 2, 512, 160),
        (22050, 1 / 7, 1, 1024, 220),
        (48000, 0.04, 2, 2048, 480),
        (16000, 6.0, 1, 512, 160),
        (16000, 0.01, 3, 512, 160),
    ],
)
def test_spectrum_and_flux_are_those_of_librosa(rate, period, channels, width, hop):
    seconds = 24.0 if period > 1 else 7.0
    sound = noise(seconds, channels, rate)
    n = int(seconds / period)
    data, names = sound_measures(sound, rate, period, n)
    power = reference_bands(sound, rate, width, hop)
    middles = np.arange(len(power)) * hop / rate
    expected = decibel(interval_means(power, middles, period, n))
    np.testing.assert_allclose(columns(data, names, "mel"), expected, atol=1e-4)

    flux = librosa.onset.onset_strength(S=decibel(power).T, sr=rate, lag=1, center=False)
    ends = middles + width / 2 / rate
    # the first frame has none before it in librosa, and silence here
    expected = interval_means(flux[:, None], ends, period, n, first=2) * rate / hop
    np.testing.assert_allclose(columns(data, names, "spectral_flux")[2:], expected, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(data[:, 0], loudness(sound, rate, period, n), rtol=1e-12)


def test_modulation_is_the_envelopes_power_in_the_band():
    """By hand: a·(1 + m cos) has the mean square (a m)² / 2 around its mean; a sine's envelope is its root."""
    t = seconds_of(12)
    depth, low, high = 0.5, 1.5, 6.0
    envelope = 0.2 * (1 + depth * np.cos(2 * np.pi * low * t) + 0.1 * np.cos(2 * np.pi * high * t))
    sound = (envelope * np.sin(2 * np.pi * 900 * t)).astype(np.float32)[:, None]
    data, names = sound_measures(sound, RATE, 0.5, 24)
    power = 10 ** (columns(data, names, "modulation")[5:-5].mean(axis=0) / 10)
    np.testing.assert_allclose(power[1], (0.2 * depth) ** 2 / 2 / 2, rtol=0.03)
    np.testing.assert_allclose(power[3], (0.2 * 0.1) ** 2 / 2 / 2, rtol=0.03)
    assert power[[0, 2, 4]].max() < power[3] / 30


# the stream


@settings(max_examples=10, deadline=None)
@given(cuts=st.lists(st.integers(0, 13 * RATE), max_size=8), stop=st.integers(0, 8))
def test_rows_do_not_depend_on_blocks_nor_on_a_restart(cuts, stop):
    sound = noise(13.3, 2)
    whole, _ = sound_measures(sound, RATE, 0.3, 50)
    first = SoundMeasures(RATE, 0.3, 2)
    blocks = np.split(sound, sorted(cuts))
    rows = [first.update(block) for block in blocks[:stop]]
    second = SoundMeasures(RATE, 0.3, 2)
    second.restore(first.state())
    rows += [second.update(block) for block in blocks[stop:]]
    rows.append(second.finish(50))
    np.testing.assert_array_equal(np.concatenate(rows), whole)


def test_a_state_is_a_copy():
    measures, sound = SoundMeasures(RATE, 0.5, 1), noise(8)
    measures.update(sound)
    state = measures.state()
    before = {name: array.copy() for name, array in state.items()}
    measures.update(sound)
    other = SoundMeasures(RATE, 0.5, 1)
    other.restore(state)
    other.update(sound)
    assert all(np.array_equal(state[name], before[name]) for name in state)


@pytest.mark.parametrize("period", [0.04, 0.25, 10.0])
def test_memory_does_not_grow_with_the_film(period):
    measures, block = SoundMeasures(RATE, period, 1), noise(40)
    sizes = []
    for _ in range(8):
        measures.update(block)
        held = measures.state().values()
        sizes.append(sum((array if array.base is None else array.base).nbytes for array in held))
    assert max(sizes[4:]) <= max(sizes[:4])
    assert max(sizes) < 2e6


def test_rows_come_two_seconds_after_their_end():
    measures = SoundMeasures(RATE, 0.5, 1)
    rows = measures.update(noise(60))
    assert 2 * 60 - 2 * (2 + 5) - 1 <= len(rows) <= 2 * 60 - 2 * 2


def test_silence_follows_the_end_of_the_sound():
    sound = noise(3.2)
    padded = np.concatenate([sound, np.zeros((8 * RATE, 1), np.float32)])
    short, _ = sound_measures(sound, RATE, 0.5, 20)
    long, _ = sound_measures(padded, RATE, 0.5, 20)
    np.testing.assert_array_equal(short[:, 1:], long[:, 1:])
    assert np.all(short[7:, 0] == 0)
    # the interval in which it ends is as loud as the sound that it holds
    assert short[6, 0] == pytest.approx(np.sqrt(np.mean(np.square(sound[3 * RATE :].astype(float)))))
    assert np.all(measured(np.zeros((0, 1)), 0.5, 3, "mel") == -80)


def test_sound_that_outlasts_the_film_is_cut():
    sound = noise(20)
    whole, names = sound_measures(sound, RATE, 0.5, 40)
    measures = SoundMeasures(RATE, 0.5, 1)
    assert len(measures.update(sound)) > 10
    assert measures.finish(10).shape == (0, len(names))
    np.testing.assert_array_equal(sound_measures(sound, RATE, 0.5, 10)[0], whole[:10])


# laws


@pytest.mark.parametrize("second", [1.02, 3.7, 6.23, 8.97])
def test_a_click_is_in_the_interval_that_holds_it(second):
    sound = np.zeros((12 * RATE, 1), np.float32)
    sound[round(second * RATE)] = 1
    row = int(second / 0.25)
    data, names = sound_measures(sound, RATE, 0.25, 48)
    assert np.flatnonzero(data[:, 0]).tolist() == [row]
    assert np.all(columns(data, names, "mel").argmax(axis=0) == row)
    assert columns(data, names, "spectral_flux").argmax() == row


@pytest.mark.parametrize("late", [0.0, 0.001, 0.005, 0.0099])
def test_onsets_are_not_seen_before_they_are_heard(late):
    sound = np.sin(2 * np.pi * 700 * seconds_of(6)).astype(np.float32)[:, None]
    sound[: round((3 + late) * RATE)] = 0
    flux = measured(sound, 0.5, 12, "spectral_flux")[:, 0]
    assert np.all(flux[:6] == 0)
    assert flux[6] > 100 * flux[7:].max()


def test_twice_the_sound_is_six_decibels_more():
    sound = noise(9, 2)
    once, names = sound_measures(sound, RATE, 0.5, 18)
    twice, _ = sound_measures(2 * sound, RATE, 0.5, 18)
    in_db = np.array([name.startswith(("mel", "modulation")) for name in names])
    np.testing.assert_allclose((twice - once)[:, in_db], 20 * np.log10(2), atol=1e-5)
    np.testing.assert_allclose(twice[:, :2], 2 * once[:, :2], rtol=1e-6)
    # beginnings apart, where the sound rises from silence, a rise in dB is the same
    flux = names.index("spectral_flux")
    np.testing.assert_allclose(twice[1:, flux], once[1:, flux], rtol=1e-4)


@pytest.mark.parametrize("band", [2, 9, 16, 25, 30])
def test_a_tone_is_in_its_band(band):
    names = [name for name in SoundMeasures(RATE, 0.5, 1).names if name.startswith("mel")]
    hertz = int(names[band].removeprefix("mel_").removesuffix("Hz"))
    tone = np.sin(2 * np.pi * hertz * seconds_of(3)).astype(np.float32)[:, None]
    assert np.all(measured(tone, 0.5, 5, "mel").argmax(axis=1) == band)


@pytest.mark.parametrize(("hertz", "band"), [(0.75, 0), (1.5, 1), (3, 2), (4, 3), (6, 3), (12, 4)])
def test_fluctuating_noise_is_in_its_modulation_band(hertz, band):
    t = seconds_of(16)
    loud = 1 + np.sin(2 * np.pi * hertz * t)
    sound = np.random.default_rng(1).normal(scale=0.1, size=(len(t), 1)) * loud[:, None]
    modulation = measured(sound, 0.5, 32, "modulation")
    assert np.all(modulation[5:-5].argmax(axis=1) == band)


def test_modulation_is_around_the_middle_of_the_interval():
    t = seconds_of(16)
    sound = 0.1 * np.sin(2 * np.pi * 500 * t) * (1 + np.where(np.abs(t - 8) < 0.5, np.sin(2 * np.pi * 6 * t), 0))
    power = 10 ** (measured(sound[:, None], 0.25, 64, "modulation_4-8Hz")[:, 0] / 10)
    middles = (np.arange(64) + 0.5) * 0.25
    inside = np.abs(middles - 8) < 3  # what begins and ends the sound is elsewhere
    assert np.average(middles[inside], weights=power[inside]) == pytest.approx(8, abs=0.02)


def test_modulation_of_a_long_interval_is_that_of_all_of_it():
    t = seconds_of(30)
    for second in (12.5, 15.0, 17.5):
        sound = 0.1 * np.sin(2 * np.pi * 500 * t) * (1 + np.where(np.abs(t - second) < 1, np.sin(2 * np.pi * 6 * t), 0))
        assert measured(sound[:, None], 10.0, 3, "modulation_4-8Hz")[1, 0] > -50


def test_bands_add_up_to_the_power_of_the_sound():
    t = seconds_of(4)
    sound = sum(a * np.sin(2 * np.pi * f * t) for a, f in ((0.3, 220), (0.1, 1234), (0.2, 5000)))
    data, names = sound_measures(sound[:, None], RATE, 0.5, 7)
    total = (10 ** (columns(data, names, "mel") / 10)).sum(axis=1)
    np.testing.assert_allclose(total[1:], data[1:, 0] ** 2, rtol=0.01)
    shifted = measured(sound[:, None] + 0.2, 0.5, 7, "mel")
    # a constant is no sound
    np.testing.assert_allclose(10 ** (shifted[1:] / 10), 10 ** (columns(data, names, "mel")[1:] / 10), atol=1e-6)


def test_equal_channels_are_as_one_and_swapped_ones_change_sides():
    sound = noise(6, 2)
    mono, stereo = sound_measures(sound[:, :1], RATE, 0.5, 12)[0], sound_measures(sound[:, [0, 0]], RATE, 0.5, 12)[0]
    np.testing.assert_allclose(np.delete(stereo, 1, axis=1), mono, rtol=1e-6)
    np.testing.assert_allclose(stereo[:, 1], 0)
    data, swapped = (sound_measures(s, RATE, 0.5, 12)[0] for s in (sound, sound[:, ::-1]))
    np.testing.assert_allclose(swapped, data * np.where(np.arange(data.shape[1]) == 1, -1, 1), rtol=1e-6)
    assert np.abs(data[:, 1]).max() > 1e-4


def test_bands_are_the_same_at_other_rates_of_the_sound():
    def bands(rate):
        t = seconds_of(4, rate)
        sound = sum(a * np.sin(2 * np.pi * f * t) for a, f in ((0.3, 320), (0.1, 1253), (0.2, 5033)))
        sound *= 1 + 0.5 * np.sin(2 * np.pi * 3 * t)
        data, names = sound_measures(sound[:, None], rate, 0.5, 7)
        return data[1:, [names.index(n) for n in ("mel_320Hz", "mel_1253Hz", "mel_5033Hz", "modulation_2-4Hz")]]

    np.testing.assert_allclose(bands(22050), bands(16000), atol=0.5)
    np.testing.assert_allclose(bands(48000), bands(16000), atol=0.5)


def test_names_say_what_the_columns_are():
    names = SoundMeasures(22050, 0.25, 2).names
    assert names[:4] == ("loudness", "loudness_left_right", "mel_140Hz", "mel_230Hz")
    assert names[-6:-3] == ("spectral_flux", "modulation_0.5-1Hz", "modulation_1-2Hz")
    assert len(names) == len(set(names)) == 40
    # the same bands whatever the sound's rate
    assert names == SoundMeasures(48000, 0.25, 2).names


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ((8000, 0.25, 1), "sound at 8000 samples per second cannot be measured up to 8000 Hz: at least 16000"),
        ((16000, 0.005, 1), r"intervals of 0\.005 s hold no spectrum: at most 100 per second"),
        ((16000, 0.25, 0), "without channels"),
    ],
)
def test_refuses_settings_that_cannot_be(settings, message):
    with pytest.raises(UsageError, match=message):
        SoundMeasures(*settings)


def test_refuses_blocks_that_do_not_fit():
    measures = SoundMeasures(RATE, 0.25, 2)
    measures.update(noise(1, 2))
    with pytest.raises(DataError, match=r"shape \(16000, 1\): expected \(samples, 2\)"):
        measures.update(noise(1))
    bad = noise(1, 2)
    bad[8000, 1] = np.nan
    with pytest.raises(DataError, match=r"not finite, the first at 1\.500 s"):
        measures.update(bad)
    with pytest.raises(DataError, match="of 2 channels, not 1"):
        SoundMeasures(RATE, 0.25, 1).restore(measures.state())


# root-mean-squares


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


def test_loudness_of_sound_that_ends_early_or_late():
    np.testing.assert_allclose(loudness(np.ones(25), 10, 1.0, 5), [1, 1, 1, 0, 0])
    np.testing.assert_allclose(loudness(np.r_[np.ones(10), np.full(90, 9.0)], 10, 1.0, 1), [1])
    assert loudness(np.zeros((0, 2)), 10, 1.0, 3).tolist() == [0, 0, 0]


def test_loudness_scales_with_the_sound_and_ignores_its_sign():
    audio = np.random.default_rng(4).normal(size=400)
    np.testing.assert_allclose(loudness(-3 * audio, 100, 0.5, 8), 3 * loudness(audio, 100, 0.5, 8))


@given(st.floats(0.01, 7), st.integers(0, 10_000))
def test_edges_are_the_first_samples_of_their_intervals(length, row):
    start, stop = interval_edges([row, row + 1], length)
    assert start >= row * length - 1e-5
    assert start - 1 < row * length
    assert stop >= start


def test_edges_are_exact_where_a_period_is_no_binary_number():
    assert 0.07 * 48000 > 3360
    assert interval_edges([0, 1, 100], 0.07 * 48000).tolist() == [0, 3360, 336_000]


def test_refuses_intervals_shorter_than_a_sample_and_sound_of_three_dimensions():
    with pytest.raises(UsageError, match=r"0\.01 s holds no sample of a sound at 10 per second"):
        channel_rms(np.ones(10), 10, 0.01, 3)
    with pytest.raises(UsageError, match=r"not \(2, 2, 2\)"):
        channel_rms(np.ones((2, 2, 2)), 10, 1, 3)


def test_published_measures_by_hand_and_there_and_back():
    """Two frames of 1920 samples: left ±.3 and right ±.1, then silence and right ±.5."""
    signs = np.where(np.arange(1920) % 2, -1, 1)
    sound = np.concatenate([np.column_stack([0.3 * signs, 0.1 * signs]), np.column_stack([0 * signs, 0.5 * signs])])
    sides = channel_rms(sound, 48000, 0.04, 2)
    rms, lrdiff = sides.sum(axis=1), sides[:, 1] - sides[:, 0]
    np.testing.assert_allclose(rms, [0.4, 0.5])
    np.testing.assert_allclose(lrdiff, [-0.2, 0.5])
    ours, names = sound_measures(sound, 48000, 0.04, 2)
    assert names[:2] == ("loudness", "loudness_left_right")
    np.testing.assert_allclose(loudness_from_published(rms, lrdiff), ours[:, :2], rtol=1e-6)
    np.testing.assert_allclose(ours[:, :2], [[np.sqrt(0.05), 0.2], [np.sqrt(0.125), -0.5]], rtol=1e-6)


def test_published_measures_are_read_500_samples_late(real_film):
    """The program that made them takes chunks from MoviePy's reader, which has filled a buffer of 500 before."""
    from moviepy.audio.io.readers import FFMPEG_AudioReader

    from neurocca.io.sound import read_audio

    reader = FFMPEG_AudioReader(str(real_film), 500, fps=48000)
    chunks = np.array([reader.read_chunk(1920) for _ in range(750)])
    reader.close()
    theirs = np.sqrt(np.mean(chunks**2, axis=1))
    sound = read_audio(real_film, 48000)[: 31 * 48000]
    np.testing.assert_allclose(channel_rms(sound[500:], 48000, 0.04, 750), theirs, atol=1e-5)
    assert np.abs(channel_rms(sound, 48000, 0.04, 750) - theirs).max() > 1e-3


@pytest.mark.realdata
@pytest.mark.parametrize("segment", range(8))
def test_published_measures_are_those_of_two_channels(studyforrest_data, segment):
    folder = studyforrest_data / "confoundsannotation" / "annotation" / "audio"
    rms, lrdiff = (
        pd.read_csv(folder / f"fg_av_ger_seg{segment}_{measure}.tsv", sep="\t").iloc[:, 2].to_numpy(float)
        for measure in ("rms", "lrdiff")
    )
    rms, lrdiff = rms[: len(lrdiff)], lrdiff[: len(rms)]
    rounding = 1.1e-8
    assert np.all(np.abs(lrdiff) <= rms + rounding)
    assert 0 <= rms.min() < 0.01
    assert 0.1 < rms.max() <= 2
    ours = loudness_from_published(rms, lrdiff)
    # between a sound from the middle and one from a side
    assert np.all(ours[:, 0] >= rms / 2 - rounding)
    assert np.all(ours[:, 0] <= rms / np.sqrt(2) + rounding)
    assert np.corrcoef(ours[:, 0], rms)[0, 1] > 0.99
