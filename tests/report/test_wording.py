import pytest

from neurocca.report.methods import methods
from neurocca.report.references import ALL, cited_in
from neurocca.report.wording import counted, is_found, listing, number, p_value, verdict, verdict_notes


@pytest.mark.parametrize(
    ("value", "text"), [(0.574, "0.57"), (-0.018, "−0.02"), (-0.001, "0.00"), (None, "–"), (float("nan"), "–")]
)
def test_numbers_have_true_minus_signs_and_no_negative_zero(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("p", "text"), [(1 / 1001, "0.001"), (0.0234, "0.023"), (1.0, "1.000"), (1e-4, "0.0001"), (None, "–")]
)
def test_p_values(p, text):
    assert p_value(p) == text


def test_lists_and_counts():
    assert [listing([]), listing(["a"]), listing("ab"), listing("abc")] == ["", "a", "a and b", "a, b and c"]
    assert counted(1, "run") == "1 run"
    assert counted(3543, "volume") == "3,543 volumes"


def test_found_is_decided_by_the_held_out_test_alone():
    assert is_found({"PValueHeldOut": 0.049, "PValueInSample": 1.0})
    assert not is_found({"PValueHeldOut": 0.05, "PValueInSample": 0.001})
    assert not is_found({"PValueHeldOut": float("nan")})


def test_verdict_and_notes(parcels):
    d = parcels.decomposition
    assert verdict(d) == (
        "Two shared components were found between the film and the brain of sub-01: they hold in runs that were left "
        "out of the fit. One is large (held-out r = 0.57) and one is small (held-out r = 0.24); p = 0.001 each."
    )
    notes = verdict_notes(d)
    assert notes[0].startswith("cca_01 is beyond chance, but small: the two sides share 6 % of their variance")
    assert notes[1] == "cca_02 and cca_03 are significant in-sample only: they do not hold in left-out runs."
    assert notes[2] == "p = 0.001 is the smallest value that 1,000 permutations can give."


def test_the_verdict_begins_with_the_largest_component_whatever_its_number():
    parts = [
        {"Name": f"cca_{i:02d}", "HeldOutCorrelation": r, "PValueHeldOut": p, "PValueInSample": 0.001}
        for i, (r, p) in enumerate([(0.55, 0.001), (0.04, 0.027), (0.15, 0.001), (0.187, 0.002), (None, None)])
    ]
    d = {"Components": parts, "Simulated": False, "Subject": "01", "Inference": {"NumberOfPermutations": 999}}
    assert verdict(d).endswith(
        "One is large (held-out r = 0.55), two are small (held-out r = 0.19 and 0.15) and one is very small "
        "(held-out r = 0.04); p ≤ 0.027."
    )
    assert verdict_notes(d)[0].startswith("cca_03, cca_02 and cca_01 are beyond chance, but small")
    assert "share < 1 to 3 % of" in verdict_notes(d)[0]


def test_methods_report_what_was_done(parcels, voxels):
    text = " ".join(methods(parcels.decomposition, {"loudness"}))
    for phrase in (
        "273 parcels of subject 01",
        "3,543 volumes entered the analysis; 56 volumes at the borders of runs were left out",
        "5 constant or missing parcels were left out",
        "cosines with periods above 128 s",
        "6 confound regressors per run",
        "delay of 1, 2, 3 and 4 volumes (2, 4, 6 and 8 s)",
        "The logarithm of loudness was taken",
        "λ = 0.1 for the features and λ = 0.3 for BOLD",
        "1,000 permutations",
        "at least 20 s",
        "(1 + b)/(1 + B)",
        "autocorrelation",
    ):
        assert phrase in text
    assert "logarithm" not in " ".join(methods(parcels.decomposition, {"speech"}))
    simulated = " ".join(methods(voxels.decomposition, set()))
    assert "haemodynamic response of SPM (Friston et al. 1998)" in simulated
    assert "Hanke" not in simulated


@pytest.mark.parametrize("hrf", ["glover + derivative + dispersion", "spm + derivative"])
def test_methods_name_derivatives(changed, parcels, hrf):
    alignment = {
        **parcels.decomposition["Alignment"],
        "Response": "hrf",
        "HRF": hrf,
        "HighPass": 0.0,
        "Standardize": "run",
    }
    data = changed(Alignment=alignment, Runs=[{**r, "Confounds": 0} for r in parcels.decomposition["Runs"]])
    text = " ".join(methods(data.decomposition, set()))
    assert "its time derivative" in text
    assert ("its dispersion derivative" in text) == ("dispersion" in hrf)
    assert "Neither drifts nor confounds were removed" in text


def test_references_are_those_that_the_text_cites(parcels):
    works = cited_in(" ".join(methods(parcels.decomposition, set())))
    shorts = [work.short for work in works]
    assert {"Hotelling 1936", "Vinod 1976", "Winkler et al. 2020", "Hanke et al. 2016"} <= set(shorts)
    assert "Glover 1999" not in shorts
    assert [work.full for work in ALL] == sorted((work.full for work in ALL), key=str.casefold)
