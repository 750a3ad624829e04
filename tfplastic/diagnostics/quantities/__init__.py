"""The quantities, one file for each family."""

import importlib

FAMILIES = (
    "unit_activity",
    "pre_activations",
    "feature_ranks",
    "weight_norms",
    "weight_ranks",
    "gradients",
    "histograms",
    "gradient_angles",
    "gradient_noise",
    "weight_changes",
    "next_update",
    "tangent_kernel",
    "curvature",
)
"""The modules, in the order in which their quantities are declared, measured and printed."""

for _family in FAMILIES:
    importlib.import_module(f"{__name__}.{_family}")
