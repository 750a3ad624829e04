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

from tfplastic import _renames
from tfplastic.diagnostics import ranks
from tfplastic.diagnostics.diagnose import diagnose
from tfplastic.diagnostics.measure import measure
from tfplastic.diagnostics.objectives import noisy_self_targets
from tfplastic.diagnostics.quantities.curvature import (
    hessian_condition_number,
    hessian_spectral_density,
    hessian_trace,
    layer_sharpness,
    preconditioned_sharpness,
    sharpness,
    smallest_eigenvalue,
)
from tfplastic.diagnostics.quantities.feature_ranks import (
    feature_approximate_rank,
    feature_effective_rank,
    feature_numerical_rank,
    feature_rank,
    feature_rank_unscaled,
    feature_singular_values,
    feature_spectral_norm,
    feature_srank,
    feature_srank_sum,
    feature_stable_rank,
)
from tfplastic.diagnostics.quantities.gradient_covariance import (
    cosine_rows,
    flat_inputs,
    gradient_cosine,
    gradient_covariance,
    gradient_directions,
    gradient_effective_rank,
    gradient_interference,
)
from tfplastic.diagnostics.quantities.gradient_noise import (
    gradient_reliability,
    gradient_signal_to_noise,
    gradient_strength,
)
from tfplastic.diagnostics.quantities.gradients import (
    dormant_gradients,
    gradient_l0_norm,
    gradient_l1_norm,
    gradient_norm,
)
from tfplastic.diagnostics.quantities.next_update import churn, same_batch_loss_change
from tfplastic.diagnostics.quantities.pre_activations import (
    pre_activation_histogram,
    pre_activation_mean_shift,
    pre_activation_means,
    pre_activation_variance_shift,
    pre_activation_variances,
)
from tfplastic.diagnostics.quantities.shared.example_gradients import gram_matrices
from tfplastic.diagnostics.quantities.shared.virtual_step import VirtualStep, virtual_step
from tfplastic.diagnostics.quantities.tangent_kernel import ntk, ntk_alignment, ntk_condition_number, ntk_rank
from tfplastic.diagnostics.quantities.unit_activity import (
    active_units,
    dead_units,
    dormant_units,
    linearized_units,
    saturated_units,
)
from tfplastic.diagnostics.quantities.weight_changes import (
    cosine_from_init,
    distance_from_init,
    effective_learning_rate,
    rms_distance_from_init,
    update_ratio,
)
from tfplastic.diagnostics.quantities.weight_norms import (
    deviation_from_isometry,
    weight_l1_norm,
    weight_magnitude,
    weight_norm,
    weight_spectral_norm,
)
from tfplastic.diagnostics.quantities.weight_ranks import (
    weight_approximate_rank,
    weight_effective_rank,
    weight_numerical_rank,
    weight_singular_values,
    weight_srank,
    weight_srank_sum,
    weight_stable_rank,
)
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
    "active_units",
    "feature_approximate_rank",
    "churn",
    "cosine_from_init",
    "cosine_rows",
    "dead_units",
    "deviation_from_isometry",
    "diagnose",
    "distance_from_init",
    "dormant_gradients",
    "dormant_units",
    "effective_learning_rate",
    "feature_effective_rank",
    "feature_rank",
    "feature_rank_unscaled",
    "feature_singular_values",
    "feature_spectral_norm",
    "flat_inputs",
    "gradient_cosine",
    "gradient_covariance",
    "gradient_directions",
    "gradient_effective_rank",
    "gradient_interference",
    "gradient_l0_norm",
    "gradient_l1_norm",
    "gradient_norm",
    "gradient_reliability",
    "gradient_signal_to_noise",
    "gradient_strength",
    "gram_matrices",
    "hessian_condition_number",
    "hessian_trace",
    "layer_sharpness",
    "linearized_units",
    "measure",
    "noisy_self_targets",
    "ntk",
    "ntk_alignment",
    "ntk_condition_number",
    "ntk_rank",
    "feature_numerical_rank",
    "pre_activation_histogram",
    "pre_activation_mean_shift",
    "pre_activation_means",
    "pre_activation_variance_shift",
    "pre_activation_variances",
    "preconditioned_sharpness",
    "ranks",
    "recorded_activations",
    "recorded_call",
    "rms_distance_from_init",
    "same_batch_loss_change",
    "saturated_units",
    "sharpness",
    "smallest_eigenvalue",
    "hessian_spectral_density",
    "feature_srank",
    "feature_srank_sum",
    "feature_stable_rank",
    "update_ratio",
    "virtual_step",
    "weight_approximate_rank",
    "weight_effective_rank",
    "weight_l1_norm",
    "weight_magnitude",
    "weight_norm",
    "weight_numerical_rank",
    "weight_singular_values",
    "weight_spectral_norm",
    "weight_srank",
    "weight_srank_sum",
    "weight_stable_rank",
]

__getattr__ = _renames.module_getattr(__name__)
