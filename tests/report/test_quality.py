import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from neurocca.report import figures
from neurocca.report.html import render
from neurocca.report.quality import bars, unusual
from tests.report.smaller import first_components

RUN = {"VarianceRemoved": 0.2, "Autocorrelation": 0.4, "MaxAbsZ": 5.0, "MeanDisplacement": None}


@pytest.fixture
def volumes(parcels, rng) -> pd.DataFrame:
    kept = {run["Run"]: run["Kept"] for run in parcels.decomposition["Runs"]}
    n = sum(kept.values())
    table = pd.DataFrame({"run": np.repeat(list(kept), list(kept.values()))})
    table = table.assign(censored=0, framewise_displacement=0.1, dvars=1.0, global_signal=0.0)
    table.loc[100, ["framewise_displacement", "dvars", "censored"]] = [1.7, 4.2, 1]
    return pd.concat([table, pd.DataFrame(rng.standard_normal((n, 9)).round(1)).add_prefix("group_0")], axis=1)


def test_what_is_beyond_a_limit_is_marked_and_said():
    runs = [
        {"Run": "1", **RUN},
        {"Run": "2", **RUN, "MaxAbsZ": 9.9},
        {"Run": "3", **RUN, "MaxAbsZ": 6.1, "TemporalSNR": 12.0},
    ]
    assert unusual(runs) == ["largest |z| above 6 in runs 2 and 3", "tSNR below 20 in run 3"]
    drawn = {bar["name"]: bar for bar in bars(runs)}
    assert "mean FD" not in drawn
    assert [cell["unusual"] for cell in drawn["largest |z|"]["cells"]] == [False, True, True]
    assert drawn["largest |z|"]["limit"] == 0.5
    assert [cell["text"] for cell in drawn["tSNR"]["cells"]] == ["–", "–", "12"]
    assert unusual([{"Run": "1", **RUN}]) == []


def test_the_carpet_says_how_much_moved(parcels, volumes):
    svg = figures.carpet(volumes, runs=parcels.decomposition["Runs"], t_r=2.0, name="carpet")
    root = ET.fromstring(svg)
    assert "up to 1.70 mm, above 0.5 mm in 1 volumes; DVARS of up to 4.20" in root.attrib["aria-label"]
    (picture,) = root.iter("{http://www.w3.org/2000/svg}image")
    assert picture.attrib["href"].startswith("data:image/png;base64,")
    unknown = figures.carpet(
        volumes.assign(framewise_displacement=np.nan), runs=parcels.decomposition["Runs"], t_r=2.0, name="carpet"
    )
    assert "motion is not known" in unknown
    assert "FD (mm)" in svg
    assert "FD (mm)" not in unknown


def test_the_page_shows_volumes_where_results_hold_them(parcels, volumes):
    one = first_components(parcels, 1)
    assert "Every volume" in render(replace(one, quality=volumes))
    assert "Every volume" not in render(one)
    with pytest.raises(ValueError, match="quality has 3542 rows"):
        replace(parcels, quality=volumes[1:])
