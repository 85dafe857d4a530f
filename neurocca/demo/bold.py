"""Simulated BOLD of a person who watches the film: planted responses, and all that usually covers them.

Time courses are in standard deviations, maps in percent signal change. What the film does not explain, from small
to large scale: noise with autocorrelation in time and space, ongoing activity of the very areas that respond,
drift, and head motion at the edges of the brain.
"""

from dataclasses import dataclass

import numpy as np
from nibabel.nifti1 import Nifti1Image
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d, gaussian_gradient_magnitude
from scipy.signal import lfilter

RESOLUTION = 8
"""Voxel size in millimetres."""

AREAS = {
    "truth_00": ((-54, -20, 6), (54, -20, 6)),
    "truth_01": ((0, -88, 2), (-44, -68, 4), (44, -68, 4)),
}
"""Areas of the planted components, MNI coordinates in millimetres: the first hear, the second see."""

BLOB_SDS = (10.0, 16.0)
"""Size of the areas of each component, millimetres: with many more voxels than volumes the fit goes by covariance,
which would not tell components of the same size apart."""

PEAK = 3.0
"""Percent signal change per standard deviation of the response at the centre of an area."""

ONGOING = np.array([0.7, 0.15])
"""Standard deviation of each component's ongoing activity, relative to the response of its areas to the film.

So correlations of film and brain cannot exceed `planted_correlations`: .82 and .99. They differ by design: what is
equally strong can only be found up to a rotation, and in little data what is nearly so, too."""

NOISE_SD, NOISE_PHI, NOISE_FWHM = 1.0, 0.4, 8.0
"""Percent signal change; autocorrelation from one volume to the next; millimetres."""

BASELINE = 1000.0
"""Intensity of the brightest tissue."""

MOTION_NAMES = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")
"""Translations in millimetres, rotations in radians, as fMRIPrep names them."""

BREATH = 1.0
"""How much the head nods with the breath, relative to its slow walk. Regressing out slow motion alone would take a
good part of slow responses with it."""

MOTION_SCALE = np.array([0.2, 0.2, 0.3, 0.004, 0.003, 0.003])


@dataclass(frozen=True)
class Head:
    """The standard brain on the coarse grid of the simulation.

    Parameters
    ----------
    baseline : array, shape (x, y, z)
        Intensity without any activity.
    inside : array of bool, shape (x, y, z)
        The brain.
    edge : array, shape (x, y, z)
        How steeply intensity changes, 0 to 1: where head motion shows.
    affine : array, shape (4, 4)
        Voxel indices to MNI millimetres.
    """

    baseline: NDArray[np.float64]
    inside: NDArray[np.bool_]
    edge: NDArray[np.float64]
    affine: NDArray[np.float64]

    @property
    def coordinates(self) -> NDArray[np.float64]:
        """MNI coordinates of every voxel in millimetres, shape (x, y, z, 3)."""
        indices = np.moveaxis(np.indices(self.inside.shape), 0, -1)
        return np.asarray(indices @ self.affine[:3, :3].T + self.affine[:3, 3])


def standard_head() -> Head:
    """Head made from nilearn's MNI template."""
    from nilearn.datasets import load_mni152_brain_mask, load_mni152_template

    template, mask = load_mni152_template(resolution=RESOLUTION), load_mni152_brain_mask(resolution=RESOLUTION)
    inside = np.asarray(mask.dataobj) > 0
    tissue = np.clip(template.get_fdata(), 0, None) * inside
    baseline = BASELINE * tissue / tissue.max()
    edge = gaussian_gradient_magnitude(baseline, 0.7) * inside
    return Head(baseline, inside, edge / edge.max(), template.affine)


def planted_maps(head: Head, rng: Generator) -> NDArray[np.float64]:
    """Response of one person's brain to each component, in percent signal change.

    Areas lie a few millimetres from where they are on average, and respond more or less.

    Parameters
    ----------
    head : Head
    rng : Generator

    Returns
    -------
    array, shape (x, y, z, 2)
    """
    maps = []
    for size, areas in zip(BLOB_SDS, AREAS.values(), strict=True):
        blobs = np.zeros(head.inside.shape)
        for area in areas:
            centre = np.array(area) + rng.normal(0, 3, 3)
            squared = np.sum((head.coordinates - centre) ** 2, axis=-1)
            blobs = np.maximum(blobs, rng.uniform(0.85, 1.15) * np.exp(-squared / (2 * size**2)))
        maps.append(PEAK * rng.uniform(0.85, 1.15) * blobs * head.inside)
    return np.stack(maps, axis=-1)


def planted_correlations() -> NDArray[np.float64]:
    """Correlation of each component's response to the film with all that its areas do, shape (c,).

    What no analysis can exceed in the long run, even if it knew everything.
    """
    return np.asarray(1 / np.sqrt(1 + ONGOING**2))


