import re

from neurocca.report.citation import citation
from neurocca.report.references import ALL


def test_the_text_of_one_configuration_is_there_once_with_the_works_it_cites(parcels):
    d = parcels.decomposition
    others = [{**d, "Subject": "02"}, {**d, "Subject": "03", "Config": {**d["Config"], "fit": {"n_components": 3}}}]
    text, bib = citation([(record, {"loudness"}) for record in (d, *others)])
    assert re.findall("^## (.*)$", text, re.MULTILINE) == ["sub-01, task avmovie", "sub-03, task avmovie", "References"]
    assert "The same was done with sub-02" in text
    assert "CC0" in text
    assert "NumPy 2.4.6 (Harris et al. 2020)" in text
    cited = [work for work in ALL if work.short in text]
    assert re.findall(r"^@article\{(\w+),$", bib, re.MULTILINE) == [work.key for work in cited]
    assert all(f"https://doi.org/{work.doi}" in text for work in cited)


def test_entries_of_bibtex_are_whole():
    for work in ALL:
        assert work.bibtex.count("{") == work.bibtex.count("}") == (9 if work.doi else 8)
        assert "–" not in work.bibtex
    assert len({work.key for work in ALL}) == len(ALL)
