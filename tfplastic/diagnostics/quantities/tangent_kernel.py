"""The empirical neural tangent kernel."""

import math
from typing import Any

import numpy as np
import tensorflow as tf

from tfplastic.diagnostics.declaration.quantity import quantity
from tfplastic.diagnostics.quantities.shared.example_gradients import GramMatrices
from tfplastic.diagnostics.snapshot import Snapshot
from tfplastic.linalg import NonFiniteError, NTKOperator, SpectralDensity, spectral_density

__all__ = ["ntk", "ntk_alignment", "ntk_condition_number", "ntk_rank"]

_MOST_ROWS = 2048  # of a kernel that is made as a matrix: 32 MiB


@quantity("full", group="kernel")
def ntk(snapshot: Snapshot, num_examples: int = 64) -> dict[str, np.ndarray]:
    """Returns the empirical neural tangent kernel, J being the Jacobian of all outputs by all weights.

    K_ij is the inner product of the gradients of outputs i and j, which are counted example after example,
    without those that a mask of Keras leaves out. Not normalized.

    Formula: K = J J^T
    Range: positive semi-definite
    NaN: where a gradient is NaN; not finite where a gradient is not.
    Cost: as many gradients as there are rows, which all quantities of the kernel share.

    Args:
        snapshot: snapshot of the model; needs no loss.
        num_examples: number of first examples to take; all where there are fewer. 64 is usual in the field.

    Returns:
        {'all': `[m, m] float64`}, m being the number of the examples' outputs; of a larger kernel the first
        2048 rows and columns.

    Raises:
        ValueError: an argument is outside its range, or the model does not return a tensor of floats.

    Source: Jacot et al. 2018, "Neural tangent kernel".

    Example:
        >>> import tensorflow as tf
        >>> from tfplastic import diagnostics
        >>> model = tf.keras.Sequential([tf.keras.layers.Dense(1, use_bias=False, name='only')])
        >>> inputs = tf.constant([[1., 0.], [1., 2.]])
        >>> _ = model(inputs)  # builds it
        >>> snapshot = diagnostics.Snapshot(model, inputs)
        >>> diagnostics.ntk(snapshot)['all'].tolist()  # gradients are the inputs
        [[1.0, 1.0], [1.0, 5.0]]
    """
    return {"all": _matrix(snapshot, num_examples)}


@quantity("full", group="kernel")
def ntk_rank(snapshot: Snapshot, num_examples: int = 64, seed: int = 0) -> dict[str, float]:
    """Returns the numerical rank of the empirical neural tangent kernel.

    m is the size of the kernel, epsilon that of the weights' dtype, which the gradients are rounded to.

    Formula: #{i : lambda_i > m epsilon lambda_1}
    Range: [0, m], whole numbers unless it is an estimate
    NaN: where a gradient is NaN or infinite.
    Cost: up to 2048 outputs as many gradients as there are outputs; for more an estimate by stochastic
        Lanczos quadrature, 900 products with the kernel.

    Args:
        snapshot: snapshot of the model; needs no loss.
        num_examples: number of first examples to take; all where there are fewer.
        seed: seed of the estimate.

    Returns:
        {'all': rank}.

    Raises:
        ValueError: an argument is outside its range, or the model does not return a tensor of floats.

    Source: Lyle et al. 2024, "Disentangling the causes of plasticity loss in neural networks"; the threshold
        is numpy's.
    """
    spectrum = _spectrum(snapshot, num_examples, seed)
    if spectrum is None:
        return {"all": math.nan}
    threshold = _rounding(snapshot, spectrum) * float(spectrum.nodes.max())
    share = spectrum.mean(lambda values: (values > max(threshold, 0.0)).astype(np.float64)).value
    return {"all": round(share * spectrum.size, 6)}  # sums of 1 / m are whole but for rounding


