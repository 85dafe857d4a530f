"""The command line."""

from neurocca.cli.app import main

__all__ = ["main"]
