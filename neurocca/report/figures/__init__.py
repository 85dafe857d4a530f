"""The figures of a report: arrays in, SVG text (or a PNG data-URI for brains) out. Only here is anything drawn."""

from neurocca.report.figures.augmentation import augmentation_drift
from neurocca.report.figures.brains import brain_map, map_range
from neurocca.report.figures.carpet import DISPLACEMENT, carpet
from neurocca.report.figures.contributions import contributions
from neurocca.report.figures.features import feature_loadings, variant_labels
from neurocca.report.figures.group import participants_overview
from neurocca.report.figures.inference import held_out_overview, held_out_per_run, null_histogram
from neurocca.report.figures.lag import lag_curve
from neurocca.report.figures.markers import parcel_markers
from neurocca.report.figures.parcels import parcel_loadings
from neurocca.report.figures.selection import shrinkage_curve
from neurocca.report.figures.series import time_courses
from neurocca.report.figures.stability import stability
from neurocca.report.figures.storyboard import storyboard
from neurocca.report.figures.surfaces import fits_mesh, projected, surface_map
from neurocca.report.figures.viewer import interactive_viewer

__all__ = [
    "DISPLACEMENT",
    "augmentation_drift",
    "brain_map",
    "carpet",
    "contributions",
    "feature_loadings",
    "fits_mesh",
    "held_out_overview",
    "held_out_per_run",
    "interactive_viewer",
    "lag_curve",
    "map_range",
    "null_histogram",
    "parcel_loadings",
    "parcel_markers",
    "participants_overview",
    "projected",
    "shrinkage_curve",
    "stability",
    "storyboard",
    "surface_map",
    "time_courses",
    "variant_labels",
]