@quantity("full", group="kernel")
def ntk_condition_number(snapshot: Snapshot, num_examples: int = 64, seed: int = 0) -> dict[str, float]:
    """Returns the condition number of the empirical neural tangent kernel.

    lambda_m is taken as at least m epsilon lambda_1, its rounding error: a singular kernel has 1 / (m
    epsilon).

    Formula: lambda_1 / lambda_m
    Range: at least 1
    NaN: where the kernel is zero, and where a gradient is NaN or infinite.
    Cost: that of `ntk_rank`.

    Args:
        snapshot: snapshot of the model; needs no loss.
        num_examples: number of first examples to take; all where there are fewer.
        seed: seed of the estimate for more than 2048 outputs, which is a lower bound.

    Returns:
        {'all': ratio}.

    Raises:
        ValueError: an argument is outside its range, or the model does not return a tensor of floats.

    Source: Jacot et al. 2018, "Neural tangent kernel", section 5: how much slower the slowest direction of
        gradient descent converges than the fastest.
    """
    spectrum = _spectrum(snapshot, num_examples, seed)
    largest = 0.0 if spectrum is None else float(spectrum.nodes.max())
    if spectrum is None or largest <= 0:
        return {"all": math.nan}
    return {"all": largest / max(float(spectrum.nodes.min()), _rounding(snapshot, spectrum) * largest)}


@quantity("full", group="kernel")
def ntk_alignment(snapshot: Snapshot, num_examples: int = 64, seed: int = 0) -> dict[str, float]:
    """Returns the alignment of the empirical neural tangent kernel K with a I + u u^T: the cosine of the two.

    The a and u are those that fit best, min |K - a I - u u^T|_F: u along the first eigenvector, and a the
    mean of the other eigenvalues, a = (tr K - lambda_1) / (m - 1). The cosine <K, A> / (|K|_F |A|_F) is then
    |A|_F / |K|_F. At 1 the kernel has collapsed: examples share one direction and are otherwise memorized one
    by one.

    Formula: sqrt((lambda_1^2 + (m - 1) a^2) / sum_i lambda_i^2)
    Range: (0, 1]
    NaN: where the kernel is zero, and where a gradient is NaN or infinite.
    Cost: that of `ntk_rank`.

    Args:
        snapshot: snapshot of the model; needs no loss.
        num_examples: number of first examples to take; all where there are fewer.
        seed: seed of the estimate for more than 2048 outputs.

    Returns:
        {'all': cosine}.

    Raises:
        ValueError: an argument is outside its range, or the model does not return a tensor of floats.

    Source: Lyle et al. 2024, "Disentangling the causes of plasticity loss in neural networks", for the form
        that kernels collapse to; the measure of it is ours.
    """
    spectrum = _spectrum(snapshot, num_examples, seed)
    if spectrum is None:
        return {"all": math.nan}
    largest, size = float(spectrum.nodes.max()), spectrum.size
    trace, squares = size * spectrum.moment(1).value, size * spectrum.moment(2).value
    return {"all": identity_plus_rank_one(largest, trace, squares, size)}


def identity_plus_rank_one(largest: float, trace: float, squares: float, size: int) -> float:
    """Returns `ntk_alignment` by the largest eigenvalue, the trace and the sum of squared eigenvalues.

    Example:
        >>> from tfplastic.diagnostics.quantities.tangent_kernel import identity_plus_rank_one
        >>> identity_plus_rank_one(largest=3., trace=5., squares=11., size=3)  # eigenvalues 3, 1, 1
        1.0
    """
    if squares <= 0:
        return math.nan
    others = (trace - largest) ** 2 / (size - 1) if size > 1 else 0.0
    return min(1.0, math.sqrt((largest**2 + others) / squares))


def _rounding(snapshot: Snapshot, spectrum: SpectralDensity) -> float:
    dtypes = {variable.dtype for variables in snapshot.weights.values() for variable in variables}
    return spectrum.size * float(np.finfo(np.float64 if dtypes == {tf.float64} else np.float32).eps)


def _matrix(snapshot: Snapshot, num_examples: int) -> np.ndarray:
    per_example, rows = _outputs_of_one(snapshot), _rows(snapshot, num_examples)[:_MOST_ROWS]

    def output(row: tf.Tensor) -> tf.Tensor:
        example = row // per_example
        one = tf.nest.map_structure(lambda each: each[example : example + 1], snapshot.inputs)
        return _outputs(snapshot, one)[0, row % per_example]

    def compiled() -> GramMatrices:
        return GramMatrices("model", output, snapshot.weights, tf.constant(rows, tf.int32))

    key = ("neural tangent kernel", rows.tobytes())
    return snapshot.memoize(key, lambda: snapshot.memoize(key, compiled, survives_refresh=True)())["all"]


