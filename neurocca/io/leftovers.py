"""Files of an earlier fit that its successor does not have: a map less, another estimator without a test."""

from collections.abc import Iterable
from pathlib import Path

from neurocca.io.analyses import Analysis
from neurocca.io.group import GroupAnalysis
from neurocca.io.names import parse_name

_KEYS = ("ses", "task", "space", "seg", "res")


def remove_leftovers(output: Path, analysis: Analysis | GroupAnalysis, kept: Iterable[Path]) -> None:
    """Remove results, figures and page of an analysis, but for those that were written just now.

    Parameters
    ----------
    output : Path
    analysis : Analysis or GroupAnalysis
    kept : iterable of Path
        Files of the output directory, relative to it.
    """
    new = {output / path for path in kept}
    folders = {analysis.file(output, "x").parent}
    if isinstance(analysis, Analysis):
        folders.add(output / f"sub-{analysis.subject}" / "figures")
    old = {path for folder in folders for path in folder.glob("*_*.*") if _is_of(path.name, analysis)}
    for path in sorted((old | {output / analysis.page}) - new):
        path.unlink(missing_ok=True)


def _is_of(name: str, analysis: Analysis | GroupAnalysis) -> bool:
    parsed = parse_name(name)
    if parsed is None or "task" not in parsed.entities:
        return False
    labels = (analysis.session, analysis.task, analysis.space, analysis.seg, analysis.res)
    subject = analysis.subject if isinstance(analysis, Analysis) else ""
    return (parsed.get("sub") or "") == subject and all(
        (parsed.get(key) or "") == label for key, label in zip(_KEYS, labels, strict=True)
    )
