"""Processes of one call: they share the cores, say what they do, and end with the call."""

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from joblib import cpu_count
from joblib.externals.loky import ProcessPoolExecutor

from neurocca.steps.terminal import log_to_terminal

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@contextmanager
def processes(n: int) -> Iterator[ProcessPoolExecutor]:
    """Processes of this call alone, with a fair share of the cores each.

    joblib's own are kept from call to call, and have been seen to leave a later one waiting for ever.
    """
    threads = str(max(1, cpu_count() // n))
    env = {name: os.environ.get(name, threads) for name in _THREADS}
    arguments = (logging.getLogger("neurocca").getEffectiveLevel(), os.getpid())
    pool = ProcessPoolExecutor(n, initializer=_begin, initargs=arguments, env=env)
    try:
        yield pool
    except BaseException:
        # left to themselves they complain after the one line that counts
        pool.shutdown(wait=True, kill_workers=True)
        raise
    pool.shutdown(wait=True)


def _begin(level: int, parent: int) -> None:
    """Make a process say what it does as the first one would, and end with that one."""
    log_to_terminal(level)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """End this process when its parent has: another call may be at work in the same folder by then."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
