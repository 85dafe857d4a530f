"""Numbers and results in plain words."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

ALPHA = 0.05
"""A component counts as found when its held-out p-value lies below."""

_SMALL = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")

_NOUNS = {"surface": ("vertex", "vertices")}


def noun(decomposition: Mapping[str, Any], n: int = 1) -> str:
    """What one column of BOLD is, or several are: a voxel, vertex, grayordinate or parcel."""
    kind = str(decomposition["Dataset"]["Kind"])
    return _NOUNS.get(kind, (kind.removesuffix("s"), kind))[n != 1]


def variant(dataset: Mapping[str, Any]) -> str:
    """Which of a subject's BOLD files were analysed, in words: their space, parcels and resolution."""
    words = (("space", "Space"), ("parcels", "Segmentation"), ("resolution", "Resolution"))
    return ", ".join(f"{word} {dataset[key]}" for word, key in words if dataset.get(key))


def is_known(value: float | None) -> bool:
    """Whether a value was computed; JSON holds null or NaN where it was not."""
    return value is not None and math.isfinite(value)


def number(value: float | None, digits: int = 2) -> str:
    """Value with fixed digits and a true minus sign; a dash for what was not computed."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")


def p_value(value: float | None) -> str:
    """p-value with three digits, or one significant digit below 0.001."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1g}"


def listing(items: Sequence[object]) -> str:
    """Items as "a, b and c"."""
    words = [str(item) for item in items]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def counted(n: int, singular: str, plural: str = "") -> str:
    """A count with its noun."""
    return f"{n:,} {singular if n == 1 else plural or singular + 's'}"


def is_found(component: Mapping[str, Any]) -> bool:
    """Whether a component's held-out correlation is larger than chance allows."""
    p = component["PValueHeldOut"]
    return is_known(p) and p < ALPHA


def verdict(decomposition: Mapping[str, Any]) -> str:
    """One sentence that says what was found."""
    components = decomposition["Components"]
    found = [c for c in components if is_found(c)]
    whose = "this simulated brain" if decomposition["Simulated"] else f"the brain of sub-{decomposition['Subject']}"
    if not found:
        return (
            f"No shared component was found between the film and {whose}: in runs that were left out of the fit, "
            f"none of {counted(len(components), 'component')} correlated beyond chance{_smallest(components)}."
        )
    count = _SMALL[len(found)] if len(found) < len(_SMALL) else str(len(found))
    shared = f"{count} shared component{'s were' if len(found) > 1 else ' was'} found between the film and {whose}"
    rs = listing([number(c["HeldOutCorrelation"]) for c in found])
    ps = [p_value(c["PValueHeldOut"]) for c in found]
    chance = f"{ps[0]} each" if len(ps) > 1 and len(set(ps)) == 1 else listing(ps)
    return (
        f"{shared}: {'they hold' if len(found) > 1 else 'it holds'} in runs that were left out of the fit "
        f"(held-out r = {rs}; p = {chance})."
    )


def _smallest(components: Sequence[Mapping[str, Any]]) -> str:
    values = [c["PValueHeldOut"] for c in components if is_known(c["PValueHeldOut"])]
    return f" (smallest p = {p_value(min(values))})" if values else " (it could not be tested)"


def verdict_notes(decomposition: Mapping[str, Any]) -> list[str]:
    """What must be said beside the verdict, in sentences."""
    components = decomposition["Components"]
    in_sample = [
        c for c in components if not is_found(c) and is_known(c["PValueInSample"]) and c["PValueInSample"] < ALPHA
    ]
    floor = 1 / (1 + decomposition["Inference"]["NumberOfPermutations"])
    notes = []
    if in_sample:
        names = listing([c["Name"] for c in in_sample])
        be, do = ("is", "it does") if len(in_sample) == 1 else ("are", "they do")
        notes.append(f"{names} {be} significant in-sample only: {do} not hold in left-out runs.")
    if any(is_found(c) and c["PValueHeldOut"] <= floor * 1.001 for c in components):
        b = decomposition["Inference"]["NumberOfPermutations"]
        notes.append(f"p = {p_value(floor)} is the smallest value that {counted(b, 'permutation')} can give.")
    return notes
