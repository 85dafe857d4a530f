"""Haemodynamic responses against nilearn, against brute force, and against what a shift must do."""

import numpy as np
import pytest
from nilearn.glm.first_level.hemodynamic_models import compute_regressor, orthogonalize

from neurocca import FeatureSeries
from neurocca.config import HRF_MODELS, AlignConfig
from neurocca.temporal.align import align_features
from neurocca.temporal.hrf import LENGTH, STEP, convolve_hrf, convolve_kernel, hrf_kernels, hrf_matrix
from neurocca.temporal.timing import bin_means, reference_time

T_R = 2.0


def series(data: np.ndarray, rate: float) -> FeatureSeries:
    return FeatureSeries(data, np.arange(len(data)) / rate, tuple(f"f{j}" for j in range(data.shape[1])))


def boxes(times: np.ndarray, events: tuple) -> np.ndarray:
    return sum(a * ((times >= o - 1e-9) & (times < o + d - 1e-9)) for o, d, a in zip(*events, strict=True))


def framed(rng: np.random.Generator) -> np.ndarray:
    """Features of 1000 samples with mean 0 at whose ends nothing comes in or goes out."""
    film = np.zeros((1000, 2))
    film[300:700] = rng.standard_normal((400, 2)).cumsum(axis=0)
    film[300:700] -= film[300:700].mean(axis=0)
    return film


@pytest.mark.parametrize("model", HRF_MODELS)
@pytest.mark.parametrize("oversampling", [20, 50])
def test_response_is_nilearns_to_1e_6(model, oversampling):
    """nilearn's sums are our integrals where its sample i is spread over the step that ends at the time i steps."""
    events = np.array([4.0, 20.4, 61.2]), np.array([3.0, 7.6, 1.2]), np.array([1.0, -0.5, 2.0])
    volume_times = np.arange(60) * T_R
    expected, _ = compute_regressor(events, model, volume_times, oversampling=oversampling)
    step = T_R / oversampling
    edges = np.arange(60 * oversampling + 1) * step
    data = boxes(edges[:-1], events)[:, None]
    found = np.hstack(
        [
            hrf_matrix(edges, volume_times, kernel, step=step, first=-step / 2) @ data
            for kernel in hrf_kernels(model, step)
        ]
    )
    np.testing.assert_allclose(orthogonalize(found), expected, atol=1e-6)


@pytest.mark.parametrize("model", ["spm", "glover"])
def test_our_response_is_what_nilearn_tends_to(model):
    """nilearn's sums over a finer and finer grid, without the error that goes down with the step (Richardson)."""
    events = np.array([4.0, 30.0]), np.array([3.0, 8.0]), np.array([1.0, 2.0])
    volume_times = np.arange(60) * T_R
    usual, coarse, fine = (
        compute_regressor(events, model, volume_times, oversampling=m)[0][:, 0] for m in (50, 100, 200)
    )
    limit = 2 * fine - coarse
    times = np.arange(0, 120, 0.5)
    data = boxes(times, events)[:, None]
    edges = np.append(times, 120.0)
    found = hrf_matrix(edges, volume_times, hrf_kernels(model)[0]) @ data
    assert np.abs(found[:, 0] - limit).max() < 2e-3 * np.abs(limit).max()
    assert np.abs(found[:, 0] - limit).max() < 0.25 * np.abs(usual - limit).max()


def test_integrals_are_those_of_brute_force(rng):
    film, onset = rng.standard_normal((240, 2)), 0.3
    times = np.arange(240) * 0.5 + onset
    volume_times = (np.arange(50) + 0.5) * T_R
    kernel = hrf_kernels("spm")[0]
    fine = STEP / 10
    # the response at every tenth of a step, times what was on screen then
    seen = np.floor((volume_times[:, None] - (np.arange(len(kernel) * 10) + 0.5) * fine + 1.5 * STEP - onset) / 0.5)
    padded = np.vstack([film - film.mean(axis=0), np.zeros((1, 2))])
    seen = np.where((seen >= 0) & (seen < 240), seen, 240).astype(int)
    expected = np.einsum("k,nkf->nf", np.repeat(kernel / 10, 10), padded[seen])
    np.testing.assert_allclose(convolve_hrf(film, times, volume_times, "spm"), expected, atol=1e-6)


def test_a_given_kernel_is_convolved_as_numpy_does(rng):
    film, kernel = rng.standard_normal((300, 1)), rng.standard_normal(40)
    times = np.arange(300) * 0.5
    # sample i is spread over half a step around i steps, so that a volume at the middle of a sample sees whole ones
    found = convolve_kernel(film, times, times + 0.25, kernel, 0.5)
    expected = np.convolve(film[:, 0] - film.mean(), kernel)[:300]
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-12)
    canonical = hrf_kernels("spm")[0]
    assert len(canonical) == round(LENGTH / STEP)
    middles = np.arange(70) * T_R + 1
    same = convolve_kernel(film, times, middles, np.append(canonical[1:], 0), STEP)
    np.testing.assert_allclose(same, convolve_hrf(film, times, middles, "spm"), atol=1e-12)


@pytest.mark.parametrize("response", ["hrf", "delays", "none", "kernel"])
def test_a_film_that_begins_a_volume_later_gives_the_same_rows_a_volume_later(response, rng):
    film = framed(rng)
    config = AlignConfig(response=response, high_pass=0, standardize="train", kernel="given", kernel_step=0.1)
    kernel = hrf_kernels("glover", 0.1)[0]
    early, late = (
        align_features([series(film, 5.0)], 100, T_R, config, onset=onset, kernel=kernel) for onset in (0.0, T_R)
    )
    np.testing.assert_allclose(early[:-1], late[1:] - (late[1:] - early[:-1]).mean(axis=0), atol=1e-12)
    assert early.std() > 0


@pytest.mark.parametrize("response", ["hrf", "delays", "none", "kernel"])
def test_what_a_volume_stands_for_moves_features_in_time(response, rng):
    film = framed(rng)
    kernel = hrf_kernels("glover", 0.1)[0]
    fields = {"response": response, "high_pass": 0, "standardize": "train", "kernel": "given", "kernel_step": 0.1}
    at_start, at_end = (
        align_features([series(film, 5.0)], 100, T_R, AlignConfig(**fields, slice_reference=f), kernel=kernel)
        for f in (0.0, 1.0)
    )
    difference = at_start[1:] - at_end[:-1]
    np.testing.assert_allclose(difference, np.tile(difference.mean(axis=0), (99, 1)), atol=1e-12)
    by_seconds = align_features(
        [series(film, 5.0)], 100, T_R, AlignConfig(**fields), reference=0.0, kernel=kernel
    )  # fmt: skip
    np.testing.assert_array_equal(by_seconds, at_start)


def test_means_of_volumes_halve_the_power_where_they_say():
    frequency = 0.443 / T_R
    times = np.arange(20_000) / 50
    wave = series(np.exp(2j * np.pi * frequency * times).real[:, None], 50.0)
    binned = bin_means(wave, T_R, 190)[:, 0]
    phase = 2 * np.pi * frequency * (np.arange(190) + 0.5) * T_R
    amplitude = np.linalg.lstsq(np.column_stack([np.cos(phase), np.sin(phase)]), binned, rcond=None)[0][0]
    assert amplitude**2 == pytest.approx(0.5, abs=0.005)


def test_times_of_slices_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="seconds between 0 and the repetition time of 2 s"):
        reference_time(2.0, {"SliceTiming": [0.0, 1500.0]})
    with pytest.raises(ValueError, match="must be seconds"):
        reference_time(2.0, {"StartTime": "middle"})