def _spectrum(snapshot: Snapshot, num_examples: int, seed: int) -> SpectralDensity | None:
    """Returns the positions of the eigenvalues; None where they are not finite."""
    count = min(num_examples, snapshot.num_examples)
    size = len(_rows(snapshot, count))
    key = ("spectrum of the neural tangent kernel", count, seed if size > _MOST_ROWS else None)
    if size > _MOST_ROWS:
        return snapshot.memoize(key, lambda: _estimated(snapshot, count, seed))
    return snapshot.memoize(key, lambda: _exact(_matrix(snapshot, count)))


def _exact(matrix: np.ndarray) -> SpectralDensity | None:
    if not np.isfinite(matrix).all():
        return None
    values = np.linalg.eigvalsh(matrix)[np.newaxis]
    return SpectralDensity(values, np.full_like(values, 1 / values.size), values.size)


def _estimated(snapshot: Snapshot, count: int, seed: int) -> SpectralDensity | None:
    per_example = _outputs_of_one(snapshot)

    def compiled() -> NTKOperator:
        variables = [variable for of_layer in snapshot.weights.values() for variable in of_layer]
        inputs = tf.nest.flatten(tf.nest.map_structure(lambda each: each[:count], snapshot.inputs))
        specs = tf.nest.map_structure(tf.TensorSpec.from_tensor, snapshot.inputs)
        rows = _rows(snapshot, count)

        def outputs(flat: Any) -> tf.Tensor:  # the operator takes floats in its own dtype
            nest = tf.nest.pack_sequence_as(specs, [flat[str(index)] for index in range(len(inputs))])
            cast = tf.nest.map_structure(lambda each, spec: tf.cast(each, spec.dtype), nest, specs)
            of_all = tf.cast(_outputs(snapshot, cast), variables[0].dtype)
            return of_all if len(rows) == count * per_example else tf.gather(tf.reshape(of_all, [-1]), rows)

        return NTKOperator(outputs, variables, {str(index): each for index, each in enumerate(inputs)})

    operator = snapshot.memoize(
        ("operator of the neural tangent kernel", count), compiled, survives_refresh=True
    )
    try:
        return spectral_density(operator, seed=seed)
    except NonFiniteError:
        return None


def _outputs(snapshot: Snapshot, inputs: Any) -> tf.Tensor:
    """Returns all outputs of each example in one row, `[b, outputs]`; traceable."""
    outputs = tf.nest.flatten(snapshot.call(inputs))
    dtype = max((each.dtype for each in outputs), key=lambda dtype: dtype.size)
    return tf.concat([tf.cast(tf.reshape(each, [tf.shape(each)[0], -1]), dtype) for each in outputs], axis=1)


def _rows(snapshot: Snapshot, num_examples: int) -> np.ndarray:
    """Returns the numbers of the outputs of the first examples that no mask leaves out."""
    count, parts = min(num_examples, snapshot.num_examples), []
    for each, mask in zip(tf.nest.flatten(snapshot.outputs), snapshot.output_masks, strict=True):
        kept = np.ones([1]) if mask is None else np.asarray(mask[:count])
        kept = kept.reshape(*kept.shape, *[1] * (len(each.shape) - kept.ndim))
        parts.append(np.broadcast_to(kept, [count, *each.shape[1:]]).reshape(count, -1))
    return np.flatnonzero(np.concatenate(parts, axis=1))


def _outputs_of_one(snapshot: Snapshot) -> int:
    """Returns the number of outputs of an example."""
    outputs = tf.nest.flatten(snapshot.outputs)
    if not outputs or not all(each.dtype.is_floating for each in outputs):
        received = ", ".join(each.dtype.name for each in outputs) or "none"
        raise ValueError(f"`model` must return tensors of floats for its kernel. Received: {received}")
    return sum(each.shape[1:].num_elements() for each in outputs)
