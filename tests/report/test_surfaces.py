"""Loading maps on the cortex: drawn where the mesh is at hand, and told why not elsewhere."""

import base64
import copy
import io
from dataclasses import replace

import numpy as np
import pytest
from nilearn.datasets import load_fsaverage
from PIL import Image

from neurocca.report import figures
from neurocca.report.html import render, render_with_figures
from neurocca.report.record import ReportData
from tests.report.smaller import first_components


@pytest.fixture(scope="module")
def patch() -> tuple[np.ndarray, np.ndarray]:
    """Loadings around a place at the back of the left hemisphere; the first vertices are not analysed."""
    place = load_fsaverage("fsaverage5")["inflated"].parts["left"].coordinates
    away = np.linalg.norm(place - place[place[:, 1].argmin()], axis=1)
    left = (0.4 * np.exp(-((away / 40) ** 2))).astype(np.float32)
    left[:50] = 0
    return left, np.full(len(left), 1e-4, dtype=np.float32)


def pixels(uri: str) -> np.ndarray:
    head, content = uri.split(",", 1)
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB")).astype(int)


def redness(uri: str) -> np.ndarray:
    """Red minus blue in the four quarters of the brains, shape (2, 2): rows from outside, from the middle."""
    rgb = pixels(uri)
    brains = rgb[:, : int(0.86 * rgb.shape[1])]
    excess = (brains[..., 0] - brains[..., 2]).astype(float)
    return np.array([[half.mean() for half in np.array_split(row, 2, axis=1)] for row in np.array_split(excess, 2)])


def test_a_patch_shows_where_it_is_with_its_sign(patch):
    left, right = patch
    drawn = figures.surface_map(left, right)
    shown = redness(drawn)
    assert shown[:, 0].min() > 3 * np.abs(shown[:, 1]).max()
    # finer meshes begin with the vertices of the coarser, and NaN is as little analysed as 0
    finer = [np.concatenate([side, np.ones(40962 - len(side), np.float32)]) for side in patch]
    finer[0][:50] = np.nan
    assert figures.surface_map(*finer) == drawn
    turned = redness(figures.surface_map(-left, -right))
    np.testing.assert_allclose(turned[:, 0], -shown[:, 0], rtol=0.2)


@pytest.mark.parametrize(
    ("space", "n_vertices", "fits"),
    [
        ("fsaverage5", (10242, 10242), True),
        ("fsaverage", (163842, 163842), True),
        ("fsaverage5", (10242, 10241), False),
        ("fsaverage5", (97, 97), False),
        ("fsnative", (10242, 10242), False),
        ("fsLR", (32492, 32492), False),
        (None, (10242, 10242), False),
    ],
)
def test_only_meshes_at_hand_are_drawn(space, n_vertices, fits):
    assert figures.fits_mesh(space, n_vertices) is fits


def of_surface(parcels: ReportData, space: str, n_vertices: int, kind: str = "surface") -> ReportData:
    """The parcels' report as one of a surface: two components, to be quick."""
    d = copy.deepcopy(parcels.decomposition)
    d["Dataset"] |= {"Kind": kind, "Space": space}
    d["Components"] = d["Components"][:1]
    side = np.zeros((1, n_vertices), np.float32)
    side[:, 7] = 0.5
    return replace(parcels, decomposition=d, surfaces=(side, side) if kind == "surface" else None)


def test_the_page_shows_the_cortex(parcels):
    page, files = render_with_figures(of_surface(parcels, "fsaverage", 163842))
    assert "Where on the cortex" in page
    assert "every vertex that it shares with fsaverage" in page
    assert files["cca00Surface.png"].startswith(b"\x89PNG")
    assert "Not drawn on a surface" not in page
    assert "Which vertices" not in page


def test_the_page_says_why_there_is_no_cortex(parcels):
    parcels = first_components(parcels, 1)
    odd = render(of_surface(parcels, "fsaverage5", 97))
    assert "Not drawn on a surface: the hemispheres have 97 and 97 vertices, and fsaverage5 has others." in odd
    native = render(of_surface(parcels, "fsnative", 10242))
    assert "Not drawn on a surface: the mesh of space fsnative does not come with neurocca." in native
    assert "mesh of space fsLR" in render(of_surface(parcels, "fsLR", 10242, "grayordinates"))
    assert "Where on the cortex" not in odd + native
    assert "Not drawn" not in render(parcels)
