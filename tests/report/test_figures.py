import base64
import io
import re
import xml.etree.ElementTree as ET

import matplotlib as mpl
import nibabel
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from neurocca.report import figures
from neurocca.report.figures.brains import map_range
from neurocca.report.figures.canvas import NEGATIVE, POSITIVE, shorten, signed_map_colour
from neurocca.report.figures.features import strongest
from neurocca.report.figures.series import _running_mean, _typical_window
from neurocca.report.wording import number

SVG = "{http://www.w3.org/2000/svg}"


def fills(svg):
    """Fill colours of all shapes, and the text that follows each of them."""
    return re.findall(r"fill: (#[0-9a-f]{6})", svg)


def texts(svg):
    return ["".join(t.itertext()) for t in ET.fromstring(svg).iter(f"{SVG}text")]


def channels(colour):
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


@pytest.fixture
def drawn(parcels):
    """One of each figure."""
    d = parcels.decomposition
    null = parcels.held_out_null["cca_00"].to_numpy()[1:]
    per_run = d["Components"][0]["HeldOutCorrelationPerRun"]
    sides = parcels.stimulus_variates["cca_00"].to_numpy(), parcels.bold_variates["cca_00"].to_numpy()
    grid = d["Shrinkage"]["GridBOLD"]
    return {
        "null": figures.null_histogram(null, 0.57, p=0.001, title="Held-out", label="held-out r", name="a"),
        "runs": figures.held_out_per_run(per_run, 0.57, 0.06, name="a"),
        "overview": figures.held_out_overview(d["Components"], 0.06, name="a"),
        "series": figures.time_courses(*sides, runs=d["Runs"], t_r=2.0, name="a"),
        "features": figures.feature_loadings(parcels.feature_loadings, "cca_00", t_r=2.0, name="a"),
        "parcels": figures.parcel_loadings(parcels.response_loadings, "cca_00", name="a"),
        "shrinkage": figures.shrinkage_curve(
            np.array(d["Shrinkage"]["Score"]), grid, grid, chosen=(0.1, 0.3), name="a"
        ),
    }


def test_figures_are_inline_svg(drawn):
    for name, svg in drawn.items():
        root = ET.fromstring(svg)
        assert root.tag == f"{SVG}svg", name
        assert svg.startswith("<svg")
        assert root.attrib["role"] == "img"
        assert len(root.attrib["aria-label"]) > 30
        assert not list(root.iter(f"{SVG}style"))
        assert "xlink" not in svg
        assert all(element.attrib["id"].startswith("a-") for element in root.iter() if "id" in element.attrib)
        sizes = [float(s) for s in re.findall(r"font(?:-size)?: ?(?:\w+ )*([\d.]+)px", svg)]
        assert sizes
        assert min(sizes) >= 9


def test_nothing_is_written_outside_the_figure(drawn):
    for name, svg in drawn.items():
        root = ET.fromstring(svg)
        width, height = (float(v) for v in root.attrib["viewBox"].split()[2:])
        for text in root.iter(f"{SVG}text"):
            assert 0 <= float(text.attrib["x"]) <= width, (name, text.text)
            assert 0 <= float(text.attrib["y"]) <= height, (name, text.text)


def test_drawing_leaves_matplotlib_as_it_was(parcels):
    before = dict(mpl.rcParams)
    figures.parcel_loadings(parcels.response_loadings, "cca_00", name="a")
    assert dict(mpl.rcParams) == before


def test_style_of_the_user_does_not_show(parcels):
    expected = figures.parcel_loadings(parcels.response_loadings, "cca_00", name="a")
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "black", "svg.fonttype": "path"}):
        assert figures.parcel_loadings(parcels.response_loadings, "cca_00", name="a") == expected


def test_red_is_positive_and_blue_negative():
    warm, cold = signed_map_colour(0.4, 0.5), signed_map_colour(-0.4, 0.5)
    assert warm[0] > warm[2]
    assert cold[2] > cold[0]
    assert np.ptp(signed_map_colour(0.0, 0.5)[:3]) < 0.02
    assert channels(POSITIVE)[0] > channels(POSITIVE)[2]
    assert channels(NEGATIVE)[2] > channels(NEGATIVE)[0]


@pytest.mark.parametrize("sign", [1, -1])
def test_colours_of_features_follow_the_sign(sign):
    table = pd.DataFrame({"space": "s", "feature": ["f", "f"], "delay": [1, 2], "c": [0.6 * sign, 0.3 * sign]})
    svg = figures.feature_loadings(table, "c", t_r=2.0, name="a")
    strong, weak = [channels(c) for c in fills(svg) if np.ptp(channels(c)) > 40][:2]
    assert np.sign(strong[0] - strong[2]) == np.sign(weak[0] - weak[2]) == sign
    assert sum(strong) < sum(weak)
    assert {"2 s", "4 s", "s", "f"} <= set(texts(svg))


