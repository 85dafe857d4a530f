"""From derivatives on disk to reports, so that a report can be made again alone."""

from collections.abc import Sequence
from pathlib import Path

from neurocca.errors import NoInputError
from neurocca.io.derivatives import read_decomposition, read_tables, subjects_of
from neurocca.io.files import staged, write_text
from neurocca.report.html import index_row, render_index, render_with_figures
from neurocca.report.record import ReportData


def write_report(output: Path, subject: str) -> Path:
    """Write ``sub-<subject>.html``, its figures as files, and the index from what lies in an output directory.

    Raises
    ------
    NoInputError
        When the participant has no results there.
    """
    data = ReportData(**read_tables(output, subject))
    page, figures = render_with_figures(data)
    stem = f"sub-{subject}_task-{data.decomposition['Task']}"
    with staged(output) as folder:
        write_text(folder / f"sub-{subject}.html", page)
        (folder / f"sub-{subject}" / "figures").mkdir(parents=True)
        for name, content in figures.items():
            label, ending = name.split(".")
            (folder / f"sub-{subject}" / "figures" / f"{stem}_desc-{label}_plot.{ending}").write_bytes(content)
    rows = [index_row(read_decomposition(output, found)[0]) for found in subjects_of(output)]
    write_text(output / "index.html", render_index(rows))
    return output / f"sub-{subject}.html"


def write_reports(output: Path, labels: Sequence[str] = ()) -> list[Path]:
    """Reports of the asked participants, all by default."""
    subjects = [label.removeprefix("sub-") for label in labels] or subjects_of(output)
    if not subjects:
        raise NoInputError(f"{output}: no neurocca results: run the participant level first.")
    return [write_report(output, subject) for subject in subjects]
