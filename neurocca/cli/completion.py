"""Completion of words in shells, by argcomplete."""

import argparse
import os
from collections.abc import Callable, Mapping


def complete(parsers: Mapping[str, Callable[[], argparse.ArgumentParser]]) -> None:
    """Answer a shell that asks what a word may become, and exit; do nothing when no shell asks.

    Parameters
    ----------
    parsers : mapping
        What makes the parser of each verb, and of the app by the name "".
    """
    if "_ARGCOMPLETE" not in os.environ:
        return
    import argcomplete

    line, point = os.environ["COMP_LINE"], int(os.environ["COMP_POINT"])
    words = line.split()
    verb = words[1] if len(words) > 1 and words[1] in parsers and f"{words[0]} {words[1]} " in line[:point] else ""
    if verb:  # which is no word of its parser's
        os.environ["COMP_LINE"] = line.replace(f" {verb}", "", 1)
        os.environ["COMP_POINT"] = str(point - len(verb) - 1)
    argcomplete.autocomplete(parsers[verb](), always_complete_options="long")
