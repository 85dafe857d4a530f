"""The demo: a generated film, and simulated BOLD with planted components."""

from neurocca.demo.dataset import make_dataset

__all__ = ["make_dataset"]
