"""Multi-layer perceptrons of any depth and width, with normalization as an argument."""

import math
from collections.abc import Sequence

import gin

from tfplastic._keras import keras
from tfplastic._shared_arguments import shares_arguments
from tfplastic.networks import _size, parts


@gin.register(module="tfplastic.networks")
@shares_arguments(parts.HiddenLayers, omit=("norms",))
def mlp(
    num_outputs: int | Sequence[int],
    hidden: Sequence[int] = (512, 512),
    *,
    input_shape: Sequence[int] = (28, 28, 1),
    settings: parts.HiddenLayers,
) -> keras.Model:
    """Builds inputs -> dense -> ... -> dense -> linear; by default the MLP of Lyle et al. 2023, appendix A.2.

    The layers are named `hidden1`, `hidden2` and so on, and `output`; the normalization and the nonlinearity
    of each hidden layer are layers of their own (`hidden1_norm`, `hidden1_relu`), so that diagnostics see
    them by name. Inputs of several axes are flattened.

    Args:
        num_outputs: number of outputs; or a shape such as `(actions, bins)` for a categorical head.
        hidden: units of each hidden layer; none for a linear network. (512, 512) in the paper's appendix A.2,
            (1024, 1024) in its Fig. 1, (16, 16) at `width` 1 in its Fig. 5.
        input_shape: shape of one example, without the batch; MNIST's by default.
        settings: settings of the hidden layers, see `HiddenLayers`.

    Returns:
        A `keras.Sequential` from `[batch, *input_shape] float32` to `[batch, *num_outputs] float32`.

    Raises:
        ValueError: if a count, size, name or factor is out of its range.

    Example:
        >>> import tfplastic as tp
        >>> network = tp.networks.mlp(10, seed=0, norm='layer')
        >>> [layer.name for layer in network.layers][-4:]
        ['hidden2', 'hidden2_norm', 'hidden2_relu', 'output']
    """
    output_shape = parts.check_output_shape(num_outputs)
    counts = parts.check_counts("hidden", hidden)
    shape = parts.check_counts("input_shape", input_shape, fewest=1)

    def num_weights(of: parts.HiddenLayers) -> int:
        units = [of.widened(count) for count in counts]
        sizes = [_size.outputs(shape), *units, _size.outputs(output_shape)]
        return _size.dense(sizes, of.features_per_unit) + of.norm_weights(sum(units))

    settings = settings.trimmed(num_weights)
    units = [settings.widened(count) for count in counts]
    _size.check_size(
        num_weights(settings),
        {"hidden": hidden, "width": settings.width, "num_outputs": num_outputs, "input_shape": input_shape},
    )
    settings.check_layer_names([f"hidden{number}" for number in range(1, len(units) + 1)])
    fan_in = math.prod(shape)

    layers: list[keras.layers.Layer] = [keras.layers.InputLayer(shape, name="inputs")]
    if len(shape) > 1:
        layers.append(keras.layers.Flatten(name="flatten", dtype=settings.dtype))
    layers += settings.dense_layers(units, fan_in)
    layers += settings.head(output_shape, units[-1] * settings.features_per_unit if units else fan_in)
    return keras.Sequential(layers, name="mlp")
