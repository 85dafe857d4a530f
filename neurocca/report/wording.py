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
    """Which of a subject's BOLD files were analysed, in words: their session, space, parcels and resolution."""
    words = (("session", "Session"), ("space", "Space"), ("parcels", "Segmentation"), ("resolution", "Resolution"))
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


_EFFECTS = ((0.5, "large"), (0.3, "medium"), (0.1, "small"))


def effect(r: float | None) -> str:
    """How large a correlation is, in the words of Cohen (1988): large from .5 on, medium from .3, small from .1.

    >>> effect(0.55), effect(0.098), effect(0.04), effect(None)
    ('large', 'small', 'very small', '')
    """
    if r is None or not math.isfinite(r):
        return ""
    # as the reader sees it: what is shown as 0.10 is not called smaller than 0.10
    return next((word for least, word in _EFFECTS if round(r, 2) >= least), "very small")


def shared_variance(r: float | None) -> str:
    """Share of the variance that two series with a correlation of r have in common, in percent; a dash below zero."""
    if r is None or not math.isfinite(r) or r <= 0:
        return "–"
    percent = 100 * r**2
    return f"{percent:.0f} %" if percent >= 0.5 else "< 1 %"


def by_held_out(components: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Components from the largest held-out correlation to the smallest; those without one at the end."""
    return sorted(components, key=lambda c: -c["HeldOutCorrelation"] if is_known(c["HeldOutCorrelation"]) else math.inf)


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
    count = _counting(len(found))
    shared = f"{count} shared component{'s were' if len(found) > 1 else ' was'} found between the film and {whose}"
    return (
        f"{shared}: {'they hold' if len(found) > 1 else 'it holds'} in runs that were left out of the fit. "
        f"{_sizes(found)}; {_chances(found)}."
    )


def _counting(n: int) -> str:
    return _SMALL[n] if n < len(_SMALL) else str(n)


def _sizes(found: Sequence[Mapping[str, Any]]) -> str:
    """How large the found components are, the largest first, those of one size together."""
    groups: dict[str, list[str]] = {}
    for component in by_held_out(found):
        r = component["HeldOutCorrelation"]
        groups.setdefault(effect(r), []).append(number(r))
    parts = [
        f"{_counting(len(rs)).lower()} {'is' if len(rs) == 1 else 'are'} {word} (held-out r = {listing(rs)})"
        for word, rs in groups.items()
    ]
    if len(groups) == 1:
        ((word, rs),) = groups.items()
        who = {1: "it is", 2: "both are"}.get(len(rs), "all are")
        parts = [f"{who} {word} (held-out r = {listing(rs)})"]
    text = listing(parts)
    return text[0].upper() + text[1:]


def _chances(found: Sequence[Mapping[str, Any]]) -> str:
    ps = [c["PValueHeldOut"] for c in by_held_out(found)]
    texts = [p_value(p) for p in ps]
    if len(texts) == 1 or len(set(texts)) > 1:
        return f"p = {texts[0]}" if len(texts) == 1 else f"p ≤ {p_value(max(ps))}"
    return f"p = {texts[0]} each"


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
    notes = _weak(components)
    if in_sample:
        names = listing([c["Name"] for c in in_sample])
        be, do = ("is", "it does") if len(in_sample) == 1 else ("are", "they do")
        notes.append(f"{names} {be} significant in-sample only: {do} not hold in left-out runs.")
    if any(is_found(c) and c["PValueHeldOut"] <= floor * 1.001 for c in components):
        b = decomposition["Inference"]["NumberOfPermutations"]
        notes.append(f"p = {p_value(floor)} is the smallest value that {counted(b, 'permutation')} can give.")
    return notes


def _weak(components: Sequence[Mapping[str, Any]]) -> list[str]:
    """A word of caution about what is beyond chance, and little."""
    weak = [c for c in by_held_out(components) if is_found(c) and effect(c["HeldOutCorrelation"]).endswith("small")]
    if not weak:
        return []
    names = listing([c["Name"] for c in weak])
    shares = list(dict.fromkeys(shared_variance(c["HeldOutCorrelation"]) for c in reversed(weak)))
    share = shares[0] if len(shares) == 1 else f"{shares[0].removesuffix(' %')} to {shares[-1]}"
    be = "is" if len(weak) == 1 else "are"
    return [
        f"{names} {be} beyond chance, but small: the two sides share {share} of their variance in unseen runs. Little "
        "of the brain follows the film there; maps and features say what there is, not that it is much."
    ]
