"""Lag between film and BOLD: found where it is planted, and a warning where it cannot be."""

import numpy as np
import pytest

from neurocca import FeatureSeries
from neurocca.config import AlignConfig
from neurocca.errors import DataError
from neurocca.steps.lag import lag_curve
from neurocca.temporal.align import align_bold
from neurocca.temporal.hrf import convolve_hrf
from tests.conftest import ar1

CONFIG = AlignConfig(high_pass=100.0)


def recording(rng, delay, t_r=2.0, n_runs=4, n=100, width=40, q=60):
    """Film features at 2 Hz, and BOLD that follows two of them through a response that begins late."""
    features, bold = [], []
    for _ in range(n_runs):
        film = ar1(rng, round(n * t_r * 2), width, 0.8)
        times = np.arange(len(film)) / 2
        response = convolve_hrf(film[:, :2], times + delay, (np.arange(n) + 0.5) * t_r)
        run = ar1(rng, n, q, 0.4) + 3 * np.repeat(response / response.std(axis=0), q // 2, axis=1)
        features.append([FeatureSeries(film, times, tuple(f"f{j}" for j in range(width)))])
        bold.append(align_bold(run + 100, t_r, CONFIG))
    return features, bold


@pytest.mark.parametrize("width", [8, 40])
def test_peak_is_where_the_response_is(rng, width):
    curve = lag_curve(*recording(rng, 0.0, width=width), 2.0, CONFIG)
    np.testing.assert_array_equal(curve.lags, np.arange(-4, 15, 2))
    assert curve.peak in (4.0, 6.0)
    assert curve.warning == ""
    assert curve.correlations.max() > 0.4


@pytest.mark.parametrize(("delay", "text"), [(-8.0, "before the film"), (8.0, "more than 10 s after the film")])
def test_a_wrong_onset_is_told(rng, delay, text):
    curve = lag_curve(*recording(rng, delay, width=8), 2.0, CONFIG)
    assert text in curve.warning
    assert f"a lag of {curve.peak:g} s" in curve.warning
    if delay > 0:  # an onset before the run leaves its end without film, which is refused
        right = lag_curve(*recording(rng, delay, width=8), 2.0, CONFIG, onsets=[delay] * 4)
        assert right.warning == ""


def test_noise_has_no_lag_to_warn_of(rng):
    features, bold = recording(rng, 0.0)
    noise = [[ar1(rng, *run.shape, 0.4) for run in bold] for _ in range(20)]
    curves = [lag_curve(features, runs, 2.0, CONFIG) for runs in noise]
    assert any(not 0 <= curve.peak <= 10 for curve in curves)
    assert [curve.warning for curve in curves if curve.warning] == []


def test_many_columns_are_thinned(rng, monkeypatch):
    features, bold = recording(rng, 0.0, width=8)
    curve = lag_curve(features, bold, 2.0, CONFIG)
    monkeypatch.setattr("neurocca.steps.lag.N_COLUMNS", 40)
    thinned = lag_curve(features, bold, 2.0, CONFIG)
    assert abs(thinned.peak - curve.peak) <= 2.0


def test_short_volumes_gaps_and_one_run(rng):
    features, bold = recording(rng, 0.0, t_r=0.8, n_runs=1, n=400, width=8)
    kept = rng.random(400) > 0.1
    bold[0][~kept] = 0.0
    curve = lag_curve(features, bold, 0.8, CONFIG, kept=[kept])
    np.testing.assert_array_equal(curve.lags, np.arange(-4, 15))
    assert 3 <= curve.peak <= 7
    with pytest.raises(DataError, match="too few to tell a lag"):
        lag_curve(features, [bold[0][:12]], 0.8, CONFIG, cuts=[(0, 388)])
