"""Cleaning of one run: one regression, censoring, scales, memory."""

import tracemalloc

import numpy as np
import pytest
from nilearn.signal import clean as nilearn_clean

from neurocca.config import AlignConfig
from neurocca.temporal.align import align_bold, align_features, bold_nuisance
from neurocca.temporal.clean import clean_run
from neurocca.temporal.nuisance import cosine_drift, cosines_above, nuisance_basis, polynomial_drift, residuals
from tests.temporal.test_response import series

T_R = 2.0


def test_one_regression_is_that_of_least_squares(rng):
    data, confounds = rng.standard_normal((120, 5)) + 50, rng.standard_normal((120, 3)).cumsum(axis=0)
    kept = rng.random(120) > 0.2
    design = np.column_stack([cosine_drift(120, T_R, 100.0), cosines_above(120, T_R, 8.0), confounds])
    expected = data[kept] - design[kept] @ np.linalg.lstsq(design[kept], data[kept], rcond=None)[0]
    basis = nuisance_basis(120, T_R, high_pass=100.0, low_pass=8.0, confounds=confounds, kept=kept)
    found = clean_run(data, basis, kept=kept, scale="none")
    np.testing.assert_allclose(found.data[kept], expected, atol=1e-9)
    np.testing.assert_array_equal(found.data[~kept], 0)
    share = 1 - expected.var(axis=0) / data[kept].var(axis=0)
    np.testing.assert_allclose(found.removed, share, atol=1e-9)
    assert found.usable.all()


def test_without_censoring_it_is_nilearns_up_to_its_constant(rng):
    data, confounds = rng.standard_normal((150, 4)), rng.standard_normal((150, 2))
    ours = align_bold(data, T_R, AlignConfig(), confounds=confounds)
    theirs = nilearn_clean(
        data, detrend=False, filter="cosine", high_pass=1 / 128.0, t_r=T_R, confounds=confounds, standardize=None
    )
    theirs = (theirs - theirs.mean(axis=0)) / theirs.std(axis=0)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_polynomials_leave_with_what_they_span(rng):
    basis = nuisance_basis(80, T_R, drift="polynomial:2")
    t = np.linspace(-1, 1, 80)
    assert np.abs(residuals(np.column_stack([3 + t, t**2]), basis)).max() < 1e-12
    assert residuals(t[:, None] ** 3, basis).std() > 0.1
    assert polynomial_drift(80, 2).shape == basis.shape


