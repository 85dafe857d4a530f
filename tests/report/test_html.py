import re
import time
import tomllib
from collections import Counter
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from neurocca.report.html import render
from neurocca.report.index import failed_row, index_row, render_index
from neurocca.report.page import toml_text
from neurocca.report.wording import by_held_out, effect, number, p_value, shared_variance
from tests.report.smaller import first_components

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """Tags with attributes, and a complaint when they do not nest."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text = [], [], ""
        self.feed(text)
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data if self.open[-1:] != ["style"] else ""

    def all(self, name):
        return [attrs for tag, attrs in self.tags if tag == name]

    def values(self, attribute):
        return [attrs[attribute] for _, attrs in self.tags if attribute in attrs]


@pytest.fixture(scope="module")
def parcels_page(parcels):
    return render(parcels)


@pytest.fixture(scope="module")
def few_voxels(voxels):
    """Two components that were found, and one that was not."""
    return first_components(voxels, 3)


@pytest.fixture(scope="module")
def voxels_page(few_voxels):
    return render(few_voxels)


@pytest.fixture(scope="module", params=["parcels", "voxels"])
def case(request):
    text = request.getfixturevalue(f"{request.param}_page")
    data = request.getfixturevalue({"parcels": "parcels", "voxels": "few_voxels"}[request.param])
    return data, text, Page(text)


def test_page_needs_nothing_from_outside(case):
    _, text, page = case
    outside = [url for url in page.values("src") + page.values("href") if re.match(r"(?i)\s*(https?:|//|ftp:)", url)]
    assert outside
    assert all(url.startswith("https://doi.org/10.") for url in outside)
    assert not {"script", "link", "iframe", "object", "foreignObject"} & {tag for tag, _ in page.tags}
    assert not re.search(r"@import|url\((?!#)", text)
    assert not [key for _, attrs in page.tags for key in attrs if key.startswith("on")]


def test_ids_are_unique_and_references_resolve(case):
    _, text, page = case
    ids = page.values("id")
    assert [name for name, n in Counter(ids).items() if n > 1] == []
    targets = {url[1:] for url in page.values("href") if url.startswith("#")}
    targets |= set(re.findall(r"url\(#([^)]+)\)", text)) | set(page.values("aria-labelledby"))
    assert targets <= set(ids)


def test_every_figure_says_what_it_shows(case):
    data, _, page = case
    svgs, images = page.all("svg"), page.all("img")
    assert len(svgs) >= 5 * len(data.decomposition["Components"])
    assert all(svg["role"] == "img" and len(svg["aria-label"]) > 30 for svg in svgs)
    assert all(len(image["alt"]) > 30 and image["src"].startswith("data:image/png;base64,") for image in images)


def test_brains_for_voxels_and_bars_for_parcels(parcels_page, voxels_page):
    assert parcels_page.count("Which parcels") == 5
    # on the cortex only those that were found
    assert [voxels_page.count(f"Where {where}") for where in ("in the brain", "on the cortex")] == [3, 2]
    assert len(Page(voxels_page).all("img")) == 5


def test_parcels_whose_places_are_known_are_drawn_in_the_brain(changed, rng):
    text = render(first_components(changed(Centroids=rng.uniform(-60, 60, (273, 3)).tolist()), 2))
    images = Page(text).all("img")
    assert len(images) == 2
    assert all("every parcel as a disc on a glass brain" in image["alt"] for image in images)
    assert "Which parcels" in text


def test_page_is_small_and_quick(parcels):
    start = time.process_time()
    text = render(parcels)
    assert time.process_time() - start < 10
    assert len(text.encode()) < 2e6


def test_same_data_same_bytes(parcels, parcels_page):
    assert render(parcels) == parcels_page


def test_verdict_table_holds_all_values(case):
    data, text, _ = case
    table = text[text.index('aria-label="Verdict table"') :]
    rows = table[: table.index("</table>")].split("<tbody>")[1].split("</tr>")
    for row, c in zip(rows, by_held_out(data.decomposition["Components"]), strict=False):
        cells = [
            unescape(re.sub(r"<[^>]+>", "", cell)).strip() for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)
        ]
        r = c["HeldOutCorrelation"]
        held = [number(r), shared_variance(r), p_value(c["PValueHeldOut"])]
        sample = [number(c["InSampleCorrelation"]), p_value(c["PValueInSample"])]
        per_run = [number(r) for r in c["HeldOutCorrelationPerRun"].values()]
        found = "found" if c["PValueHeldOut"] < 0.05 else "not found"
        size = effect(r) if found == "found" else "–"
        assert cells == [c["Name"], found, size, *held, *sample, *per_run]


def test_only_found_components_are_open(case):
    data, _, page = case
    found = [c["PValueHeldOut"] < 0.05 for c in data.decomposition["Components"]]
    assert [("open" in attrs) for attrs in page.all("details")] == found == [True, True, *[False] * (len(found) - 2)]


def test_warnings_are_shown(case):
    data, _, page = case
    assert data.decomposition["Warnings"][0] in page.text


def test_simulated_data_say_so(parcels_page, voxels_page):
    simulated, measured = Page(voxels_page).text, Page(parcels_page).text
    assert "SIMULATED DATA" in simulated
    assert "Simulated (not measured) BOLD" in simulated
    assert "imulated" not in measured
    assert "Were the planted components recovered?" in simulated


def test_names_cannot_inject_html(parcels, changed):
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)> $x_1$ ]]> 漢"
    d = parcels.decomposition
    data = changed(
        Subject=evil,
        Task=evil,
        Dataset={"Name": evil, "Kind": "parcels"},
        FeatureSpaces={evil: 3},
        DroppedFeatures=[evil],
        DroppedResponses=[evil],
        Warnings=[evil],
        Command=evil,
        Config={"align": {"log": [evil]}},
        Inputs=[{"Path": evil, "SHA256": "0" * 64}],
        Software={evil: evil},
    )
    features = data.feature_loadings.copy()
    features["feature"] = evil + features["feature"]
    features["space"] = evil
    page = Page(render(first_components(replace(data, feature_loadings=features), 1)))
    assert not page.all("script")
    assert not page.all("img")
    assert page.text.count("alert(1)") > 10
    assert d["Subject"] == "01"


def test_component_names_cannot_inject_html(parcels, changed):
    evil = "<b id='x'>cca</b>"
    tables = {
        name: getattr(parcels, name).rename(columns={"cca_00": evil})
        for name in (
            *("bold_variates", "stimulus_variates", "held_out_bold", "held_out_stimulus"),
            *("null", "held_out_null", "feature_loadings"),
        )
    }
    parts = [{**c, "Name": evil if c["Name"] == "cca_00" else c["Name"]} for c in parcels.decomposition["Components"]]
    responses = parcels.response_loadings.rename(columns={"cca_00": evil})
    record = {**parcels.decomposition, "Components": parts}
    page = Page(
        render(first_components(replace(parcels, decomposition=record, response_loadings=responses, **tables), 2))
    )
    assert "x" not in page.values("id")
    assert evil in page.text


def test_a_single_untested_component_of_a_single_run(parcels):
    run = {**parcels.decomposition["Runs"][0], "VarianceRemoved": None}
    untested = {
        "Name": "cca_00",
        "InSampleCorrelation": 0.5,
        "HeldOutCorrelation": None,
        "HeldOutCorrelationPerRun": {},
        "PValueInSample": 0.01,
        "PValueHeldOut": float("nan"),
    }
    fixed = {"GridFeatures": [0.1], "GridBOLD": [0.3], "Score": [[0.2]], "PerFold": []}
    shrinkage = {**parcels.decomposition["Shrinkage"], **fixed}
    record = {**parcels.decomposition, "Runs": [run], "Components": [untested], "Shrinkage": shrinkage}
    n = run["Kept"]
    data = replace(
        parcels,
        decomposition=record,
        bold_variates=parcels.bold_variates[:n],
        stimulus_variates=parcels.stimulus_variates[:n],
        held_out_bold=parcels.held_out_bold[:n],
        held_out_stimulus=parcels.held_out_stimulus[:n],
        held_out_null=parcels.held_out_null[:0],
    )
    page = Page(render(data))
    assert "No shared component was found" in page.text
    assert "could not be tested" in page.text
    assert "The shrinkage was fixed" in page.text


def test_none_found(changed, parcels):
    parts = [{**c, "PValueHeldOut": 0.4 + i / 10} for i, c in enumerate(parcels.decomposition["Components"])]
    page = Page(render(first_components(changed(Components=parts), 2)))
    assert "none of 2 components correlated beyond chance (smallest p = 0.400)" in page.text
    assert not [attrs for attrs in page.all("details") if "open" in attrs]


def test_in_sample_figure_is_on_the_scale_of_correlations(parcels, parcels_page):
    null = parcels.null.copy()
    null["cca_00"] *= 15.57 / 0.8
    scaled = render(first_components(replace(parcels, null=null), 1))
    (shown,) = re.findall(r"in-sample r: (observed 0\.80; 1000 permutations lie [^\"]*)", parcels_page)
    assert f"in-sample r (scaled to it): {shown}" in scaled


def test_time_courses_are_those_of_unseen_runs(parcels):
    agreeing = replace(parcels, held_out_bold=parcels.held_out_stimulus)
    assert render(first_components(agreeing, 2)).count("here r = 1.00)") == 2
    in_sample = replace(parcels, bold_variates=parcels.stimulus_variates)
    assert "here r = 1.00)" not in render(first_components(in_sample, 2))


def test_basis_functions_are_named(voxels):
    plain = voxels.feature_loadings
    tables = [
        plain.assign(delay=variant, cca_00=plain["cca_00"] * gain) for variant, gain in (("", 1), ("derivative", 0.2))
    ]
    loadings = pd.concat(tables, ignore_index=True)
    page = render(first_components(replace(voxels, maps=None, feature_loadings=loadings), 1))
    assert "part of the response" in page
    assert ">derivative<" in page
    assert ">response<" in page


def test_tables_that_do_not_belong_together_are_refused(parcels, voxels):
    with pytest.raises(ValueError, match="bold_variates has 3542 rows, but the runs kept 3543 volumes"):
        replace(parcels, bold_variates=parcels.bold_variates[1:])
    with pytest.raises(ValueError, match="stimulus_variates has no column cca_03"):
        replace(parcels, stimulus_variates=parcels.stimulus_variates.drop(columns="cca_03"))
    with pytest.raises(ValueError, match="do not hold one volume for each of 5"):
        replace(voxels, maps=voxels.maps.slicer[..., :4])


def test_config_reads_as_toml(parcels_page):
    config = {"a": 1, "fit": {"deep": {"k": "ü"}, "grid": [0.1, 0.3], "name": 'x"y', "on": True, "none": None}}
    expected = {"a": 1, "fit": {"grid": [0.1, 0.3], "name": 'x"y', "on": True, "deep": {"k": "ü"}}}
    assert tomllib.loads(toml_text(config)) == expected
    assert "n_permutations = 1000" in parcels_page


def test_index_lists_subjects_in_order(parcels):
    rows = [index_row({**parcels.decomposition, "Subject": s}) for s in ("10", "02", "<i>")]
    text = render_index(rows)
    page = Page(text)
    assert [a["href"] for a in page.all("a")] == ["sub-02.html", "sub-10.html", "sub-<i>.html"]
    assert not page.all("i")
    assert page.text.count("2 of 5") == 3
    assert "Mean of the largest held-out r: 0.57" in page.text
    assert render_index(rows[::-1]) == text


def test_index_names_damaged_results_and_missing_reports(parcels):
    rows = [
        index_row(parcels.decomposition, is_drawn=False),
        failed_row("02", "avmovie", "", "damaged results: <not> valid JSON"),
        index_row({**parcels.decomposition, "Subject": "03"}),
    ]
    page = Page(render_index(rows))
    assert [a["href"] for a in page.all("a")] == ["sub-03.html"]
    assert "Errors" in page.text
    assert "sub-02, task avmovie: damaged results: <not> valid JSON" in page.text
    assert "its report is missing" in page.text
    assert "cca_00 0.57, cca_01 0.24" in " ".join(page.values("aria-label"))


def test_index_marks_simulated_subjects_and_survives_none(voxels):
    assert "SIMULATED DATA" in render_index([index_row(voxels.decomposition)])
    assert "No participant has been analysed yet" in Page(render_index([])).text


def test_reports_do_not_change_their_data(parcels):
    before = parcels.bold_variates.copy(), repr(parcels.decomposition)
    render(first_components(parcels, 2))
    pd.testing.assert_frame_equal(parcels.bold_variates, before[0])
    assert repr(parcels.decomposition) == before[1]
    assert np.isfinite(parcels.null.to_numpy()).all()


def test_the_strongest_peaks_are_in_the_page(voxels):
    rows = [
        ("cca_00", "1", 12.0, -60.0, 3.0, 0.41, 5400.0, "Cuneus_R"),
        ("cca_00", "1a", 15.0, -70.0, 3.0, 0.40, np.nan, "Hidden"),
        ("cca_00", "2", -45.0, 20.0, 9.0, -0.52, 270.0, np.nan),
        ("cca_01", "1", 0.0, 0.0, 0.0, 0.2, 27.0, "Vermis"),
    ]
    columns = ["component", "cluster", "x", "y", "z", "value", "volume", "label"]
    peaks = pd.DataFrame(rows, columns=columns)
    voxels = first_components(replace(voxels, maps=None), 2)  # maps take seconds each
    text = render(replace(voxels, peaks=peaks))
    tables = re.findall(r'aria-label="Peaks of (cca_0\d)">(.*?)</table>', text, re.DOTALL)
    assert [name for name, _ in tables] == ["cca_00", "cca_01"]
    cells = re.findall(r"<td[^>]*>(.*?)</td>", tables[0][1])
    assert cells == ["0.41", "12", "−60", "3", "5.40", "Cuneus_R", "−0.52", "−45", "20", "9", "0.27", "–"]
    assert "Hidden" not in text
    voxels = first_components(voxels, 1)
    unnamed = render(replace(voxels, peaks=peaks[peaks["component"] == "cca_00"].drop(columns="label")))
    assert '<th scope="col" class="left">parcel</th>' not in unnamed
    assert "Peaks of the map" not in render(voxels)
