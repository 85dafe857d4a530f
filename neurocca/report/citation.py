"""What a paper says of an analysis, and the works it cites, as Markdown and BibTeX."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from neurocca.report import wording
from neurocca.report.methods import methods
from neurocca.report.references import cited_in

_WAIVER = (
    "This text was written by neurocca from what was run. It may be used in manuscripts word by word, and changed: it "
    "is given to the public domain (CC0 1.0, https://creativecommons.org/publicdomain/zero/1.0/)."
)


def citation(analyses: Sequence[tuple[Mapping[str, Any], Collection[str]]]) -> tuple[str, str]:
    """Methods text and references of an output folder.

    Subjects with the same configuration share a text: that of the first.

    Parameters
    ----------
    analyses : sequence of (decomposition, features)
        Content of ``*_decomposition.json``, and the names of the film features, in the order of the index.

    Returns
    -------
    markdown, bibtex : str
    """
    groups: dict[str, list[tuple[Mapping[str, Any], Collection[str]]]] = {}
    for decomposition, features in analyses:
        alike = [decomposition[key] for key in ("Task", "Config")] + [wording.variant(decomposition["Dataset"])]
        groups.setdefault(json.dumps(alike, sort_keys=True), []).append((decomposition, features))
    lines, texts = ["# Methods and references", "", _WAIVER], ""
    for (first, features), *others in groups.values():
        paragraphs = methods(first, features)
        texts += " ".join(paragraphs)
        lines += ["", f"## {_title(first)}", "", "\n\n".join(paragraphs)]
        if others:
            names = wording.listing([f"sub-{other['Subject']}" for other, _ in others])
            lines += ["", f"The same was done with {names}; their numbers are in their reports."]
    works = cited_in(texts)
    lines += ["", "## References", ""]
    lines += [f"- {work.full} https://doi.org/{work.doi}" if work.doi else f"- {work.full}" for work in works]
    return "\n".join(lines) + "\n", "\n\n".join(work.bibtex for work in works) + "\n"


def _title(decomposition: Mapping[str, Any]) -> str:
    variant = wording.variant(decomposition["Dataset"])
    return f"sub-{decomposition['Subject']}, task {decomposition['Task']}{f' ({variant})' if variant else ''}"