def test_features_without_delays_are_bars():
    table = pd.DataFrame({"space": ["s", "s"], "feature": ["up", "down"], "delay": np.nan, "c": [0.5, -0.4]})
    svg = figures.feature_loadings(table, "c", t_r=2.0, name="a")
    assert {POSITIVE, NEGATIVE} <= set(fills(svg))
    assert {"0.50", "−0.40"} <= set(texts(svg))


def test_colours_of_two_components_are_on_one_scale_that_is_shown():
    rows = [("a", "x", delay, 0.8, 0.2) for delay in (1, 2)]
    table = pd.DataFrame(rows, columns=["space", "feature", "delay", "first", "second"])
    own, common = (figures.feature_loadings(table, "second", t_r=2.0, name="a", limit=limit) for limit in (None, 0.8))
    colours = {
        value: mpl.colors.to_hex(signed_map_colour(0.2, limit)) for value, limit in (("own", 0.2), ("common", 0.8))
    }
    assert f"fill: {colours['own']}; stroke: #ffffff" in own
    assert f"fill: {colours['common']}; stroke: #ffffff" in common
    assert [text in common for text in ("−0.80", "0.80", "loading (r)")] == [True] * 3


def test_few_features_fill_the_height_that_is_asked_for_and_do_not_look_empty(parcels):
    table = parcels.feature_loadings

    def height(n, asked):
        svg = figures.feature_loadings(table, "cca_00", t_r=2.0, name="a", n_top=n, height=asked)
        return float(ET.fromstring(svg).attrib["height"])

    assert height(8, 350) == pytest.approx(350)
    assert height(3, 350) < 350
    assert height(20, 350) > 350


def test_strongest_features_are_grouped_by_space():
    table = pd.DataFrame(
        {"space": list("aabbc"), "feature": list("vwxyz"), "delay": np.nan, "c": [0.1, -0.9, 0.5, 0.3, 0.05]}
    )
    shown = strongest(table, "c", 2.0, n_top=4)
    assert shown.names == [("a", "w"), ("a", "v"), ("b", "x"), ("b", "y")]
    np.testing.assert_array_equal(shown.loadings[:, 0], [-0.9, 0.1, 0.5, 0.3])


def test_parcels_of_one_sign_only():
    table = pd.DataFrame({"parcel": ["x", "y"], "c": [0.2, 0.4]})
    svg = figures.parcel_loadings(table, "c", name="a")
    shown = texts(svg)
    assert shown.index("y") < shown.index("x")
    assert "none" in shown
    assert "smallest in none" in ET.fromstring(svg).attrib["aria-label"]


def test_all_loadings_zero():
    features = pd.DataFrame({"space": ["s"], "feature": ["f"], "delay": [1], "c": [0.0]})
    assert "<svg" in figures.feature_loadings(features, "c", t_r=2.0, name="a")
    assert "<svg" in figures.parcel_loadings(pd.DataFrame({"parcel": [1], "c": [0.0]}), "c", name="a")


def test_dollars_are_not_mathematics():
    table = pd.DataFrame({"space": ["$s$"], "feature": ["a$b$c_1"], "delay": [np.nan], "c": [0.3]})
    assert {"$s$", "a$b$c_1"} <= set(texts(figures.feature_loadings(table, "c", t_r=2.0, name="a")))


def test_long_names_keep_their_ends():
    assert shorten("brightness_of_the_left_upper_quadrant_017", 22) == "brightness_of_…ant_017"
    assert len(shorten("x" * 99, 22)) == 22
    assert shorten("short", 22) == "short"


def test_null_histogram_of_a_constant_null():
    assert "observed 0.00" in figures.null_histogram(np.zeros(20), 0.0, p=1.0, title="t", label="r", name="a")


def test_chosen_shrinkage_is_framed_once():
    svg = figures.shrinkage_curve(np.eye(2), [0.1, 0.5], [0.2, 0.6], chosen=(0.5, 0.2), name="a")
    assert svg.count(f"stroke: {POSITIVE}") == 1
    assert "chosen: features 0.5, BOLD 0.2" in svg


