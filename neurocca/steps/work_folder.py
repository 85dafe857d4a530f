"""The folder for intermediate files."""

import logging
import shutil
from pathlib import Path

log = logging.getLogger(__name__)

WORK = Path("work")
"""Where none is named."""

STORE, CLEANED = "features.h5", "cleaned"
"""What neurocca keeps there: features of the events' films, and cleaned BOLD."""


def clean_work(folder: Path | None, features: Path | None) -> None:
    """Remove what earlier calls have left in a folder for intermediate files, and nothing else that is there.

    Parameters
    ----------
    folder : Path or None
        ``work`` by default.
    features : Path or None
        A store that the user gives. There is no intermediate one then, and a store in the folder stays.
    """
    folder = folder or WORK
    store = folder / STORE
    stores = [store, store.with_name(f".{STORE}.parts")] if features is None else []
    for path in (*(folder / CLEANED).glob("run-*.h5"), *stores):
        if path.is_dir():
            shutil.rmtree(path)
        elif path.exists():
            path.unlink()
        else:
            continue
        log.info("removed %s", path)
