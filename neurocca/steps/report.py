"""From derivatives on disk to reports, so that a report can be made again alone."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neurocca.errors import DataError, NeuroccaError, NoInputError, NoMatchError
from neurocca.io.analyses import Analysis, analyses_of
from neurocca.io.derivatives import read_decomposition, read_features, read_tables
from neurocca.io.files import one_line, staged, write_text
from neurocca.io.finished import analysed_anew
from neurocca.io.group import GroupAnalysis, group_results_of, read_group_record
from neurocca.io.moments import read_for_report
from neurocca.report.citation import citation
from neurocca.report.group import group_row
from neurocca.report.html import render_with_figures
from neurocca.report.index import failed_row, index_row, render_index
from neurocca.report.record import ReportData
from neurocca.steps.group_report import draw_groups

log = logging.getLogger(__name__)


def draw_report(results: Path, analysis: Analysis, destination: Path) -> None:
    """Write an analysis's page and its figures as files, from the results in one folder into another.

    Raises
    ------
    NoInputError
        When there are no such results.
    DataError
        When the results are damaged.
    """
    tables = read_tables(results, analysis)
    _check_lengths(tables, results, analysis)
    tables |= read_for_report(results, analysis, [c["Name"] for c in tables["decomposition"]["Components"]])
    try:
        at = f"sub-{analysis.subject}/figures/{analysis.stem}_desc-"
        page, figures = render_with_figures(ReportData(**tables), figures_at=at)
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise DataError(f"{results}: the results of {analysis.stem} are damaged: {error!r}.") from error
    write_text(destination / analysis.page, page)
    folder = destination / f"sub-{analysis.subject}" / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in figures.items():
        label, ending = name.split(".")
        (folder / f"{analysis.stem}_desc-{label}_plot.{ending}").write_bytes(content)


def _check_lengths(tables: dict[str, Any], results: Path, analysis: Analysis) -> None:
    """Refuse tables that are shorter than the record says."""
    d = tables["decomposition"]
    expected = {
        "null": 0
        if d["Components"][0]["PValueInSample"] is None
        else d["Inference"].get("NumberOfPermutations", 0) + 1,
        "held_out_null": d["Inference"].get("NumberOfPermutations", 0) + 1,
        "feature_loadings": d.get("NumberOfFeatures"),
        "response_loadings": d.get("NumberOfResponses"),
        "response_pvalues": d.get("NumberOfResponses"),
    }
    for name, rows in expected.items():
        if tables[name] is not None and len(tables[name]) != rows:
            raise DataError(
                f"{results}: the results of {analysis.stem} are damaged: {len(tables[name])} rows of "
                f"{name.replace('_', ' ')}, expected {rows}."
            )


def write_index(output: Path, failed: Sequence[tuple[str, str, str]] = ()) -> None:
    """Write what is of all analyses of an output directory: ``index.html``, and ``logs/CITATION.md`` and ``.bib``.

    Damaged results, and reports that are missing, are named in it.

    Parameters
    ----------
    output : Path
    failed : sequence of (subject, task, reason)
        Participants that failed just now.
    """
    rows, described = [failed_row(subject, task, "", reason) for subject, task, reason in failed], []
    for analysis in analyses_of(output):
        try:
            record = read_decomposition(output, analysis)
            rows.append(index_row(record, href=analysis.page, is_drawn=(output / analysis.page).is_file()))
            described.append((record, read_features(output, analysis)))
        except (NeuroccaError, KeyError, TypeError) as error:
            log.warning("results in the index that cannot be read: %s: %s", analysis.stem, error)
            variant = " ".join(filter(None, (analysis.session, analysis.space, analysis.seg, analysis.res)))
            reason = one_line(error).removeprefix(f"{output}/")
            rows.append(failed_row(analysis.subject, analysis.task, variant, f"damaged results: {reason}"))
    write_text(output / "index.html", render_index(rows, _group_rows(output)))
    _write_citation(output, described)


def write_boilerplate(output: Path) -> list[Path]:
    """Write the methods text of all analyses of an output directory, and what it cites.

    Raises
    ------
    NoInputError
        When there are no results.
    DataError
        When some are damaged.
    """
    return _write_citation(
        output, [(read_decomposition(output, one), read_features(output, one)) for one in _found(output)]
    )


def _write_citation(output: Path, described: Sequence[tuple[Any, Any]]) -> list[Path]:
    if not described:
        return []
    files = [output / "logs" / f"CITATION.{ending}" for ending in ("md", "bib")]
    for file, text in zip(files, citation(described), strict=True):
        write_text(file, text)
    return files


def _found(output: Path) -> list[Analysis]:
    if not (found := analyses_of(output)):
        raise NoInputError(f"{output}: no neurocca results: run the participant level first.")
    return found


def _group_rows(output: Path) -> list[dict[str, Any]]:
    found = []
    for group in group_results_of(output):
        try:
            anew = analysed_anew(output, group)
            there = [one.subject for one in analyses_of(output) if GroupAnalysis.of(one) == group]
            found.append(group_row(read_group_record(output, group), href=group.page, there=there, anew=anew))
        except (DataError, KeyError, TypeError) as error:
            log.warning("left out of the index: %s: %s", group.stem, error)
    return found


def write_reports(output: Path, labels: Sequence[str] = ()) -> list[Path]:
    """Make the reports of the asked participants again; by default all, and those of groups."""
    found = _found(output)
    asked = {label.removeprefix("sub-") for label in labels} or {analysis.subject for analysis in found}
    if unknown := sorted(asked - {analysis.subject for analysis in found}):
        raise NoMatchError(f"{output}: no results of participant {', '.join(unknown)}.")
    chosen = [analysis for analysis in found if analysis.subject in asked]
    for analysis in chosen:
        with staged(output) as folder:
            draw_report(output, analysis, folder)
    groups = [] if labels else draw_groups(output)
    write_index(output)
    return [*(output / analysis.page for analysis in chosen), *groups]
