"""Filter for the side that is rearranged: it takes the end of a run for the beginning of the next one."""

import numpy as np
from numpy.typing import NDArray


def periodic_filter(data: NDArray, t_r: float, high_pass: float, low_pass: float = 0.0) -> NDArray[np.float64]:
    """Columns of one run without sines and cosines of whole periods that are too slow or too fast, and without mean.

    It commutes with circular shifts and random phases: a rearranged view has lost the same as the observed one. The
    cosines of half periods that leave BOLD (`neurocca.temporal.nuisance.cosine_drift`) do not. Two views that have both
    lost these share a gap that rearranged views do not share, so that the correlations under the null are too small,
    and the test says "related" too often.

    Parameters
    ----------
    data : array, shape (n, p)
    t_r : float
        Seconds per sample.
    high_pass : float
        Longest period in seconds that is left in; 0 takes out the mean alone.
    low_pass : float
        Shortest period in seconds that is left in; 0 leaves all.

    Returns
    -------
    array, shape (n, p)
    """
    relative = data - data[:1]  # exactly zero where a column is constant
    frequency = np.fft.rfftfreq(len(data), t_r)
    out = frequency == 0
    if high_pass > 0:
        out |= frequency * high_pass <= 1 + 1e-9
    if low_pass > 0:
        out |= frequency * low_pass > 1 + 1e-9
    spectrum = np.fft.rfft(relative, axis=0)
    spectrum[out] = 0
    return np.fft.irfft(spectrum, len(data), axis=0)
