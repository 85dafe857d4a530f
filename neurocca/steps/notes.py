"""What tests warn of, for records and reports."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from neurocca.inference.checks import InferenceWarning


@contextmanager
def noted(test: str, notes: list[str]) -> Iterator[None]:
    """Collect what a test warns of; other warnings go where they would."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", InferenceWarning)
        yield
    for warning in caught:
        if isinstance(warning.message, InferenceWarning):
            notes.append(f"In the {test}, {warning.message.plain}")
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
