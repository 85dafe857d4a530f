"""Haemodynamic response: what a feature series becomes at the times of the volumes."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

STEP = 0.01
"""Seconds between two samples of the response; nilearn's kernels are late by up to one of its samples."""

LENGTH = 32.0
"""Length of the response in seconds."""


def hrf_kernels(model: str) -> NDArray[np.float64]:
    """Response and, where the model has them, its derivatives.

    Parameters
    ----------
    model : str
        "spm" or "glover", optionally "+ derivative" and "+ derivative + dispersion"; nilearn's models.

    Returns
    -------
    array, shape (n_kernels, LENGTH / STEP)
        The response sums to one.
    """
    from nilearn.glm.first_level import hemodynamic_models as nilearn_hrf

    family, *parts = model.split(" + ")
    functions: list[Callable] = [getattr(nilearn_hrf, f"{family}_hrf")]
    functions += [
        getattr(nilearn_hrf, f"{family}_{'time_derivative' if part == 'derivative' else 'dispersion_derivative'}")
        for part in parts
    ]
    return np.array([function(STEP, oversampling=1, time_length=LENGTH) for function in functions])


def hrf_matrix(edges: NDArray, volume_times: NDArray, kernel: NDArray) -> NDArray[np.float64]:
    """Matrix that turns a piecewise constant series into the response to it at the volumes' times.

    Integrates the response exactly over every sample's interval, so that any sampling rate gives the same answer.

    Parameters
    ----------
    edges : array, shape (t + 1,)
        Borders of the samples' intervals in seconds.
    volume_times : array, shape (n,)
        Seconds, on the same clock.
    kernel : array, shape (m,)
        One row of ``hrf_kernels``.

    Returns
    -------
    array, shape (n, t)
    """
    # nilearn's sample i is the response at (i - 1) STEP: its mass lies half a step to either side
    borders = (np.arange(len(kernel) + 1) - 1.5) * STEP
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
    last = times[-1] + (np.median(np.diff(times)) if len(times) > 1 else 0.0)
    edges = np.append(times, last)
    relative = data - data[0]  # exactly zero where a feature is constant
    centred = relative - relative.mean(axis=0)
    return np.hstack([hrf_matrix(edges, volume_times, kernel) @ centred for kernel in hrf_kernels(model)])
