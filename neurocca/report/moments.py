"""Film moments in words, and the picture of them where there is one."""

import base64

from neurocca.report.record import ReportData
from neurocca.report.wording import number

N_LISTED = 4
"""Moments of a sign that the page names."""


def moments(data: ReportData, name: str) -> dict[str, str]:
    """Highest and lowest moments of a component; empty where results do not have them."""
    if data.moments is None:
        return {}
    table = data.moments[(data.moments["component"] == name) & (data.moments["rank"] <= N_LISTED)]
    said = {"high": "none", "low": "none"}
    for sign, group in table.groupby("sign"):
        each = zip(group["run"], group["seconds"], group["value"], strict=True)
        said[str(sign)] = ", ".join(_words(run, seconds, z) for run, seconds, z in each)
    picture = data.storyboards.get(name)
    encoded = base64.b64encode(picture).decode() if picture else ""
    return {**said, "picture": f"data:image/jpeg;base64,{encoded}" if encoded else ""}


def _words(run: str, seconds: float, z: float) -> str:
    return f"run {run} at {int(seconds // 60)}:{seconds % 60:04.1f} (z = {number(z, 1)})"
