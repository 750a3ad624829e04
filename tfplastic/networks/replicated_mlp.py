"""Several multi-layer perceptrons side by side in one model."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import gin

from tfplastic import seeds
from tfplastic._checks import check_integer
from tfplastic._keras import keras
from tfplastic._shared_arguments import shares_arguments
from tfplastic.layers.replicated_dense import ReplicatedDense, Stacked
from tfplastic.networks import _size, parts


def replicate_seed(seed: int, replicate: int) -> int:
    """Returns the root seed of the network of one replicate.

    Args:
        seed: root seed of all.
        replicate: its number, from 0.
    """
    return seeds.derive_integer(seed, "replicate", replicate)


@gin.register(module="tfplastic.networks")
@shares_arguments(parts.HiddenLayers, omit=("norms",), norms=())
def replicated_mlp(
    num_outputs: int | Sequence[int],
    hidden: Sequence[int] = (5,),
    *,
    input_shape: Sequence[int] = (100, 21),
    first_replicate: int = 0,
    settings: parts.HiddenLayers,
) -> keras.Model:
    """Builds several MLPs side by side, such as the runs of an experiment with small networks.

    Replicate r has the initial weights of `mlp` with the seed `seeds.derive_integer(seed, 'replicate', r)`.
    With losses that are summed over the replicates each trains as if it were alone.

    Args:
        num_outputs: `input_shape[0]`, one output for each replicate; or the shape of their outputs,
            `(replicates, outputs)`.
        hidden: units of each hidden layer of a replicate; none for linear ones. (5,) and 100 replicates are
            those of slowly changing regression (Dohare et al. 2024).
        input_shape: `(replicates, inputs)`.
        first_replicate: number of the first replicate; others than 0 make a part of a larger model.
        settings: settings of the hidden layers, see `HiddenLayers`; there is no normalization.

    Returns:
        A `keras.Sequential` from `[batch, replicates, inputs]` to `[batch, *num_outputs]`, float32.

    Raises:
        ValueError: an argument is out of its range, or `num_outputs` not of as many replicates as
            `input_shape`.

    Example:
        >>> import tfplastic as tp
        >>> tp.networks.replicated_mlp(100, hidden=(5,), input_shape=(100, 21), seed=0).output_shape
        (None, 100)
    """
    output_shape = parts.check_output_shape(num_outputs)
    counts = parts.check_counts("hidden", hidden)
    shape = parts.check_counts("input_shape", input_shape, fewest=1)
    check_integer("first_replicate", first_replicate, 0)
    if len(shape) != 2:
        raise ValueError(f"`input_shape` must be (replicates, inputs). Received: {tuple(input_shape)!r}")
    replicates, fan_in = shape
    if output_shape[0] != replicates or len(output_shape) > 2:
        rule = f"must be {replicates}, the replicates of `input_shape`, or ({replicates}, outputs)"
        raise ValueError(f"`num_outputs` {rule}. Received: {num_outputs!r}")
    outputs = math.prod(output_shape[1:])
    settings.check_layer_names([])

    def num_weights(of: parts.HiddenLayers) -> int:
        sizes = [fan_in, *(of.widened(count) for count in counts), outputs]
        return replicates * _size.dense(sizes, of.features_per_unit)

    settings = settings.trimmed(num_weights)
    _size.check_size(
        num_weights(settings), {"hidden": hidden, "width": settings.width, "input_shape": input_shape}
    )
    numbers = range(first_replicate, first_replicate + replicates)
    each = [dataclasses.replace(settings, seed=replicate_seed(settings.seed, number)) for number in numbers]
    layers: list[keras.layers.Layer] = [keras.layers.InputLayer(shape, name="inputs")]
    for number, units in enumerate((settings.widened(count) for count in counts), start=1):
        name = f"hidden{number}"
        weights = _stacked(each, name, fan_in, settings.gain)
        layers.append(ReplicatedDense(units, name=name, dtype=settings.dtype, **weights))
        layers += settings.nonlinearity(name)
        fan_in = units * settings.features_per_unit
    dtype = parts.outputs_dtype(settings.dtype)
    units_out = outputs if len(output_shape) > 1 else None
    layers.append(ReplicatedDense(units_out, name="output", dtype=dtype, **_stacked(each, "output", fan_in)))
    return keras.Sequential(layers, name="replicated_mlp")


def _stacked(
    settings: Sequence[parts.HiddenLayers], name: str, fan_in: int, gain: float = 1.0
) -> dict[str, Any]:
    """Returns the initializers of a layer, which are those of each replicate."""
    found = [parts.initializers_of(each.initializer, each.seed, name, fan_in, gain) for each in settings]
    return {kind: Stacked([each[kind] for each in found]) for kind in found[0]}
