import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurocca import FeatureSeries
from neurocca.config import AlignConfig
from neurocca.temporal.align import align_bold, align_features, aligned_names
from neurocca.temporal.clean import clean, standardize
from neurocca.temporal.delays import delay
from neurocca.temporal.hrf import convolve_hrf
from neurocca.temporal.nuisance import constant_columns, cosine_drift
from neurocca.temporal.timing import bin_means, trim


def series(data: np.ndarray, rate: float, names: tuple[str, ...] | None = None) -> FeatureSeries:
    names = names or tuple(f"f{j}" for j in range(data.shape[1]))
    return FeatureSeries(data, np.arange(len(data)) / rate, names)


def test_response_peaks_five_seconds_after_a_flash():
    times = np.arange(0, 60, 0.1)
    flash = (np.abs(times - 10) < 0.05).astype(float)
    fine = np.arange(0, 60, 0.05)
    response = convolve_hrf(flash[:, None], times, fine, "spm")[:, 0]
    assert fine[response.argmax()] == pytest.approx(10 + 5, abs=0.15)


def test_sampling_rate_does_not_change_the_response(rng):
    coarse = rng.standard_normal((100, 2))
    volume_times = np.arange(20) * 2.0 + 1
    a = convolve_hrf(coarse, np.arange(100) * 0.4, volume_times)
    b = convolve_hrf(np.repeat(coarse, 4, axis=0), np.arange(400) * 0.1, volume_times)
    np.testing.assert_allclose(a, b, atol=1e-12)


@given(st.integers(1, 30), st.integers(1, 4), st.lists(st.integers(0, 40), min_size=1, max_size=4, unique=True))
def test_delays_move_features_later_and_nothing_comes_from_outside(n, f, delays):
    data = np.random.default_rng(n).standard_normal((n, f))
    delayed = delay(data, delays)
    for i, d in enumerate(delays):
        block = delayed[:, i * f : (i + 1) * f]
        np.testing.assert_array_equal(block[:d], 0)
        np.testing.assert_array_equal(block[d:], data[: max(n - d, 0)])


def test_drift_basis_is_orthonormal_and_takes_slow_waves_only():
    basis = cosine_drift(300, 2.0, 128.0)
    assert basis.shape == (300, 1 + int(2 * 300 * 2.0 / 128.0))
    np.testing.assert_allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=1e-12)
    t = np.arange(300)[:, None] * 2.0
    slow, fast = np.sin(2 * np.pi * t / 300), np.sin(2 * np.pi * t / 30)
    assert clean(slow, 2.0, 128.0).var() < 0.02 * slow.var()
    assert clean(fast, 2.0, 128.0).var() > 0.98 * fast.var()
    assert cosine_drift(50, 2.0, 0.0).shape == (50, 1)


def test_drift_and_confounds_leave_together(rng):
    confounds = rng.standard_normal((200, 3)).cumsum(axis=0) * [1, 1e-6, 1e6]
    confounds = np.column_stack([confounds, confounds[:, 0]])  # collinear on purpose
    cleaned = clean(rng.standard_normal((200, 4)), 2.0, 100.0, confounds)
    basis = np.column_stack([cosine_drift(200, 2.0, 100.0), confounds / np.abs(confounds).max(axis=0)])
    np.testing.assert_allclose(basis.T @ cleaned, 0, atol=1e-8)


def test_standardize_leaves_constant_columns_at_zero(rng):
    data = np.column_stack([rng.standard_normal(50) + 4, np.full(50, 0.1)])
    z = standardize(data)
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(z.std(0), [1, 0], atol=1e-12)
    assert constant_columns(data).tolist() == [False, True]


def test_bins_take_the_samples_that_begin_within_them():
    film = series(np.arange(200.0)[:, None], 25.0)
    # 50 frames a volume; binary rounding of 0.04 k must not move a frame over the border
    np.testing.assert_array_equal(bin_means(film, 2.0, 4)[:, 0], np.arange(4) * 50 + 24.5)
    np.testing.assert_array_equal(bin_means(film, 2.0, 2, onset=2.0)[:, 0], [0, 24.5])
    # bins narrower than the samples hold what is on screen
    np.testing.assert_array_equal(bin_means(film, 0.02, 6)[:, 0], [0, 0, 1, 1, 2, 2])


def test_trim_refuses_to_leave_nothing():
    assert len(trim(np.ones((10, 1)), 4, 0)) == 6
    with pytest.raises(ValueError, match=r"4 \+ 6 volumes leaves nothing of a run of 10"):
        trim(np.ones((10, 1)), 4, 6)


@pytest.mark.parametrize("response", ["hrf", "delays"])
def test_alignment_finds_a_planted_lag(response, rng):
    """BOLD that is the film through a response correlates best with the film through that response, at lag 0."""
    film = series(rng.standard_normal((1000, 3)).cumsum(axis=0), 5.0)
    config = AlignConfig(response=response, delays=(2,), high_pass=0, standardize="run")
    X = align_features([film], 100, 2.0, config)
    bold = align_bold(X @ np.array([[1.0], [2.0], [-1.0]]) + 7, 2.0, config)
    lags = {k: np.corrcoef(np.roll(bold[:, 0], -k), X @ [1, 2, -1])[0, 1] for k in range(-3, 4)}
    assert max(lags, key=lags.get) == 0


def test_columns_have_names_in_order():
    spaces = [series(np.ones((4, 2)), 1, ("a", "b")), series(np.ones((4, 1)), 1, ("c",))]
    delays = aligned_names(spaces, AlignConfig(response="delays", delays=(1, 3)))
    assert delays == [(0, "a", "1"), (0, "b", "1"), (0, "a", "3"), (0, "b", "3"), (1, "c", "1"), (1, "c", "3")]
    assert aligned_names(spaces, AlignConfig(hrf="spm + derivative"))[2] == (0, "a", "derivative")


def test_loudness_is_the_logarithm_of_the_mean_not_the_mean_of_logarithms():
    sound = series(np.tile([[0.0001], [1.0]], (100, 1)), 10.0, ("loudness",))
    config = AlignConfig(response="delays", delays=(0,), high_pass=0, standardize="train")
    half = series(np.vstack([np.full((100, 1), 0.5), np.full((100, 1), 0.25)]), 10.0, ("loudness",))
    assert np.ptp(align_features([sound], 10, 2.0, config)) == pytest.approx(0, abs=1e-9)
    assert np.ptp(align_features([half], 10, 2.0, config)) == pytest.approx(np.log(0.5001 / 0.2501))


def test_films_of_the_wrong_length_are_refused():
    film = series(np.random.default_rng(0).standard_normal((100, 1)), 1.0)
    config = AlignConfig()
    with pytest.raises(ValueError, match=r"features end at 100.0 s, but the run's volumes end at 104.0 s"):
        align_features([film], 52, 2.0, config)
    with pytest.raises(ValueError, match="the film of another run"):
        align_features([film], 44, 2.0, config)
    assert align_features([film], 51, 2.0, config).shape == (51, 1)


@pytest.mark.parametrize("response", ["hrf", "delays"])
@pytest.mark.parametrize("scaling", ["run", "train"])
def test_what_is_constant_stays_exactly_so(response, scaling, rng):
    """Rounding noise of a feature that does not vary in a run must not be scaled up to a feature."""
    data = np.column_stack([rng.standard_normal(500), np.full(500, 0.1)])
    config = AlignConfig(response=response, delays=(1, 2), standardize=scaling)
    X = align_features([series(data, 5.0)], 50, 2.0, config)
    assert np.all(X[:, 1::2] == 0)
    assert np.all(X[:, 0::2].std(axis=0) > 0)
