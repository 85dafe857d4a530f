"""The methods paragraph: written from what was done, in the past tense, fit to paste into a paper."""

from collections.abc import Mapping
from typing import Any

from neurocca.report.wording import counted, listing, number
from neurocca.studyforrest import CITATIONS

REFERENCES = {
    "hotelling": ("Hotelling 1936", "Hotelling, H. (1936). Relations between two sets of variates. Biometrika, 28, 321–377.", "10.1093/biomet/28.3-4.321"),
    "vinod": ("Vinod 1976", "Vinod, H. D. (1976). Canonical ridge and econometrics of joint production. Journal of Econometrics, 4, 147–166.", "10.1016/0304-4076(76)90010-5"),
    "glover": ("Glover 1999", "Glover, G. H. (1999). Deconvolution of impulse response in event-related BOLD fMRI. NeuroImage, 9, 416–429.", "10.1006/nimg.1998.0419"),
    "friston": ("Friston et al. 1998", "Friston, K. J., Fletcher, P., Josephs, O., Holmes, A., Rugg, M. D., & Turner, R. (1998). Event-related fMRI: characterizing differential responses. NeuroImage, 7, 30–40.", "10.1006/nimg.1997.0306"),
    "nichols": ("Nichols and Holmes 2002", "Nichols, T. E., & Holmes, A. P. (2002). Nonparametric permutation tests for functional neuroimaging: a primer with examples. Human Brain Mapping, 15, 1–25.", "10.1002/hbm.1058"),
    "phipson": ("Phipson and Smyth 2010", "Phipson, B., & Smyth, G. K. (2010). Permutation p-values should never be zero. Statistical Applications in Genetics and Molecular Biology, 9, 39.", "10.2202/1544-6115.1585"),
    "winkler": ("Winkler et al. 2020", "Winkler, A. M., Renaud, O., Smith, S. M., & Nichols, T. E. (2020). Permutation inference for canonical correlation analysis. NeuroImage, 220, 117065.", "10.1016/j.neuroimage.2020.117065"),
}  # fmt: skip
"""Key to short form, full form and DOI."""

_HRF_SOURCE = {"spm": "friston", "glover": "glover"}


def methods(decomposition: Mapping[str, Any]) -> list[str]:
    """Paragraphs of the methods section.

    Parameters
    ----------
    decomposition : mapping
        Content of ``*_decomposition.json``.
    """
    return [_data(decomposition), _features(decomposition), _model(decomposition), _inference(decomposition)]


