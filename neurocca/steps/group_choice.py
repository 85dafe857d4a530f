"""Which groups there are in an output directory, and whose results they take."""

import logging
from pathlib import Path

from neurocca.errors import NoInputError, NoMatchError
from neurocca.io.analyses import Analysis
from neurocca.io.group import GroupAnalysis, groups_in
from neurocca.io.query import NONE, Query

log = logging.getLogger(__name__)


def chosen_groups(bids_dir: Path, output_dir: Path, query: Query) -> dict[GroupAnalysis, list[Analysis]]:
    """Groups of at least two participants that are asked for."""
    first = f"run the participant level first: neurocca {bids_dir} {output_dir} participant"
    everything = groups_in(output_dir)
    if not everything:
        raise NoInputError(f"{output_dir}: no neurocca results: {first}")
    known = {a.subject for analyses in everything.values() for a in analyses}
    known |= {path.name[4:] for path in bids_dir.glob("sub-*") if path.is_dir()}
    if unknown := sorted(set(_labels(query)) - known):
        raise NoMatchError(f"{bids_dir}: no participant {', '.join(unknown)}; {first}")
    asked = {
        group: [a for a in analyses if a.subject in _labels(query) or not query.participants]
        for group, analyses in everything.items()
        if _is_asked(group, query)
    }
    found = {group: analyses for group, analyses in asked.items() if analyses}
    if not found:
        raise NoMatchError(f"{output_dir}: no results of the participants, task, session or space asked for; {first}")
    enough = {group: analyses for group, analyses in found.items() if len(analyses) > 1}
    for group in found.keys() - enough.keys():
        log.warning("%s: results of sub-%s alone: no group.", group.stem, found[group][0].subject)
    if not enough:
        subjects = sorted({a.subject for analyses in found.values() for a in analyses})
        raise NoInputError(
            f"{output_dir}: a group takes results of two participants or more, and there are those of "
            f"sub-{', sub-'.join(subjects)}; {first}"
        )
    return enough


def _labels(query: Query) -> list[str]:
    return [label.removeprefix("sub-") for label in query.participants]


def _is_asked(group: GroupAnalysis, query: Query) -> bool:
    sessions = [label.removeprefix("ses-") for label in query.sessions]
    return (
        query.task in (None, group.task)
        and (not sessions or group.session in sessions)
        and query.space in (None, group.space or NONE)
        and query.res in (None, group.res or NONE)
    )


def without_results(bids_dir: Path, group: GroupAnalysis, query: Query, have: set[str]) -> dict[str, str]:
    """Participants who are asked for, or in the dataset, and have no results."""
    wanted = _labels(query) or sorted(path.name[4:] for path in bids_dir.glob("sub-*") if path.is_dir())
    return {subject: f"no results of {group.stem}." for subject in wanted if subject not in have}


def reasons_of(left_out: dict[str, str]) -> str:
    """Why participants are left out, in one line."""
    return "; ".join(f"sub-{subject}: {reason.rstrip('.')}" for subject, reason in left_out.items()) + "."


def describe_groups(bids_dir: Path, output_dir: Path, query: Query) -> str:
    """Groups and participants that `run_group` would read; nothing is written."""
    lines = []
    for group, analyses in chosen_groups(bids_dir, output_dir, query).items():
        subjects = {analysis.subject for analysis in analyses}
        lines.append(f"{group.stem}: {len(subjects)} participants ({', '.join(sorted(subjects))})")
        missing = without_results(bids_dir, group, query, subjects)
        lines += [f"  sub-{subject}: {reason}" for subject, reason in missing.items()]
    return "\n".join(lines)
