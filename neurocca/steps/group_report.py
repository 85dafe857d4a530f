"""From a group's derivatives on disk to its report."""

from pathlib import Path

from neurocca.errors import DataError
from neurocca.io.files import write_text
from neurocca.io.group import GroupAnalysis, group_results_of, read_group_record, read_group_tables
from neurocca.report.group import GroupReportData, render_group


def draw_group(results: Path, group: GroupAnalysis, destination: Path) -> None:
    """Write a group's page, from the results in one folder into another.

    Raises
    ------
    NoInputError
        When there are no such results.
    DataError
        When the results are damaged.
    """
    record = read_group_record(results, group)
    tables, maps = read_group_tables(results, group)
    try:
        page = render_group(GroupReportData(record, tables, maps))
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise DataError(f"{results}: the results of {group.stem} are damaged: {error!r}.") from error
    write_text(destination / group.page, page)


def draw_groups(output: Path) -> list[Path]:
    """Make the pages of all groups of an output directory again."""
    groups = group_results_of(output)
    for group in groups:
        draw_group(output, group, output)
    return [output / group.page for group in groups]