def references(decomposition: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Works that the methods paragraphs cite: full form and DOI, in alphabetical order."""
    text = " ".join(methods(decomposition))
    cited = [(full, doi) for short, full, doi in REFERENCES.values() if short in text]
    if _is_studyforrest(decomposition):
        full, doi = CITATIONS["film fMRI"].rsplit(", doi:", 1)
        cited.append((f"{full}.", doi))
    return sorted(cited)


def _cite(*keys: str) -> str:
    return f"({'; '.join(REFERENCES[key][0] for key in keys)})"


def _is_studyforrest(decomposition: Mapping[str, Any]) -> bool:
    return "studyforrest" in str(decomposition["Dataset"]["Name"]).lower()


def _data(d: Mapping[str, Any]) -> str:
    runs, dataset = d["Runs"], d["Dataset"]
    what = f"{counted(d['NumberOfResponses'], dataset['Kind'].removesuffix('s'))}"
    source = f"{dataset['Name']}{' (Hanke et al. 2016)' if _is_studyforrest(d) else ''}"
    kind = "simulated, not measured, BOLD" if d["Simulated"] else "BOLD"
    left_out = sum(run["Volumes"] - run["Kept"] for run in runs)
    trimmed = f"; {counted(left_out, 'volume')} at the borders of runs were left out" if left_out else ""
    dropped = d["DroppedResponses"]
    without = f" {counted(len(dropped), dataset['Kind'].removesuffix('s'))} without usable signal were left out." if dropped else ""
    return (
        f"The {kind} time series of {what} of subject {d['Subject']} (task {d['Task']}; {source}) were analysed with neurocca "
        f"{d['Software'].get('neurocca', '')}. The data comprised {counted(len(runs), 'run')} with a repetition time of "
        f"{d['RepetitionTime']:g} s; {counted(d['NumberOfVolumes'], 'volume')} entered the analysis{trimmed}.{without} "
        f"{_cleaning(d)}"
    )


def _cleaning(d: Mapping[str, Any]) -> str:
    counts = sorted({run["Confounds"] for run in d["Runs"]})
    n = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    removed = [run["VarianceRemoved"] for run in d["Runs"] if run["VarianceRemoved"] is not None]
    share = f" ({number(100 * sum(removed) / len(removed), 0)} % of the BOLD variance on average)" if removed else ""
    drift = f"slow drifts with periods above {d['Alignment']['HighPass']:g} s (discrete cosine basis)"
    steps = [drift] if d["Alignment"]["HighPass"] else []
    steps += [f"{n} confound regressor{'s' if counts[-1] != 1 else ''} per run"] if counts[-1] else []
    if not steps:
        return "Neither drifts nor confounds were removed. BOLD series were standardised within every run."
    text = f"{listing(steps)} were removed from the BOLD series by regression within every run{share}, and each series was"
    return f"{text[0].upper()}{text[1:]} standardised within its run."


def _features(d: Mapping[str, Any]) -> str:
    align, spaces = d["Alignment"], d["FeatureSpaces"]
    columns = f"{d['NumberOfFeatures']} feature columns"
    named = listing([f"{space} ({n})" for space, n in spaces.items()])
    logs = f" The logarithm of {listing(align['Log'])} was taken." if align["Log"] else ""
    filtered = " Features were high-pass filtered like the BOLD series." if align["HighPass"] else ""
    scaled = (
        "standardised within every run"
        if align["Standardize"] == "run"
        else "centred within every run and scaled to unit variance over the training runs"
    )
    return (
        f"The film was described by {columns} from {counted(len(spaces), 'feature space')}: {named}. {_response(d)}{logs}"
        f"{filtered} Features were {scaled}."
    )


def _response(d: Mapping[str, Any]) -> str:
    align, t_r = d["Alignment"], d["RepetitionTime"]
    if align["Response"] == "delays":
        volumes = listing(align["Delays"])
        seconds = listing([f"{delay * t_r:g}" for delay in align["Delays"]])
        return (
            f"To leave the shape of the haemodynamic response free, every feature entered once for each delay of {volumes} "
            f"volumes ({seconds} s)."
        )
    family = align["HRF"].split(" ")[0]
    source = f" {_cite(_HRF_SOURCE[family])}" if family in _HRF_SOURCE else ""
    model = align["HRF"].replace(family, {"spm": "SPM", "glover": "Glover"}.get(family, family), 1)
    extra = model.replace(" + ", " model with its ", 1).replace(" + ", " and ") if "+" in model else f"{model} model"
    return f"Features were convolved with a canonical haemodynamic response ({extra}){source} and sampled at the volumes' times."


def _model(d: Mapping[str, Any]) -> str:
    s, k = d["Shrinkage"], len(d["Components"])
    grids = (
        f"from {listing([f'{v:g}' for v in s['GridFeatures']])} for the features and "
        f"{listing([f'{v:g}' for v in s['GridBOLD']])} for BOLD"
    )
    return (
        f"Film features and BOLD were related by canonical correlation analysis {_cite('hotelling')} with both covariance "
        f"matrices shrunk towards a multiple of the identity, (1 − λ)S + λ (tr S / p) I {_cite('vinod')}. "
        f"{counted(k, 'component')} {'was' if k == 1 else 'were'} extracted. The amounts of shrinkage were chosen by "
        f"leave-one-run-out cross-validation {grids}; the fit to all runs used λ = {s['Features']:g} for the features and "
        f"λ = {s['BOLD']:g} for BOLD. Loadings are correlations of each feature or {d['Dataset']['Kind'].removesuffix('s')} "
        "with the component's variate."
    )


def _inference(d: Mapping[str, Any]) -> str:
    inference, k = d["Inference"], len(d["Components"])
    b = inference["NumberOfPermutations"]
    cites = _cite("nichols", "winkler")
    corrected = f"p-values were corrected over {counted(k, 'component')} ({inference['Correction']}) {cites}"
    return (
        "How well a component generalises was measured by leaving out one run at a time: shrinkage and weights were "
        "determined on the other runs, both sides of the left-out run were projected, and the correlations of the two "
        "projections were averaged over runs (held-out correlation). Significance was assessed with "
        f"{counted(b, 'permutation')}: {_scheme(inference)} The p-value was (1 + k)/(1 + B), where k of B permutations "
        f"reached the observed correlation {_cite('phipson')}; {corrected}. A component counted as found when its held-out "
        f"correlation had p < 0.05. In-sample correlations were tested in the same way. The random seed was {inference['Seed']}."
    )


def _scheme(inference: Mapping[str, Any]) -> str:
    if inference["Scheme"] != "circular_shift":
        return f"the two sides were permuted against each other within runs ({inference['Scheme'].replace('_', ' ')})."
    return (
        "in every run, one side was rotated against the other by a random lag of at least "
        f"{inference['MinShift']:g} s. Circular shifts keep the autocorrelation of both sides, which shuffling single "
        "volumes would destroy, making nearly every correlation look significant; short lags were left out because the "
        "haemodynamic response would still overlap, and no shift crossed the border of a run."
    )
