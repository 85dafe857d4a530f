"""The paragraphs of the methods on the model, its tests, and what else was asked of it."""

from collections.abc import Mapping
from typing import Any

from neurocca.report.references import (
    ANDREW,
    BORCARD,
    DE_HEER,
    DUPRE_LA_TOUR,
    HARDOON,
    HOTELLING,
    LORENZO_SEVA,
    NICHOLS,
    PHIPSON,
    PRICHARD,
    STROTHER,
    VINOD,
    WINKLER,
    cite,
)
from neurocca.report.wording import ALPHA, counted, listing, noun


def statistics(d: Mapping[str, Any]) -> list[str]:
    """Paragraphs of what was fitted and how it was tested; ``d`` is the content of ``*_decomposition.json``."""
    return [_model(d), f"{_held_out(d)} {_test(d)}", *_further(d)]


def _model(d: Mapping[str, Any]) -> str:
    s, k, fit = d["Shrinkage"], len(d["Components"]), d["Config"].get("fit", {})
    loadings = (
        f"Loadings are correlations of each feature with the film-side variate and of each {noun(d)} with the "
        "brain-side variate."
    )
    if fit.get("estimator") == "deep":
        return (
            f"Film features and BOLD were related by deep canonical correlation analysis {cite(ANDREW)} with "
            f"{counted(k, 'component')}: a network of one hidden layer for each side, trained for at most "
            f"{fit['epochs']} epochs. {loadings}"
        )
    if fit.get("estimator") == "kernel":
        return (
            f"Film features and BOLD were related by kernel canonical correlation analysis {cite(HARDOON)} with "
            f"{counted(k, 'component')}, Gaussian kernels as wide as the data's total variance, spanned by at most "
            f"{fit['n_landmarks']} volumes, and shrinkage λ = {s['Features']:g} {_kernel_choice(fit)}. {loadings}"
        )
    chosen = f"λ = {s['Features']:g} for the features and λ = {s['BOLD']:g} for BOLD"
    tried = [listing([f"{v:g}" for v in s[key]]) for key in ("GridFeatures", "GridBOLD")]
    if len(s["GridFeatures"]) * len(s["GridBOLD"]) > 1:
        grids = (
            f"{tried[0]} for either side" if tried[0] == tried[1] else f"{tried[0]} (features) and {tried[1]} (BOLD)"
        )
        choice = (
            f"The shrinkage λ was chosen from {grids} by leaving one run out at a time, for the largest mean "
            f"of r|r| over the {counted(k, 'component')} in the left-out runs; the fit to all runs used {chosen}."
        )
    else:
        choice = f"The shrinkage was fixed at {chosen}."
    return (
        f"Film features and BOLD were related by canonical correlation analysis {cite(HOTELLING)} with "
        f"{counted(k, 'component')} and both covariance matrices shrunk towards a multiple of the identity, "
        f"(1 − λ)S + λ(tr S/p)I {cite(VINOD)}. {choice} {loadings}"
    )


def _kernel_choice(fit: Mapping[str, Any]) -> str:
    grid = listing([f"{v:g}" for v in fit["shrinkage_x"]])
    return f"chosen from {grid} by leaving one run out at a time" if len(fit["shrinkage_x"]) > 1 else "as given"


def _is_deep(d: Mapping[str, Any]) -> bool:
    return d["Config"].get("fit", {}).get("estimator") == "deep"


def _held_out(d: Mapping[str, Any]) -> str:
    fitted = "networks were trained" if _is_deep(d) else "shrinkage and weights were determined"
    return (
        f"Generalisation was measured by leaving out one run at a time: {fitted} on the "
        f"other {counted(len(d['Runs']) - 1, 'run')}, the left-out run was projected on them, and the correlations "
        "of its two sides were averaged over left-out runs (held-out correlation)."
    )


