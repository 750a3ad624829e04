"""What the layers of a Keras model are doing, measured without disturbing it.

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

from tfplastic.diagnostics._recording import recorded_activations
from tfplastic.diagnostics.measure import measure
from tfplastic.diagnostics.norms import gradient_norm, weight_norm
from tfplastic.diagnostics.report import Report
from tfplastic.diagnostics.sharpness import sharpness
from tfplastic.diagnostics.snapshot import Snapshot
from tfplastic.diagnostics.unit_map import UnitMap
from tfplastic.diagnostics.unit_slices import Normalisation, Slice, Units
from tfplastic.diagnostics.unit_statistics import UnitStatistics
from tfplastic.diagnostics.units import dead_fraction, dead_units, dormant_fraction, dormant_units
from tfplastic.diagnostics.virtual_step import VirtualStep, virtual_step

__all__ = [
    "Normalisation",
    "Report",
    "Slice",
    "Snapshot",
    "UnitMap",
    "UnitStatistics",
    "Units",
    "VirtualStep",
    "dead_fraction",
    "dead_units",
    "dormant_fraction",
    "dormant_units",
    "gradient_norm",
    "measure",
    "recorded_activations",
    "sharpness",
    "virtual_step",
    "weight_norm",
]
