"""The methods paragraphs: written from what was done, in the past tense, fit to paste into a paper."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from neurocca.report.methods_statistics import statistics
from neurocca.report.references import (
    ABRAHAM,
    FRISTON,
    GLOVER,
    HANKE,
    HARRIS,
    LINDQUIST,
    PASZKE,
    PEDREGOSA,
    VIRTANEN,
    cite,
)
from neurocca.report.wording import counted, is_known, listing, noun, number

_HRF = {"spm": ("SPM", FRISTON), "glover": ("Glover", GLOVER)}


def methods(decomposition: Mapping[str, Any], features: Collection[str]) -> list[str]:
    """Paragraphs of the methods section.

    Parameters
    ----------
    decomposition : mapping
        Content of ``*_decomposition.json``.
    features : collection of str
        Names of the film features: a setting that names others had no effect and is not reported.
    """
    d = decomposition
    return [
        f"{_data(d)} {_cleaning(d)}",
        _film(d, features),
        *statistics(d),
        *_software(d),
    ]


_LIBRARIES = (("numpy", "NumPy", HARRIS), ("scipy", "SciPy", VIRTANEN), ("nilearn", "nilearn", ABRAHAM))


_OF_ESTIMATORS = {"kernel": (("scikit-learn", "scikit-learn", PEDREGOSA),), "deep": (("torch", "PyTorch", PASZKE),)}


def _software(d: Mapping[str, Any]) -> list[str]:
    libraries = (*_LIBRARIES, *_OF_ESTIMATORS.get(d["Config"].get("fit", {}).get("estimator", ""), ()))
    used = [f"{name} {d['Software'][key]} {cite(work)}" for key, name, work in libraries if key in d["Software"]]
    return [f"All was computed with {listing(used)}."] if used else []


def _data(d: Mapping[str, Any]) -> str:
    dataset, runs = d["Dataset"], d["Runs"]
    source = dataset["Name"]
    if "studyforrest" in str(source).lower() and not d["Simulated"]:
        source = f"{source}, {HANKE.short}"
    trimmed = sum(run["Volumes"] - run["Kept"] for run in runs)
    left_out = f"; {counted(trimmed, 'volume')} at the borders of runs were left out" if trimmed else ""
    dropped = len(d["DroppedResponses"])
    coverage = d["Alignment"].get("MinCoverage")
    covered = f" (or with data in less than {100 * coverage:g} % of the voxels)" if coverage else ""
    without = (
        f" {dropped:,} constant or missing {noun(d, dropped)}{covered} {_was(dropped)} left out." if dropped else ""
    )
    return (
        f"{'Simulated (not measured) ' if d['Simulated'] else ''}BOLD time series of "
        f"{_columns(d)} of subject {d['Subject']} (task {d['Task']}; {source}) were analysed "
        f"with neurocca {d['Software'].get('neurocca', '')}. The data comprised {counted(len(runs), 'run')} with a "
        f"repetition time of {d['RepetitionTime']:g} s; {counted(d['NumberOfVolumes'], 'volume')} entered the "
        f"analysis{left_out}.{without}"
    )


def _columns(d: Mapping[str, Any]) -> str:
    """How many columns of BOLD of which kind, and what they lie in."""
    dataset, n = d["Dataset"], d["NumberOfResponses"]
    space = f" in space {dataset['Space']}" if dataset.get("Space") else ""
    atlas = f" (means of volumes in the atlas {Path(dataset['Atlas']).name})" if dataset.get("Atlas") else ""
    mask = f" inside the mask {Path(dataset['Mask']).name}" if dataset.get("Mask") else ""
    return f"{counted(n, noun(d), noun(d, 2))}{atlas}{mask}{space}"


def _was(n: int) -> str:
    return "was" if n == 1 else "were"


def _cleaning(d: Mapping[str, Any]) -> str:
    counts = sorted({run["Confounds"] for run in d["Runs"]})
    n = " to ".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))
    removed = [run["VarianceRemoved"] for run in d["Runs"] if is_known(run["VarianceRemoved"])]
    percent = number(100 * sum(removed) / len(removed), 0) if removed else ""
    share = f", which took out {percent} % of the variance on average" if removed else ""
    steps = []
    align = d["Alignment"]
    if align.get("Drift", "cosine") != "cosine":
        steps.append(f"slow drifts (polynomials up to order {align['Drift'].removeprefix('polynomial:')})")
    elif align["HighPass"]:
        steps.append(f"slow drifts (cosines with periods above {align['HighPass']:g} s)")
    if align.get("LowPass"):
        steps.append(f"fast fluctuations (cosines with periods below {align['LowPass']:g} s)")
    if counts[-1]:
        named = f" ({listing(align['Confounds'])})" if align.get("Confounds") else ""
        steps.append(f"{n} confound regressor{'' if counts[-1] == 1 else 's'} per run{named}")
    scaled = _SCALES[align.get("StandardizeBOLD", "zscore")]
    censored, smoothed = _censored(d), _smoothed(align)
    if not steps:
        nothing = f"{smoothed}Neither drifts nor confounds were removed.{censored}"
        return f"{nothing} Every BOLD series was {scaled} within each run."
    jointly = f" in one joint regression {cite(LINDQUIST)}" if len(steps) > 1 else " by regression"
    return (
        f"{smoothed}From the BOLD series of every run, {listing(steps)} were removed{jointly}{share}; every series was "
        f"then {scaled} within each run.{censored}"
    )


def _smoothed(align: Mapping[str, Any]) -> str:
    fwhm = align.get("SmoothingFWHM")
    return f"Volumes were smoothed with a Gaussian of {fwhm:g} mm full width at half maximum. " if fwhm else ""


_SCALES = {
    "zscore": "standardised",
    "psc": "expressed in percent of its mean before that",
    "none": "centred",
}


def _censored(d: Mapping[str, Any]) -> str:
    n = sum(run.get("Censored", 0) for run in d["Runs"])
    if not n:
        return ""
    align = d["Alignment"]
    limits = [
        f"{what} above {align[key]:g}{unit}"
        for key, what, unit in (("FDThreshold", "framewise displacement", " mm"), ("DVARSThreshold", "DVARS", ""))
        if align.get(key)
    ]
    said = f" ({' or '.join(limits)}, and short stretches between)" if limits else ""
    return (
        f" {counted(n, 'volume')} with too much motion{said} {_was(n)} left out of that and of all that follows on "
        "the side of BOLD, while the features kept their time."
    )


def _film(d: Mapping[str, Any], features: Collection[str]) -> str:
    align, spaces = d["Alignment"], d["FeatureSpaces"]
    named = listing([f"{space} ({n})" for space, n in spaces.items()])
    logged = [name for name in align["Log"] if name in features]
    logs = f" The logarithm of {listing(logged)} was taken." if logged else ""
    filtered = (
        " Features were high-pass filtered at the same cutoff, by a filter that takes a run for periodic."
        if align["HighPass"] and align.get("Drift", "cosine") == "cosine" and not align.get("Partial")
        else ""
    )
    scaled = (
        "standardised within every run"
        if align["Standardize"] == "run"
        else "centred within every run and divided by their standard deviation over the training runs"
    )
    return (
        f"The film was described by {counted(d['NumberOfFeatures'], 'feature column')} from "
        f"{counted(len(spaces), 'feature space')}: {named}.{_networks(d)}{_shift(d)}{logs} {_response(d)}{filtered} "
        f"Features were "
        f"{scaled}."
    )


def _shift(d: Mapping[str, Any]) -> str:
    seconds = d["Alignment"].get("OnsetShift", 0)
    if not seconds:
        return ""
    return f" Its onset was set {abs(seconds):g} s {'earlier' if seconds < 0 else 'later'} than the data say."


def _networks(d: Mapping[str, Any]) -> str:
    """A sentence for every network that looked at the film, with whose weights it did."""
    sentences: dict[str, list[str]] = {}
    for space, made in d.get("FeatureSources", {}).items():
        settings, weights = made.get("settings", {}), made.get("weights")
        if not weights:
            continue
        reduced = f", reduced by {settings['reduction']}," if settings.get("reduction") else ""
        views = f" ({settings['n_views']} augmented views averaged)" if settings.get("n_views") else ""
        text = (
            f" Frames were taken {settings['rate']:g} times per second{views} and passed through the network "
            f"{settings['model']} (weights: {weights['citation'] or weights['source']}; SHA-256 "
            f"{weights['sha256'][:12]}…), of which the layers {{layers}} entered with pooling "
            f"{settings['pooling']!r}{reduced}."
        )
        sentences.setdefault(text, []).append(space.rpartition("_")[2])
    return "".join(text.replace("{layers}", listing(layers)) for text, layers in sentences.items())


def _response(d: Mapping[str, Any]) -> str:
    align, t_r = d["Alignment"], d["RepetitionTime"]
    if align["Response"] == "delays":
        volumes = listing(align["Delays"])
        seconds = listing([f"{delay * t_r:g}" for delay in align["Delays"]])
        return (
            "To leave the shape of the haemodynamic response free, every feature entered once for each delay of "
            f"{volumes} volumes ({seconds} s)."
        )
    if align["Response"] == "none":
        return "Features entered as they were, without a haemodynamic response."
    if align["Response"] == "kernel":
        return "Features were convolved with a haemodynamic response that was given."
    family, *extra = align["HRF"].split(" + ")
    name, work = _HRF.get(family, (family, None))
    source = f" {cite(work)}" if work else ""
    derivatives = {"derivative": "its time derivative", "dispersion": "its dispersion derivative"}
    more = f", {listing([derivatives.get(e, e) for e in extra])}" if extra else ""
    return f"Features were convolved with the canonical haemodynamic response of {name}{source}{more}."