def _test(d: Mapping[str, Any]) -> str:
    inference, k = d["Inference"], len(d["Components"])
    n = inference["NumberOfPermutations"]
    many = k > 1 and "maximum" in inference["Correction"]
    corrected = (
        f", with the largest correlation of all {k} components as the null of each {cite(NICHOLS)}" if many else ""
    )
    anew = "the weights for all left-out runs were determined anew, with the shrinkage as chosen"
    if _is_deep(d):
        anew = "networks were trained anew for all left-out runs"
    return (
        f"It was tested against {counted(n, 'permutation')}: {_scheme(inference)} In each permutation {anew}. p was "
        f"(1 + b)/(1 + B), where b of B permutations reached the observed value {cite(PHIPSON)}{corrected}. A "
        f"component counted as found when its held-out correlation had p < {ALPHA:g}. {_in_sample(d)}The random seed "
        f"was {inference['Seed']}."
    )


def _in_sample(d: Mapping[str, Any]) -> str:
    if all(component["PValueInSample"] is None for component in d["Components"]):
        return ""
    return (
        "For comparison, the in-sample canonical correlations of the whitened "
        "views were tested against the same kind of permutations, step by step: each was compared with the largest "
        "that is left when the components before it are taken out of both sides, and no p-value was smaller than "
        f"one before it {cite(WINKLER)}. As their shrinkage was chosen on the same data, that test "
        "is somewhat liberal. "
    )


def _further(d: Mapping[str, Any]) -> list[str]:
    """A paragraph on maps, feature spaces and halves of the runs, as far as there are any."""
    sentences = []
    if maps := d.get("Maps"):
        null = (
            "the first component of permutations without the components before it was the null of each, and no "
            f"component counted for more than one before it {cite(WINKLER)}"
        )
        if maps.get("LeftOut"):
            null = "the components of permutations together were the null of each"
        left_out = " of the left-out runs, averaged over runs," if maps.get("LeftOut") else ""
        sentences.append(
            f"Which {noun(d, 2)} go with a component was tested by their correlations with the film-side "
            f"variates{left_out} against {counted(maps['NumberOfPermutations'], 'permutation')} of the same kind, "
            f"corrected for all {noun(d, 2)} and components by the largest absolute correlation {cite(NICHOLS)}; "
            f"{null}."
        )
    if d.get("Contributions"):
        sentences.append(
            f"The contribution of each feature space was found by variance partitioning {cite(BORCARD, DE_HEER)}: the "
            "brain-side variate of the training runs was regressed on the features of that space, and on those of all "
            "other spaces, with the penalty of the fit, and what these predicted for the left-out run was correlated "
            "with its brain-side variate. The unique share of a space is the loss of r|r|, averaged over runs, when it "
            f"is left out; what it explains alone and is not unique is shared with others {cite(DUPRE_LA_TOUR)}."
        )
    if halves := d.get("Stability"):
        same = "" if _is_deep(d) else " with the shrinkage of the fit to all runs"
        sentences.append(
            f"Stability was measured between halves of the runs {cite(STROTHER)}, fitted separately{same} "
            f"({counted(halves['NumberOfSplits'], 'split')}), by the congruence of their loadings "
            f"{cite(LORENZO_SEVA)}; the same was done with rearranged films for comparison."
        )
    return [" ".join(sentences)] if sentences else []


def _scheme(inference: Mapping[str, Any]) -> str:
    if inference["Scheme"] == "phase_randomize":
        return (
            "in every run, random phases were added to the Fourier coefficients of one side, the same to all its "
            f"columns, which keeps their spectra and the correlations between them {cite(PRICHARD)}."
        )
    if inference["Scheme"] != "circular_shift":
        return f"the sides were permuted against each other within runs ({inference['Scheme'].replace('_', ' ')})."
    return (
        "in every run, one side was shifted circularly in time against the other, by a random lag of at least "
        f"{inference['MinShift']:g} s. Shifting keeps the autocorrelation of both sides, whereas shuffling single "
        "volumes would destroy it and make almost any correlation look significant; shorter lags were left out "
        "because the haemodynamic response would still overlap with itself, and no shift crossed the border of a run."
    )
