"""Diagnostics of the layers of a Keras model, measured without disturbing it.

>>> import tensorflow as tf
>>> from tfplastic import diagnostics
>>> model = tf.keras.Sequential([
...     tf.keras.layers.Dense(3, activation='relu', kernel_initializer='ones', name='hidden'),
...     tf.keras.layers.Dense(1, name='output'),
... ])
>>> inputs = tf.constant([[-1., -2.], [-3., -4.]])
>>> _ = model(inputs)  # builds it
>>> snapshot = diagnostics.Snapshot(model, inputs)
>>> diagnostics.measure(snapshot, [diagnostics.dead_units])
{'dead_units': {'hidden': 1.0}}
"""

from tfplastic import _renames
from tfplastic.diagnostics import ranks
from tfplastic.diagnostics.declaration.quantity import quantity
from tfplastic.diagnostics.diagnose import diagnose
from tfplastic.diagnostics.from_arrays import from_arrays
from tfplastic.diagnostics.measure import measure
from tfplastic.diagnostics.objectives import noisy_self_targets
from tfplastic.diagnostics.quantities import (
    curvature,
    feature_ranks,
    gradient_angles,
    gradient_noise,
    gradients,
    histograms,
    next_update,
    pre_activations,
    tangent_kernel,
    unit_activity,
    weight_changes,
    weight_norms,
    weight_ranks,
)
from tfplastic.diagnostics.quantities.curvature import *
from tfplastic.diagnostics.quantities.feature_ranks import *
from tfplastic.diagnostics.quantities.gradient_angles import *
from tfplastic.diagnostics.quantities.gradient_noise import *
from tfplastic.diagnostics.quantities.gradients import *
from tfplastic.diagnostics.quantities.histograms import *
from tfplastic.diagnostics.quantities.next_update import *
from tfplastic.diagnostics.quantities.pre_activations import *
from tfplastic.diagnostics.quantities.shared.example_gradients import gram_matrices
from tfplastic.diagnostics.quantities.shared.virtual_step import VirtualStep, virtual_step
from tfplastic.diagnostics.quantities.tangent_kernel import *
from tfplastic.diagnostics.quantities.unit_activity import *
from tfplastic.diagnostics.quantities.weight_changes import *
from tfplastic.diagnostics.quantities.weight_norms import *
from tfplastic.diagnostics.quantities.weight_ranks import *
from tfplastic.diagnostics.reading.hidden_nonlinearities import (
    RecordedCall,
    recorded_activations,
    recorded_call,
)
from tfplastic.diagnostics.reference import Reference
from tfplastic.diagnostics.report import Report
from tfplastic.diagnostics.snapshot import Snapshot
from tfplastic.diagnostics.units.unit_map import UnitMap
from tfplastic.diagnostics.units.unit_slices import Normalization, Slice, Units
from tfplastic.diagnostics.units.unit_statistics import UnitStatistics

__all__ = [
    "Normalization",
    "RecordedCall",
    "Reference",
    "Report",
    "Slice",
    "Snapshot",
    "UnitMap",
    "UnitStatistics",
    "Units",
    "VirtualStep",
    "diagnose",
    "from_arrays",
    "gram_matrices",
    "measure",
    "noisy_self_targets",
    "quantity",
    "ranks",
    "recorded_activations",
    "recorded_call",
    "virtual_step",
]
__all__ += curvature.__all__
__all__ += feature_ranks.__all__
__all__ += gradient_angles.__all__
__all__ += gradient_noise.__all__
__all__ += gradients.__all__
__all__ += histograms.__all__
__all__ += next_update.__all__
__all__ += pre_activations.__all__
__all__ += tangent_kernel.__all__
__all__ += unit_activity.__all__
__all__ += weight_changes.__all__
__all__ += weight_norms.__all__
__all__ += weight_ranks.__all__

__getattr__ = _renames.module_getattr(__name__)