def planted_loadings(maps: NDArray) -> NDArray[np.float64]:
    """Correlation of every voxel with what the areas of each component do, when drift and motion are taken out.

    These are what loadings estimate. Unlike percent signal change they level off where a response is much larger than
    the noise.

    Parameters
    ----------
    maps : array, shape (x, y, z, c)
        As from `planted_maps`.

    Returns
    -------
    array, shape (x, y, z, c)
    """
    activity = maps * np.sqrt(1 + ONGOING**2)
    return np.asarray(activity / np.sqrt(np.sum(activity**2, axis=-1, keepdims=True) + NOISE_SD**2))


def motion_parameters(n: int, rng: Generator) -> NDArray[np.float64]:
    """Slow random walks of the head, its nodding with the breath, and one or two jerks.

    Parameters
    ----------
    n : int
        Volumes.
    rng : Generator

    Returns
    -------
    array, shape (n, 6)
        Columns MOTION_NAMES.
    """
    walk = np.cumsum(gaussian_filter1d(rng.standard_normal((n, 6)), 3, axis=0), axis=0)
    walk = (walk - walk[0]) / walk.std(axis=0) + BREATH * autocorrelated((6, n), 0.3, rng).T
    for volume in rng.integers(n // 10, n, rng.integers(1, 3)):
        since = np.arange(n) - volume
        # the head jumps and comes half the way back
        course = np.where(since >= 0, 0.5 + 0.5 * np.exp(-np.maximum(since, 0) / 3), 0)
        walk += course[:, None] * rng.normal(0, 1.5, 6)
    return walk * MOTION_SCALE


def motion_leak(head: Head, rng: Generator) -> NDArray[np.float64]:
    """Percent signal change per standard deviation of each motion parameter, shape (x, y, z, 6)."""
    weights = smooth(rng.standard_normal((*head.inside.shape, 6)), 20.0)
    return np.asarray(0.75 * head.edge[..., None] * weights)


def activity(responses: NDArray, rng: Generator) -> NDArray[np.float64]:
    """What the areas of each component do in one run: their response to the film, and their ongoing activity.

    Parameters
    ----------
    responses : array, shape (n, c)
        Planted time courses in standard deviations.
    rng : Generator

    Returns
    -------
    array, shape (n, c)
    """
    n, c = responses.shape
    return np.asarray(responses + autocorrelated((c, n), 0.5, rng).T * ONGOING)


def simulate_run(
    head: Head, maps: NDArray, areas: NDArray, leak: NDArray, motion: NDArray, rng: Generator
) -> NDArray[np.float64]:
    """BOLD intensities of one run.

    Parameters
    ----------
    head : Head
    maps : array, shape (x, y, z, c)
        As from `planted_maps`.
    areas : array, shape (n, c)
        As from `activity`.
    leak : array, shape (x, y, z, 6)
        As from `motion_leak`.
    motion : array, shape (n, 6)
        As from `motion_parameters`.
    rng : Generator

    Returns
    -------
    array, shape (x, y, z, n)
    """
    n = len(areas)
    percent = maps @ areas.T + leak @ (motion / MOTION_SCALE).T
    percent += NOISE_SD * smooth(autocorrelated((*head.inside.shape, n), NOISE_PHI, rng), NOISE_FWHM)
    percent += _drift(head.inside.shape, n, rng)
    # the scanner's own noise, which alone is left outside the head
    thermal = np.abs(rng.normal(0, 8, percent.shape))
    return np.where(head.inside[..., None], head.baseline[..., None] * (1 + percent / 100), thermal)


def autocorrelated(shape: tuple[int, ...], phi: float, rng: Generator) -> NDArray[np.float64]:
    """First-order autoregressive noise of unit variance along the last axis."""
    noise = rng.standard_normal(shape) * np.sqrt(1 - phi**2)
    noise[..., 0] /= np.sqrt(1 - phi**2)  # as if it had gone on for ever
    return np.asarray(lfilter([1.0], [1.0, -phi], noise, axis=-1))


def smooth(volumes: NDArray, fwhm: float) -> NDArray[np.float64]:
    """Volumes (x, y, z, n) smoothed to a width in millimetres and scaled back to unit variance."""
    sd = fwhm / np.sqrt(8 * np.log(2)) / RESOLUTION
    smoothed = gaussian_filter(volumes, (sd, sd, sd, 0), mode="wrap")
    return np.asarray(smoothed / smoothed.std())


def as_image(volumes: NDArray, affine: NDArray, t_r: float | None = None) -> Nifti1Image:
    """NIfTI image in MNI space; ``t_r`` in seconds for time series."""
    image = Nifti1Image(volumes.astype(np.float32), affine)
    image.header.set_xyzt_units("mm", "sec" if t_r else "unknown")
    image.header.set_sform(affine, code="mni")
    image.header.set_qform(affine, code="mni")
    if t_r:
        image.header.set_zooms((*image.header.get_zooms()[:3], t_r))
    return image


def _drift(shape: tuple[int, ...], n: int, rng: Generator) -> NDArray[np.float64]:
    """A trend and two slow waves, about a percent each, that differ smoothly over the brain; shape (x, y, z, n)."""
    course = np.linspace(-1, 1, n)
    courses = np.array([course, np.cos(np.pi * course), np.sin(np.pi * course)])
    return np.asarray(smooth(rng.standard_normal((*shape, 3)), 30.0) @ courses)
