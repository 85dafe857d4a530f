"""Loading maps on the inflated cortex, where a mesh is at hand."""

import warnings
from collections.abc import Sequence
from functools import cache
from typing import Any

import nibabel
import numpy as np
from matplotlib.figure import Figure
from nilearn import plotting
from nilearn.datasets import load_fsaverage, load_fsaverage_data
from nilearn.surface import vol_to_surf
from numpy.typing import ArrayLike, NDArray

from neurocca.report.figures.brains import SCALE, colour_scale, png_uri
from neurocca.report.figures.canvas import MUTED, PX, SIGNED_MAP, house_style

MESH = "fsaverage5"
"""The one mesh that comes with nilearn."""

VERTICES = 10242
"""Of each hemisphere of that mesh. Finer meshes of the family begin with the same vertices."""

FAMILY = (VERTICES, 40962, 163842)
"""Vertices of each hemisphere of fsaverage5, fsaverage6 and fsaverage."""

_VIEWS = (("left", "lateral"), ("right", "lateral"), ("left", "medial"), ("right", "medial"))


def fits_mesh(space: str | None, n_vertices: Sequence[int]) -> bool:
    """Whether maps can be drawn on the mesh: by the name of their space and their vertices in each hemisphere."""
    return str(space).startswith("fsaverage") and len(set(n_vertices)) == 1 and n_vertices[0] in FAMILY


def surface_map(left: ArrayLike, right: ArrayLike, *, width: int = 470, height: int = 360) -> str:
    """Both hemispheres from outside and from the middle, as a PNG data-URI.

    Limits are symmetric about zero. Vertices that were not analysed show the folding of the cortex alone.

    Parameters
    ----------
    left, right : array, shape (n_vertices,)
        Loadings on a mesh of the fsaverage family; of finer ones than fsaverage5 its vertices are shown. 0 or NaN where
        nothing was analysed.
    width, height : int
        Size on the page in pixels.
    """
    sides = dict(zip(("left", "right"), (_shown(left), _shown(right)), strict=True))
    limit = float(max(np.nanmax(np.abs(side), initial=0.0) for side in sides.values())) or 1.0
    meshes, folding = _cortex()
    with house_style():
        fig = Figure(figsize=(width / PX, height / PX), dpi=PX * SCALE, facecolor="white")
        for place, (hemi, view) in enumerate(_VIEWS):
            row, column = divmod(place, 2)
            # larger than its share of the figure: three-dimensional axes leave wide margins
            ax = fig.add_axes((0.44 * column - 0.06, 0.47 * (1 - row) - 0.09, 0.56, 0.65), projection="3d")
            ax.patch.set_visible(False)
            plotting.plot_surf_stat_map(
                meshes[hemi], sides[hemi], bg_map=folding[hemi], hemi=hemi, view=view, figure=fig, axes=ax,
                cmap=SIGNED_MAP, vmin=-limit, vmax=limit, threshold=1e-9, bg_on_data=True, colorbar=False,
                engine="matplotlib",
            )  # fmt: skip
            if row == 0:
                fig.text(0.44 * column + 0.22, 0.955, hemi, ha="center", color=MUTED)
        colour_scale(fig, limit)
        return png_uri(fig)


def projected(image: nibabel.Nifti1Image) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """A map in MNI space on both hemispheres of fsaverage5, sampled between white matter and pial surface.

    Returns
    -------
    pair of arrays, each of shape (VERTICES,), or None
        None where the map holds less than a tenth of the cortex: next to nothing would be seen.
    """
    inner, outer = _mesh("white_matter"), _mesh("pial")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)  # vertices outside the volume
        left, right = (
            np.nan_to_num(np.asarray(vol_to_surf(image, outer[hemi], inner_mesh=inner[hemi]), dtype=float).ravel())
            for hemi in ("left", "right")
        )
    return None if np.mean(np.r_[left, right] != 0) < 0.1 else (left, right)


def _shown(values: ArrayLike) -> NDArray[np.float64]:
    return np.nan_to_num(np.asarray(values, dtype=float)[:VERTICES])


@cache
def _cortex() -> tuple[dict[str, Any], dict[str, Any]]:
    """Inflated meshes and how the cortex is folded, by hemisphere."""
    folding = load_fsaverage_data(mesh=MESH, data_type="sulcal").data.parts
    return _mesh("inflated"), folding


@cache
def _mesh(which: str) -> dict[str, Any]:
    """A mesh of both hemispheres, whose files are parsed once."""
    return dict(load_fsaverage(MESH)[which].parts)
