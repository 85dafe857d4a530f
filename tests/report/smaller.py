"""Results of which less is drawn."""

from dataclasses import replace

from neurocca.report.record import ReportData


def first_components(data: ReportData, n: int) -> ReportData:
    """The same results with the first components alone: the figures of each take up to seconds."""
    record = {**data.decomposition, "Components": data.decomposition["Components"][:n]}
    return replace(data, decomposition=record, maps=None if data.maps is None else data.maps.slicer[..., :n])