def test_what_censored_volumes_hold_does_not_matter(rng):
    data, confounds = rng.standard_normal((90, 3)), rng.standard_normal((90, 2))
    kept = np.ones(90, dtype=bool)
    kept[[3, 4, 40, 89]] = False
    other, other_confounds = data.copy(), confounds.copy()
    other[~kept], other_confounds[~kept] = np.nan, np.nan
    a = align_bold(data, T_R, AlignConfig(), confounds=confounds, kept=kept, cut=(2, 1))
    b = align_bold(other, T_R, AlignConfig(), confounds=other_confounds, kept=kept, cut=(2, 1))
    np.testing.assert_array_equal(a, b)
    inside = kept[2:-1]
    np.testing.assert_allclose(a[inside].mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(a[inside].std(axis=0), 1, atol=1e-12)
    np.testing.assert_array_equal(a[~inside], 0)


def test_percent_signal_change_is_relative_to_the_mean_before_cleaning(rng):
    wave = np.sin(2 * np.pi * np.arange(100) * T_R / 20)
    data = np.column_stack([500 * (1 + 0.02 * wave), 2000 * (1 + 0.01 * wave)])
    found = align_bold(data, T_R, AlignConfig(standardize_bold="psc"))
    np.testing.assert_allclose(found.max(axis=0), [2, 1], rtol=0.08)
    with pytest.raises(ValueError, match="percent signal change needs a mean, and that of 2 of 2 columns"):
        align_bold(data - data.mean(axis=0), T_R, AlignConfig(standardize_bold="psc"))
    mixed = np.column_stack([data, wave])
    cleaned = clean_run(mixed, nuisance_basis(100, T_R), scale="psc")
    assert cleaned.no_baseline.tolist() == [False, False, True]
    np.testing.assert_array_equal(cleaned.data[:, 2], 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", ["zscore", "psc", "none"])
def test_columns_without_a_signal_are_named_and_become_zero(scale, dtype, rng):
    drift = 1000 * (1 + 0.1 * cosine_drift(200, T_R, 128.0)[:, 1])
    good = 1000 + rng.standard_normal(200)
    holes = good.copy()
    holes[7] = np.nan
    data = np.column_stack([good, np.full(200, 0.1), drift, holes, np.zeros(200)]).astype(dtype)
    found = clean_run(data, nuisance_basis(200, T_R), scale=scale)
    assert found.constant.tolist() == [False, True, True, False, True]
    assert found.missing.tolist() == [False, False, False, True, False]
    assert found.usable.tolist() == [True, False, False, False, False]
    assert found.data.dtype == dtype
    np.testing.assert_array_equal(found.data[:, 1:], 0)
    assert np.isfinite(found.removed).all()


def test_single_precision_is_as_good_as_double(rng):
    data = 1e4 + 100 * rng.standard_normal((200, 3))
    double = align_bold(data.astype(np.float32).astype(float), T_R, AlignConfig())
    np.testing.assert_allclose(align_bold(data.astype(np.float32), T_R, AlignConfig()), double, atol=2e-6)


def test_a_run_is_cleaned_in_its_own_memory(rng):
    data = rng.standard_normal((200, 40_000), dtype=np.float32) + 100
    basis = nuisance_basis(200, T_R)
    expected = clean_run(data[:, :50], basis).data
    tracemalloc.start()
    found = clean_run(data, basis, overwrite=True, cut=(4, 4))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert np.shares_memory(found.data, data)
    assert peak < 0.8 * data.nbytes, "beside the run itself; of a run of 450 volumes it is less than 0.3"
    assert expected.shape == (200, 50)


def test_too_much_to_take_out_is_refused(rng):
    with pytest.raises(ValueError, match="take 40 degrees of freedom of 40 volumes"):
        nuisance_basis(40, T_R, high_pass=0.0, confounds=rng.standard_normal((40, 60)))
    with pytest.raises(ValueError, match="one row per volume"):
        nuisance_basis(40, T_R, confounds=np.ones((39, 2)))
    with pytest.raises(ValueError, match="NaN or infinite in volume 3, column 1"):
        nuisance_basis(40, T_R, confounds=np.where(np.arange(80).reshape(40, 2) == 7, np.nan, 1.0))
    with pytest.raises(ValueError, match="2 of 40 volumes are left after censoring and cutting"):
        clean_run(np.ones((40, 2)), np.ones((40, 1)) / 40**0.5, kept=np.arange(40) < 2)
    with pytest.raises(ValueError, match="40 truth values"):
        align_bold(np.ones((40, 2)), T_R, AlignConfig(), kept=np.ones(40))


def test_partial_takes_the_same_out_of_features(rng):
    film, confounds = series(rng.standard_normal((500, 3)).cumsum(axis=0), 5.0), rng.standard_normal((100, 4))
    kept = rng.random(100) > 0.1
    config = AlignConfig(partial=True, standardize="run")
    basis, rows = bold_nuisance(100, 1.0, config, confounds, kept)
    X = align_features([film], 100, 1.0, config, nuisance=(basis, rows))
    np.testing.assert_allclose(basis[kept, 1:].T @ (X - X[kept].mean(axis=0))[kept], 0, atol=1e-8)
    assert X[~kept].std() > 0, "features are complete in time"
    with pytest.raises(ValueError, match="takes the nuisance variables"):
        align_features([film], 100, 1.0, config)
