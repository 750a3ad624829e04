"""Which quantities belong to which budget: all there are, each in the tuple of its cost."""

from tfplastic.diagnostics.measure import Function
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
    gradient_cosine,
    gradient_covariance,
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

CHEAP: tuple[Function, ...] = (
    dead_units,
    dormant_units,
    active_units,
    saturated_units,
    linearized_units,
    pre_activation_histogram,
    pre_activation_means,
    pre_activation_variances,
    pre_activation_mean_shift,
    pre_activation_variance_shift,
    feature_srank,
    feature_srank_sum,
    feature_approximate_rank,
    feature_effective_rank,
    feature_rank,
    feature_rank_unscaled,
    feature_stable_rank,
    feature_numerical_rank,
    feature_spectral_norm,
    feature_singular_values,
    weight_norm,
    weight_l1_norm,
    weight_magnitude,
    weight_spectral_norm,
    deviation_from_isometry,
    weight_srank,
    weight_srank_sum,
    weight_approximate_rank,
    weight_effective_rank,
    weight_stable_rank,
    weight_numerical_rank,
    weight_singular_values,
    distance_from_init,
    rms_distance_from_init,
    cosine_from_init,
)
"""One forward pass for all of them together, and what the weights alone say."""

MEDIUM: tuple[Function, ...] = (
    gradient_norm,
    gradient_l1_norm,
    gradient_l0_norm,
    dormant_gradients,
    gradient_strength,
    update_ratio,
    effective_learning_rate,
    same_batch_loss_change,
    churn,
)
"""Gradients of the loss, and the next update."""

FULL: tuple[Function, ...] = (
    gradient_covariance,
    gradient_cosine,
    gradient_interference,
    gradient_effective_rank,
    gradient_signal_to_noise,
    gradient_reliability,
    ntk,
    ntk_rank,
    ntk_condition_number,
    ntk_alignment,
    sharpness,
    smallest_eigenvalue,
    hessian_condition_number,
    hessian_trace,
    hessian_spectral_density,
    layer_sharpness,
    preconditioned_sharpness,
)
"""Gradients of single examples, the kernel, and products with the Hessian."""

BUDGETS: dict[str, tuple[Function, ...]] = {
    "cheap": CHEAP,
    "medium": CHEAP + MEDIUM,
    "full": CHEAP + MEDIUM + FULL,
}
"""What `diagnose` computes for each budget."""
