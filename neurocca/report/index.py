"""The page that lists the subjects of an output folder."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neurocca.report import wording
from neurocca.report.page import environment


def render_index(rows: Sequence[Mapping[str, Any]], groups: Sequence[Mapping[str, Any]] = ()) -> str:
    """Page that lists the participants.

    Parameters
    ----------
    rows : sequence of mappings
        One per subject, as `index_row` makes them.
    groups : sequence of mappings
        One per group, as `neurocca.report.group.group_row` makes them.
    """
    ordered = sorted(rows, key=lambda row: (str(row["subject"]), str(row["task"]), row["variant"]))
    width = max((len(row["held_out"]) for row in rows), default=0)
    first = [row["held_out"][0] for row in rows if row["held_out"] and wording.is_known(row["held_out"][0])]
    # who has just failed may have results of an earlier call, too
    done = {row["subject"] for row in rows if not row["error"]}
    n_analyses = sum(not row["error"] for row in rows) + len({row["subject"] for row in rows} - done)
    return environment().get_template("index.html.jinja").render(
        rows=ordered,
        groups=groups,
        n_shown=min(width, 3),
        n_analyses=n_analyses,
        n_subjects=len({row["subject"] for row in rows}),
        failed=[row for row in ordered if row["error"]],
        n_with=sum(row["n_found"] > 0 for row in rows),
        mean_first=float(np.mean(first)) if first else None,
        simulated=any(row["simulated"] for row in rows),
    )  # fmt: skip


def failed_row(subject: str, task: str, variant: str, reason: str) -> dict[str, Any]:
    """What the index says about an analysis whose results are damaged.

    Parameters
    ----------
    subject, task, variant : str
    reason : str
        One line.
    """
    return {"subject": subject, "task": task, "variant": variant, "error": reason, "simulated": False,
            "n_found": 0, "held_out": [], "href": ""}  # fmt: skip


def index_row(decomposition: Mapping[str, Any], *, href: str | None = None, is_drawn: bool = True) -> dict[str, Any]:
    """What the index says about one subject.

    Parameters
    ----------
    decomposition : mapping
        Content of ``*_decomposition.json``.
    href : str, optional
        Link to the subject's page; ``sub-<Subject>.html`` beside the index if not given.
    is_drawn : bool
        Whether that page is there.
    """
    components = wording.by_held_out(decomposition["Components"])
    return {
        "error": "" if is_drawn else "its report is missing: neurocca report makes it",
        "bars": [
            {"r": c["HeldOutCorrelation"], "found": wording.is_found(c), "name": c["Name"]}
            for c in components
            if wording.is_known(c["HeldOutCorrelation"])
        ],
        "subject": decomposition["Subject"],
        "task": decomposition["Task"],
        "variant": wording.variant(decomposition["Dataset"]),
        "simulated": decomposition["Simulated"],
        "warnings": len(decomposition["Warnings"]),
        "n_found": sum(wording.is_found(c) for c in components),
        "n_components": len(components),
        "held_out": [c["HeldOutCorrelation"] for c in components],
        "p": [c["PValueHeldOut"] for c in components],
        "href": href or f"sub-{decomposition['Subject']}.html",
    }
