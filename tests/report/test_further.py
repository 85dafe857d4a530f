"""What a page says of maps, feature spaces and halves of the runs."""

from neurocca.report.html import render_with_figures
from neurocca.report.methods import methods
from tests.report.conftest import NAMES, SPACES
from tests.report.smaller import first_components

MAPS = {
    "NumberOfPermutations": 500,
    "Alpha": 0.05,
    "Threshold": 0.1234,
    "Significant": dict(zip(NAMES, (61, 7, 0, 0, 0), strict=True)),
}
SHARES = {"Alone": 0.2, "Unique": 0.15, "UniqueStandardError": 0.02}
CONTRIBUTIONS = {
    "Components": [
        {"Name": name, "All": 0.3, "Spaces": {space: dict(SHARES, Unique=0.1 - 0.04 * i) for space in SPACES}}
        for i, name in enumerate(NAMES)
    ]
}
INTERVAL = {"Mean": 0.8, "Low": 0.6, "High": 0.9}
STABILITY = {
    "NumberOfSplits": 20,
    "Components": [
        {"Name": name, **dict.fromkeys(("Film", "FilmChance", "BOLD", "BOLDChance"), INTERVAL)} for name in NAMES
    ],
}


def test_the_page_shows_what_there_is(changed):
    data = changed(Maps=MAPS, Contributions=CONTRIBUTIONS, Stability=STABILITY)
    page, figures = render_with_figures(first_components(data, 2))
    assert page.count('<section id="further"') == page.count('<a href="#further"') == 1
    assert "cca_00&nbsp;<b>61</b>, cca_01&nbsp;<b>7</b>" in page
    assert "|r| of 0.12 or more" in page
    assert "500 permutations" in page
    assert "cca_04 all 0.300, lowlevel alone 0.200, unique −0.060" in page
    assert "cca_00 brain 0.80 (chance 0.80)" in page
    assert {"contributions.svg", "stability.svg"} <= figures.keys()


def test_a_page_of_one_feature_space_has_no_shares_of_it(changed):
    page, figures = render_with_figures(
        first_components(changed(Maps=MAPS, Contributions=None, Stability=STABILITY), 1)
    )
    assert "What does each feature space contribute?" not in page
    assert "Do halves of the runs agree?" in page
    assert "contributions.svg" not in figures


def test_a_page_without_any_has_no_section_for_them(parcels):
    page, figures = render_with_figures(first_components(parcels, 1))
    assert "further" not in page
    assert not {"contributions.svg", "stability.svg"} & figures.keys()


def test_methods_name_what_was_done_and_only_that(changed):
    full = methods(changed(Maps=MAPS, Contributions=CONTRIBUTIONS, Stability=STABILITY).decomposition, set())[-2]
    assert "500 permutations" in full
    for work in ("Borcard et al. 1992", "Dupré la Tour et al. 2022", "Strother et al. 2002", "Lorenzo-Seva"):
        assert work in full
    maps = methods(changed(Maps=MAPS, Contributions=None, Stability=None).decomposition, set())[-2]
    assert "go with a component" in maps
    assert "variance partitioning" not in maps
    assert "halves" not in maps
