"""From derivatives on disk to reports, so that a report can be made again alone."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neurocca.errors import DataError, NoInputError, NoMatchError
from neurocca.io.analyses import Analysis, analyses_of
from neurocca.io.derivatives import read_decomposition, read_tables
from neurocca.io.files import staged, write_text
from neurocca.io.moments import read_for_report
from neurocca.report.html import index_row, render_index, render_with_figures
from neurocca.report.record import ReportData

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
        page, figures = render_with_figures(ReportData(**tables))
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
    }
    for name, rows in expected.items():
        if tables[name] is not None and len(tables[name]) != rows:
            raise DataError(
                f"{results}: the results of {analysis.stem} are damaged: {len(tables[name])} rows of "
                f"{name.replace('_', ' ')}, expected {rows}."
            )


def write_index(output: Path) -> None:
    """Write ``index.html``, which lists all reports of an output directory; damaged results are named and left out."""
    rows = []
    for analysis in analyses_of(output):
        try:
            rows.append(index_row(read_decomposition(output, analysis), href=analysis.page))
        except (DataError, KeyError, TypeError) as error:
            log.warning("left out of the index: %s: %s", analysis.stem, error)
    write_text(output / "index.html", render_index(rows))


def write_reports(output: Path, labels: Sequence[str] = ()) -> list[Path]:
    """Make the reports of the asked participants again, all by default."""
    found = analyses_of(output)
    if not found:
        raise NoInputError(f"{output}: no neurocca results: run the participant level first.")
    asked = {label.removeprefix("sub-") for label in labels} or {analysis.subject for analysis in found}
    if unknown := sorted(asked - {analysis.subject for analysis in found}):
        raise NoMatchError(f"{output}: no results of participant {', '.join(unknown)}.")
    chosen = [analysis for analysis in found if analysis.subject in asked]
    for analysis in chosen:
        with staged(output) as folder:
            draw_report(output, analysis, folder)
    write_index(output)
    return [output / analysis.page for analysis in chosen]
