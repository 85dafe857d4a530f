"""The folder for intermediate files."""

import logging
import shutil
from pathlib import Path

log = logging.getLogger(__name__)

WORK = Path("work")
"""Where none is named."""

STORE, CLEANED = "features.h5", "cleaned"
"""What neurocca keeps there: features of the events' films, and cleaned BOLD."""


def clean_work(folder: Path | None) -> None:
    """Remove what earlier calls have left in a folder for intermediate files, and nothing else that is there."""
    folder = folder or WORK
    store = folder / STORE
    for path in (store, store.with_name(f".{store.name}.parts"), folder / CLEANED):
        if path.is_dir():
            shutil.rmtree(path)
        elif path.exists():
            path.unlink()
        else:
            continue
        log.info("removed %s", path)
