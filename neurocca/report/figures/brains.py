"""Loading maps on a brain."""

import base64
import io
import warnings
from functools import cache

import nibabel
import nibabel.affines
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from nilearn import plotting
from nilearn.datasets import load_mni152_template
from PIL import Image

from neurocca.report.figures.canvas import INK, PX, SIGNED_MAP, house_style

SCALE = 2
"""Pixels of the picture per pixel on screen, for sharp displays and print."""

SHARE_SHOWN = 0.05
"""Share of voxels, by absolute loading, that the glass brain shows."""

_SLICES = {"x": (-52, -8, 8, 52), "y": (-84, -58, -20, 22), "z": (-14, 4, 24, 48)}
"""Ortho slices (mm, MNI): sagittal, coronal and axial, four of each, past the temporal, medial and occipital areas."""


_RIGHT = 0.88
"""Share of the width for the brains; the colour scale is beside them."""


def brain_map(image: nibabel.Nifti1Image, *, standard: bool = True, width: int = 470, height: int = 470) -> str:
    """Glass brain and ortho slices of one loading map, as a PNG data-URI.

    Limits are symmetric about zero. The glass brain shows the strongest 5 % of the voxels; in the slices weaker
    loadings fade, but stay visible.

    Parameters
    ----------
    image : Nifti1Image, 3D
        Loadings; voxels outside the mask are zero.
    standard : bool
        Whether the map is in MNI space. The template and the glass brain go with that space alone: others are drawn
        without them.
    width, height : int
        Size on the page in pixels.
    """
    image = nibabel.Nifti1Image(np.nan_to_num(image.get_fdata(dtype=np.float32)), image.affine)
    limit, threshold = map_range(image)
    tall = 0.245 if standard else 0.33
    with house_style(), warnings.catch_warnings():
        # slices beyond the mask, and maps of zeros, are drawn empty
        warnings.filterwarnings("ignore", message="empty mask", category=UserWarning)
        # those of a region that is one voxel thin coincide
        warnings.filterwarnings("ignore", message="Dropping duplicates cuts", category=UserWarning)
        fig = Figure(figsize=(width / PX, height / PX), dpi=PX * SCALE, facecolor="white")
        if standard:
            plotting.plot_glass_brain(
                image, figure=fig, axes=(0, 0.74, _RIGHT, 0.26), display_mode="lyrz", cmap=SIGNED_MAP,
                vmin=-limit, vmax=limit, threshold=threshold, plot_abs=False, colorbar=False, symmetric_cbar=True,
            )  # fmt: skip
        # opaque from the threshold on; a map of zeros has no such range
        fading = nibabel.Nifti1Image(np.abs(image.get_fdata(dtype=np.float32)), image.affine) if threshold else None
        for row, (direction, cuts) in enumerate(_cuts(image, standard).items()):
            slices = plotting.plot_stat_map(
                image, bg_img=_background() if standard else None, figure=fig, display_mode=direction,
                axes=(0, tall * (2 - row), _RIGHT, tall - 0.005),
                cut_coords=list(cuts), cmap=SIGNED_MAP, vmin=-limit, vmax=limit, transparency=fading, threshold=1e-9,
                transparency_range=[0, threshold] if threshold else None, colorbar=False, annotate=False,
                black_bg=False, draw_cross=False,
            )  # fmt: skip
            slices.annotate(left_right=False, positions=True, size=10)
        colour_scale(fig, limit)
        return png_uri(fig)


def _cuts(image: nibabel.Nifti1Image, standard: bool) -> dict[str, tuple[float, ...]]:
    """Slices in mm by direction: the usual ones where the map covers them, else four through what it covers."""
    voxels = np.argwhere(image.get_fdata(dtype=np.float32))
    if not len(voxels):
        voxels = np.argwhere(np.ones(image.shape))
    places = nibabel.affines.apply_affine(image.affine, voxels)
    low, high = places.min(axis=0), places.max(axis=0)
    found = {}
    for axis, (direction, usual) in enumerate(_SLICES.items()):
        covered = standard and low[axis] <= min(usual) and max(usual) <= high[axis]
        inside = np.linspace(low[axis], high[axis], len(usual) + 2)[1:-1]
        found[direction] = usual if covered else tuple(float(mm) for mm in inside)
    return found


@cache
def _background() -> nibabel.Nifti1Image:
    """The template behind slices, as a plain image: nilearn's own sentinel is prepared anew for every overlay."""
    return load_mni152_template(resolution=2)


def map_range(image: nibabel.Nifti1Image) -> tuple[float, float]:
    """Limit of the colours and threshold of the glass brain, both absolute loadings."""
    size = np.abs(image.get_fdata(dtype=np.float32))
    inside = size[np.isfinite(size) & (size > 0)]
    if not inside.size:
        return 1.0, 0.0
    return float(inside.max()), float(np.quantile(inside, 1 - SHARE_SHOWN))


def colour_scale(fig: Figure, limit: float) -> None:
    """Draw the colours from -limit to limit at the right of a figure."""
    ax = fig.add_axes((0.905, 0.2, 0.02, 0.5))
    ramp = np.linspace(-1, 1, 256)[:, None]
    ax.imshow(ramp, cmap=SIGNED_MAP, aspect="auto", origin="lower", extent=(0, 1, -limit, limit))
    ax.set_xticks([])
    ax.set_yticks([-limit, 0, limit], [f"−{limit:.2f}", "0", f"{limit:.2f}"], color=INK)
    ax.yaxis.tick_right()
    ax.tick_params(length=0, pad=2)
    ax.spines[:].set_visible(False)
    ax.set_title("loading", fontsize=10, pad=8)


def png_uri(fig: Figure) -> str:
    """Data-URI of a figure on white, with a palette of 256 colours: a third of the size, and none visibly different."""
    canvas = FigureCanvasAgg(fig)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    small = picture.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    small.save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