def test_typical_window_has_the_median_correlation_and_stays_inside_a_run():
    rng = np.random.default_rng(0)
    film, brain = rng.normal(size=(2, 500))
    run, start, length, r = _typical_window(film, brain, np.array([0, 230, 500]), 100)
    bounds = [(0, 230), (230, 500)][run]
    assert bounds[0] <= start
    assert start + length <= bounds[1]
    assert length == 100
    assert r == pytest.approx(np.corrcoef(film[start : start + 100], brain[start : start + 100])[0, 1])
    starts = [*range(0, 131, 20), *range(230, 401, 20)]
    every = sorted(np.corrcoef(film[s : s + 100], brain[s : s + 100])[0, 1] for s in starts)
    assert r == pytest.approx(every[len(every) // 2])


def test_runs_shorter_than_the_window():
    rng = np.random.default_rng(0)
    runs = [{"Run": "1", "Kept": 30, "FirstKept": 4}, {"Run": "2", "Kept": 20, "FirstKept": 0}]
    svg = figures.time_courses(*rng.normal(size=(2, 50)), runs=runs, t_r=2.0, name="a")
    assert "variates of 2 runs" in ET.fromstring(svg).attrib["aria-label"]


def test_time_courses_do_not_depend_on_the_scale_of_a_run(rng):
    film, brain = rng.normal(size=(2, 300))
    runs = [{"Run": run, "Kept": 100, "FirstKept": 0} for run in "123"]
    scale = np.repeat([1.0, 40.0, 0.1], 100)
    plain, scaled = (figures.time_courses(film, brain * s, runs=runs, t_r=2.0, name="a") for s in (1.0, scale))
    assert plain == scaled


def test_cuts_of_the_film_are_ticks_where_they_lie_in_the_window(rng):
    film, brain = rng.normal(size=(2, 150))
    runs = [{"Run": "1", "Kept": 150, "FirstKept": 0, "Cuts": [4.0, 100.0, 5000.0]}]
    plain = figures.time_courses(film, brain, runs=[{**runs[0], "Cuts": []}], t_r=2.0, name="a")
    ticked = figures.time_courses(film, brain, runs=runs, t_r=2.0, name="a")
    assert "ticks: cuts of the film" in ticked
    assert "ticks" not in plain
    assert ticked.count("<path") == plain.count("<path") + 2  # the third lies beyond the run


def test_a_spike_is_cut_off_and_marked_and_leaves_the_rest_as_high_as_it_was(rng):
    runs = [{"Run": "1", "Kept": 150, "FirstKept": 0}]
    film, brain = rng.normal(size=(2, 150))
    brain[70] = 30.0
    svg = figures.time_courses(film, brain, runs=runs, t_r=2.0, name="a")
    largest = float(np.abs((brain - brain.mean()) / brain.std()).max())
    assert f"Spikes of up to |z| = {number(largest, 1)} are cut off." in svg
    assert "triangles: cut off" in svg
    tame = figures.time_courses(film, np.clip(brain, -3, 3), runs=runs, t_r=2.0, name="a")
    assert "cut off" not in tame


def test_running_mean_of_a_constant_is_the_constant():
    np.testing.assert_allclose(_running_mean(np.full(40, 3.0), 15), 3.0)
    np.testing.assert_allclose(_running_mean(np.arange(5.0), 3), [0.5, 1, 2, 3, 3.5])


def pixels(uri):
    data = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def test_brain_map_shows_the_sign_in_symmetric_limits(voxels):
    image = voxels.maps.slicer[..., 0]
    rgb = pixels(figures.brain_map(image))
    assert rgb.shape == (940, 940, 3)
    opposite = pixels(figures.brain_map(type(image)(-image.get_fdata(), image.affine)))

    def warm(a):
        return int((a[..., 0] - a[..., 2] > 90)[:, :800].sum())  # without the colour scale

    def cold(a):
        return int((a[..., 2] - a[..., 0] > 90)[:, :800].sum())

    # two positive blobs and a weaker negative one
    assert warm(rgb) > 1.5 * cold(rgb) > 0
    assert cold(opposite) > 1.5 * warm(opposite) > 0
    assert tuple(rgb[2, 2]) == (255, 255, 255)


def test_brain_map_is_byte_stable(voxels):
    image = voxels.maps.slicer[..., 1]
    assert figures.brain_map(image) == figures.brain_map(image)


def test_voxels_outside_may_be_nan(voxels):
    image = voxels.maps.slicer[..., 0]
    data = image.get_fdata()
    with_nan = type(image)(np.where(data == 0, np.nan, data), image.affine)
    assert figures.brain_map(with_nan) == figures.brain_map(image)


def test_map_of_zeros_can_be_drawn(voxels):
    image = type(voxels.maps)(np.zeros(voxels.maps.shape[:3], np.float32), voxels.maps.affine)
    assert map_range(image) == (1.0, 0.0)
    assert figures.brain_map(image).startswith("data:image/png;base64,")


def test_profiles_of_surfaces_show_the_largest_of_every_pixel(rng):
    values = rng.normal(0, 0.1, 20_000)
    values[[7, 12_345]] = 0.9, -0.8
    table = pd.DataFrame({"parcel": [f"L_{i}" for i in range(20_000)], "cca_00": values})
    svg = figures.parcel_loadings(table, "cca_00", nouns="vertices", name="a")
    assert len(svg) < 200_000
    assert "largest in vertices L_7 (0.90)" in svg
    assert "all 20000 vertices, in the order of the table" in svg
    shown = figures.parcels._outline(values, 1), figures.parcels._outline(values, -1)
    assert 7 in shown[0]
    assert 12_345 in shown[1]


def test_maps_outside_of_the_standard_space_are_drawn_where_they_lie(rng):
    data = np.zeros((8, 9, 7), dtype=np.float32)
    data[2:6, 2:7, 1:6] = rng.normal(0, 0.2, (4, 5, 5))
    image = nibabel.Nifti1Image(data, np.diag([3, 3, 3, 1.0]))
    assert figures.brain_map(image, standard=False).startswith("data:image/png")
    cuts = figures.brains._cuts(image, standard=True)
    assert [len(places) for places in cuts.values()] == [4, 4, 4]
    assert all(6 < mm < 15 for mm in cuts["x"])
