"""The demo: a generated film and simulated BOLD with planted components, and how well these are found again."""

from neurocca.demo.dataset import make_dataset
from neurocca.demo.recovery import recovery

__all__ = ["make_dataset", "recovery"]
