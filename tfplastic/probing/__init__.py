"""The plasticity of a network as a number, measured without touching it.

>>> import numpy as np, tensorflow as tf, tfplastic as tp
>>> model = tp.networks.mlp(1, hidden=(8,), input_shape=(3,))
>>> inputs = np.random.default_rng(0).normal(size=[20, 3]).astype(np.float32)
>>> probe = tp.probing.Probe(num_targets=2, num_steps=10, baselines=2)
>>> result = probe.measure(model, inputs, tf.keras.optimizers.Adam(1e-2))
>>> sorted(result.to_dict())[:2]
['curve_area', 'final_loss']
"""

from tfplastic import _renames
from tfplastic.probing._measuring.cache import ProbeCache
from tfplastic.probing.heads import Classification, Head, Regression, TwoHot
from tfplastic.probing.injection import InjectionResult, measure_injection
from tfplastic.probing.measure import measure_plasticity
from tfplastic.probing.probe import Probe
from tfplastic.probing.result import FreshNetworks, ProbeResult
from tfplastic.probing.targets import (
    GivenTargets,
    RandomLabels,
    RandomNetworkTargets,
    SineTargets,
    Targets,
    TargetSource,
)

__all__ = [
    "Classification",
    "FreshNetworks",
    "GivenTargets",
    "Head",
    "InjectionResult",
    "Probe",
    "ProbeCache",
    "ProbeResult",
    "RandomLabels",
    "RandomNetworkTargets",
    "Regression",
    "SineTargets",
    "TargetSource",
    "Targets",
    "TwoHot",
    "measure_injection",
    "measure_plasticity",
]

__getattr__ = _renames.module_getattr(__name__)
