"""Haemodynamic response: what a feature series becomes at the times of the volumes."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

STEP = 0.01
"""Seconds between two samples of the response. nilearn's sample i is the response at (i - 1) steps."""

LENGTH = 32.0
"""Length of the response in seconds."""


def hrf_kernels(model: str, step: float = STEP) -> NDArray[np.float64]:
    """Response and, where the model has them, its derivatives.

    Parameters
    ----------
    model : str
        "spm" or "glover", optionally "+ derivative" and "+ derivative + dispersion"; nilearn's models.
    step : float
        Seconds between two samples.

    Returns
    -------
    array, shape (n_kernels, LENGTH / step)
        The response sums to one.

    References
    ----------
    Friston et al. (1998), Event-related fMRI: characterizing differential responses, NeuroImage 7:30-40,
    doi:10.1006/nimg.1997.0306; Glover (1999), Deconvolution of impulse response in event-related BOLD fMRI, NeuroImage
    9:416-429, doi:10.1006/nimg.1998.0419.
    """
    from nilearn.glm.first_level import hemodynamic_models as nilearn_hrf

    family, *parts = model.split(" + ")
    functions: list[Callable] = [getattr(nilearn_hrf, f"{family}_hrf")]
    functions += [
        getattr(nilearn_hrf, f"{family}_{'time_derivative' if part == 'derivative' else 'dispersion_derivative'}")
        for part in parts
    ]
    return np.array([function(step, oversampling=1, time_length=LENGTH) for function in functions])


def hrf_matrix(
    edges: NDArray, volume_times: NDArray, kernel: NDArray, *, step: float = STEP, first: float | None = None
) -> NDArray[np.float64]:
    """Matrix that turns a piecewise constant series into the response to it at the volumes' times.

    Integrates the response exactly over every sample's interval, so that any sampling rate gives the same answer.

    Parameters
    ----------
    edges : array, shape (t + 1,)
        Borders of the samples' intervals in seconds.
    volume_times : array, shape (n,)
        Seconds, on the same clock.
    kernel : array, shape (m,)
        What a sample of the response contributes, such as one row of ``hrf_kernels``.
    step : float
        Seconds between two samples of the kernel.
    first : float, optional
        Seconds of its first sample, whose contribution is spread over half a step to either side. By default
        ``-step``, which is where nilearn's kernels have it.

    Returns
    -------
    array, shape (n, t)
    """
    begin = -step if first is None else first
    borders = begin + (np.arange(len(kernel) + 1) - 0.5) * step
    cumulative = np.concatenate([[0.0], np.cumsum(kernel)])
    elapsed = np.asarray(volume_times)[:, None] - np.asarray(edges)
    return -np.diff(np.interp(elapsed, borders, cumulative), axis=1)


def convolve_hrf(data: NDArray, times: NDArray, volume_times: NDArray, model: str = "spm") -> NDArray[np.float64]:
    """Features of one run convolved with the haemodynamic response, at the volumes' times.

    What was on before the first sample is taken to be the run's mean, which is left out of the result.

    Parameters
    ----------
    data : array, shape (t, f)
        Samples that hold from their time until the next one.
    times : array, shape (t,)
        Seconds, ascending.
    volume_times : array, shape (n,)
        Seconds, on the same clock: for instance the middle of each volume.
    model : str
        See ``hrf_kernels``.

    Returns
    -------
    array, shape (n, f * n_kernels)
        All features convolved with the response, then all with its first derivative, …
    """
    edges, centred = _held(data, times)
    return np.hstack([hrf_matrix(edges, volume_times, kernel) @ centred for kernel in hrf_kernels(model)])


def convolve_kernel(
    data: NDArray, times: NDArray, volume_times: NDArray, kernel: NDArray, step: float
) -> NDArray[np.float64]:
    """Features of one run convolved with a given response, at the volumes' times.

    Parameters
    ----------
    data, times, volume_times : arrays, shapes (t, f), (t,) and (n,)
        As for ``convolve_hrf``.
    kernel : array, shape (m,)
        The response 0, 1, 2, … steps after a flash.
    step : float
        Seconds.

    Returns
    -------
    array, shape (n, f)
    """
    edges, centred = _held(data, times)
    return hrf_matrix(edges, volume_times, kernel, step=step, first=0.0) @ centred


def _held(data: NDArray, times: NDArray) -> tuple[NDArray, NDArray]:
    """Borders of the samples, each of which holds until the next one, and the samples without their mean."""
    last = times[-1] + (np.median(np.diff(times)) if len(times) > 1 else 0.0)
    relative = data - data[0]  # exactly zero where a feature is constant
    return np.append(times, last), relative - relative.mean(axis=0)
