"""What a shell is answered when it asks what a word may become."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("neurocca --data", {"--datalad-get", "--datalad-drop", "--datalad_drop"}),
        ("neurocca in out participant --shr", {"--shrinkage"}),
        ("neurocca features --ver", {"--verify-studyforrest", "--verify_studyforrest", "--verbose"}),
        ("neurocca fetch studyforrest data --dry", {"--dry-run", "--dry_run"}),
    ],
)
def test_options_are_completed(line, expected, tmp_path):
    out = tmp_path / "words"
    asking = {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(out),
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
    }
    subprocess.run([sys.executable, "-m", "neurocca"], env=os.environ | asking, cwd=tmp_path, check=True)
    words = set(out.read_text().split())
    assert expected <= words
    assert all(word.startswith(line.split()[-1]) for word in words)
