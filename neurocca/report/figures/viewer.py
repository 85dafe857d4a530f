"""A map to look around in: a page of its own, which is opened on demand."""

import re
import warnings

import nibabel
import numpy as np
from nilearn import plotting

from neurocca.report.figures.brains import map_range
from neurocca.report.figures.canvas import SIGNED_MAP

_POLICY = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'\">"
)
"""Nothing from outside, whatever the page says."""


def interactive_viewer(image: nibabel.Nifti1Image, *, title: str) -> str:
    """Ortho slices that follow the pointer, as a whole HTML document that needs no network.

    Parameters
    ----------
    image : Nifti1Image, 3D
        Loadings in MNI space; voxels outside the mask are zero.
    title : str
    """
    image = nibabel.Nifti1Image(np.nan_to_num(image.get_fdata(dtype=np.float32)), image.affine)
    limit, threshold = map_range(image)
    with warnings.catch_warnings():
        # nilearn takes percentiles of masked arrays
        warnings.filterwarnings("ignore", message=".*'partition' will ignore the 'mask'", category=UserWarning)
        view = plotting.view_img(
            image, cmap=SIGNED_MAP, vmax=limit, threshold=threshold or 1e-9, symmetric_cmap=True, title=title,
            opacity=0.9,
        )  # fmt: skip
        page = view.get_standalone()
    return _offline(page)


def _offline(page: str) -> str:
    """The page without its icon, which is on the network; with ids that are the same each time; and kept to itself."""
    page = re.sub(r'<link rel="icon"[^>]*>', _POLICY, page, count=1)
    return re.sub(r"(?<=-)[0-9a-f]{32}\b", "map", page)
