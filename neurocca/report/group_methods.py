"""The methods of the group level in words, from what was really done."""

from collections.abc import Mapping
from typing import Any

from neurocca.report.references import NICHOLS, PHIPSON, cite
from neurocca.report.wording import counted, listing, noun


def group_methods(d: Mapping[str, Any]) -> list[str]:
    """Paragraphs.

    Parameters
    ----------
    d : mapping
        Content of ``*_desc-ccaGroup_decomposition.json``.
    """
    return [text for text in (_matching(d), _maps(d), _agreement(d), _shared(d), _one_map(d)) if text]


def _matching(d: Mapping[str, Any]) -> str:
    people = counted(len(d["Participants"]), "participant")
    left = [f"sub-{one['Subject']}" for one in d["LeftOut"]]
    without = f" ({listing(left)} left out)" if left else ""
    return (
        f"Canonical components of film features and BOLD were estimated in each of {people}{without} by themselves. "
        "They were matched over participants by their film side: the loadings of features and the stimulus-side "
        "variates, each scaled to length 1, gave the similarity; order and sign of a participant's components are "
        "those that are most similar to the mean of the other participants. Brain maps had no part in this: signs "
        "aligned by the maps that are then tested would make these agree by construction. Turning over all BOLD of a "
        "participant turns over the map of a component and leaves its film side as it is, so that under the null "
        "hypothesis either sign of the map is as likely. Participants who saw the same film may share responses to it "
        "that the features do not hold; conclusions are about this film."
    )


def _maps(d: Mapping[str, Any]) -> str:
    n, maps, nouns = len(d["Participants"]), d["Maps"], noun(d, 2)
    start = (
        f"Loadings were Fisher-transformed and averaged over participants, for the {maps['Columns']:,} {nouns} that "
        "all of them have"
    )
    if maps["Test"] is None:
        return f"{start}. {n} participants are too few for a test of the maps."
    text = (
        f"{start}, and the mean tested against 0 by t, with {maps['NumberOfPermutations']:,} random sign flips of "
        f"participants {cite(NICHOLS)}; p-values are two-sided and corrected over all {nouns} and components by the "
        f"largest |t|. The smallest p that {n} participants allow is {maps['SmallestP']:.3g}."
    )
    if maps["NumberOfPermutationsTFCE"]:
        text += (
            f" Clusters were enhanced without a threshold (TFCE, {maps['NumberOfPermutationsTFCE']} of such flips, "
            "corrected likewise)."
        )
    return text


def _agreement(d: Mapping[str, Any]) -> str:
    test = d["Intersubject"]
    if test is None:
        return ""
    return (
        "BOLD-side variates of runs that a participant's fit had not seen were z-scored run by run and correlated with "
        f"the mean of the other participants' ({counted(len(test['Runs']), 'run')}), matched in every run by what "
        "these fits make of its film, which knows nothing of its BOLD. The mean over participants was "
        f"compared with {counted(test['NumberOfPermutations'], 'permutation')} in which every run of every participant "
        f"was rotated in time by a lag of its own, at least {test['MinShift']:g} s, which keeps autocorrelation; p = "
        f"(1 + b)/(1 + B) {cite(PHIPSON)}, with the largest component of each permutation. Fits of different "
        "participants know of each other only through the film: what their unseen variates share is what this film "
        "does to the brains, be it in the features or not."
    )


def _shared(d: Mapping[str, Any]) -> str:
    fit = d["Shared"]
    if fit["Skipped"]:
        return ""
    people = counted(len(fit["Participants"]), "participant")
    return (
        f"The film's features and the BOLD of {people} were fitted together by multiset canonical correlation analysis "
        "(MAXVAR, Kettenring 1971, doi:10.1093/biomet/58.3.433): each view has weights of its own, and all share one "
        "time course per component. The film's shrinkage was the median of those that the single analyses chose, "
        f"{fit['ShrinkageFilm']:g}; BOLD kept each participant's own. Correlations of the film's with participants' "
        f"variates, and of participants with each other, come from {len(fit['Runs'])} fits that each left one run out; "
        "they have no p-value."
    )


def _one_map(d: Mapping[str, Any]) -> str:
    if d["Shared"]["Skipped"] or d["Shared"]["OneMap"]["Skipped"]:
        return ""
    test = d["Shared"]["OneMap"]
    return (
        "Components with the same weights for all participants (linear CCA of the film and their BOLD below one "
        f"another, {test['Columns']:,} {noun(d, 2)}, shrinkage {d['Shared']['ShrinkageFilm']:g} and "
        f"{d['Shared']['ShrinkageBOLD']:g}) were fitted to all participants but one and correlated with the film in "
        f"that one, each in turn. In {counted(test['NumberOfPermutations'], 'permutation')} the film was rotated in "
        "time run by run, in the same way for all participants, and all models fitted again; p is corrected over "
        "components by the largest of each permutation."
    )
