import numpy as np
import pytest

from neurocca import FeatureSeries
from neurocca.config import AlignConfig
from neurocca.temporal.align import align_features, aligned_names
from neurocca.temporal.attribution import attribute

GAMMA = np.exp(-0.5 * ((np.arange(0, 20, 0.1) - 6) / 1.5) ** 2)
RESPONSES = {
    "hrf": {"response": "hrf", "hrf": "spm"},
    "derivatives": {"response": "hrf", "hrf": "glover + derivative + dispersion"},
    "delays": {"response": "delays", "delays": [1, 2, 4]},
    "kernel": {"response": "kernel", "kernel": "given"},
    "none": {"response": "none"},
}


def config(name: str) -> AlignConfig:
    return AlignConfig(**{"high_pass": 0.0, "log": ("loud",), **RESPONSES[name]})


@pytest.mark.parametrize("name", RESPONSES)
def test_what_the_seconds_of_a_film_add_is_the_variate(rng, name):
    align, n, t_r = config(name), 60, 1.5
    fine = FeatureSeries(rng.uniform(1, 2, (380, 2)), np.arange(380) / 4, ("loud", "b"))
    coarse = FeatureSeries(rng.standard_normal((95, 1)), np.arange(95.0), ("c",))
    both, timing = [fine, coarse], {"onset": 2.2, "reference": 0.4, "kernel": GAMMA}
    weights = rng.standard_normal((len(aligned_names(both, align)), 3))
    X = align_features(both, n, t_r, align, **timing)
    found = attribute(both, weights, n, t_r, align, **timing)
    added = np.array([found.contributions(v).sum(axis=0) for v in range(n)])
    np.testing.assert_allclose(added - added.mean(axis=0), X @ weights, atol=1e-10)


@pytest.mark.parametrize(("name", "tolerance"), [("hrf", 0.3), ("derivatives", 0.3), ("kernel", 0.3), ("delays", 0.76)])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_moment_of_a_peak_is_the_event_that_made_it(rng, name, tolerance, sign):
    align, t_r, onset = config(name), 1.5, 3.0
    times = np.arange(400) / 4
    for event in (20.0, 40.25, 61.75):
        flash = sign * ((times >= event - 0.5) & (times < event + 0.5)).astype(float)
        series = [FeatureSeries(flash[:, None] + 0.02 * rng.standard_normal((400, 1)), times, ("light",))]
        weights = np.zeros((len(aligned_names(series, align)), 1))
        weights[:, 0] = [1.0, 2.0, 1.0][: len(weights)] if name == "delays" else [1.0, 0.5, 0.2][: len(weights)]
        course = align_features(series, 68, t_r, align, onset=onset, kernel=GAMMA) @ weights
        volume = int(np.argmax(sign * course[:, 0]))
        assert volume * t_r - onset - event > 1  # the response is late
        found = attribute(series, weights, 68, t_r, align, onset=onset, kernel=GAMMA)
        assert found.moment(volume, 0, 100.0) == pytest.approx(event, abs=tolerance)


def test_what_lies_outside_the_film_is_no_moment():
    align, times = config("hrf"), np.arange(160) / 4
    ramp = [FeatureSeries((times**2)[:, None], times, ("light",))]  # its last value is held until the run ends
    found = attribute(ramp, np.ones((1, 1)), 40, 2.0, align)
    assert found.moment(38, 0, 40.0) <= 40.0
    assert found.moment(0, 0, 40.0) >= 0.0


def test_a_kernel_that_is_missing_is_said():
    series = [FeatureSeries(np.ones((40, 1)), np.arange(40.0), ("a",))]
    with pytest.raises(ValueError, match="takes a kernel"):
        attribute(series, np.ones((1, 1)), 20, 2.0, config("kernel"))
