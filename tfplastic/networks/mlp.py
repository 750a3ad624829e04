"""Multi-layer perceptrons of any depth and width, with normalisation as an argument."""

import math
from collections.abc import Sequence

import gin

from tfplastic._checks import check_positive, check_seed
from tfplastic._keras import keras
from tfplastic.networks import _parts, _size


@gin.register(module="tfplastic.networks")
def mlp(
    num_outputs: int | Sequence[int],
    hidden: Sequence[int] = (512, 512),
    *,
    input_shape: Sequence[int] = (28, 28, 1),
    seed: int = 0,
    norm: str | None = None,
    norm_position: str = "before",
    norm_epsilon: float = 1e-5,
    norm_affine: bool = True,
    activation: str = "relu",
    initializer: str = "lecun_normal",
    spectral_norm_layers: Sequence[str] = (),
    width: float = 1.0,
    dtype: str | None = None,
    monitor: bool = False,
) -> keras.Model:
    """Builds inputs -> dense -> ... -> dense -> linear; by default the MLP of Lyle et al. 2023, appendix A.2.

    The layers are named `hidden1`, `hidden2` and so on, and `output`; the normalisation and the nonlinearity
    of each hidden layer are layers of their own (`hidden1_norm`, `hidden1_relu`), so that diagnostics see
    them by name. Inputs of several axes are flattened.

    Args:
        num_outputs: number of outputs; or a shape such as `(actions, bins)` for a categorical head.
        hidden: units of each hidden layer; none for a linear network. (512, 512) in the paper's appendix A.2,
            (1024, 1024) in its Fig. 1, (16, 16) at `width` 1 in its Fig. 5.
        input_shape: shape of one example, without the batch; MNIST's by default.
        seed: root seed of the initial weights. Same seed, same weights.
        norm: None; `'layer'`: LayerNormalization over all features, with a gain and offset for each;
            `'batch'`: BatchNormalization with Keras' momentum of 0.99; `'rms'`: `RMSNormalization` over all
            features, with a gain for each.
        norm_position: `'before'` the nonlinearity or `'after'` it. The paper leaves it open; the same authors
            specify "before" in Lyle et al. 2024.
        norm_epsilon: added to the variance, or the mean of squares. Not given in the paper; 1e-5 is the
            default of Haiku, its framework.
        norm_affine: whether the normalisation has trainable gains and offsets. The paper does not say; Haiku
            asks for a choice.
        activation: name of a Keras activation for the hidden layers. ReLU in the paper.
        initializer: name of a Keras initialiser for the kernels; biases start at zero. Or `'pytorch'`:
            kernels and biases uniform in +-1/sqrt(fan-in), as in PyTorch's `Linear` and `Conv2d`. The paper
            names none; LeCun's truncated normal with zero biases is Haiku's default.
        spectral_norm_layers: names of the hidden layers whose kernel is divided by its largest singular
            value, as in `SpectralDense`; call `tfplastic.layers.advance` between steps. Lyle et al. 2023,
            section 6.2, normalise the first linear layer: `('hidden1',)`.
        width: multiplies the units of every hidden layer; at least one is left. 1 to 16 in Fig. 5.
        dtype: Keras' policy of the layers, such as `'mixed_bfloat16'` to compute in bfloat16 with float32
            weights; None for Keras' global policy. The outputs have the dtype of the weights.
        monitor: whether an `ActivationMonitor` follows each nonlinearity, `hidden1_monitor` and so on.
            Outputs and all other weights stay the same, bit for bit, in the graph and in eager code.

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
    output_shape = _parts.check_output_shape(num_outputs)
    check_seed("seed", seed)
    units = [
        _parts.widened(check_positive("width", width), count)
        for count in _parts.check_counts("hidden", hidden)
    ]
    shape = _parts.check_counts("input_shape", input_shape, fewest=1)
    _size.check_size(
        _size.dense([_size.outputs(shape), *units, _size.outputs(output_shape)]),
        {"hidden": hidden, "width": width, "num_outputs": num_outputs, "input_shape": input_shape},
    )
    head_dtype = _parts.outputs_dtype(dtype)
    names = [f"hidden{number}" for number in range(1, len(units) + 1)]
    spectral = _parts.check_layer_names("spectral_norm_layers", spectral_norm_layers, names)
    around = _parts.HiddenLayers(
        norm,
        norm_position,
        norm_epsilon,
        activation,
        dtype=dtype,
        spectral_norm_layers=spectral,
        monitor=monitor,
        norm_affine=norm_affine,
    )
    fan_in = math.prod(shape)
    head_weights = _parts.initializers_of(initializer, seed, "output", [fan_in, *units][-1])

    layers: list[keras.layers.Layer] = [keras.layers.InputLayer(shape, name="inputs")]
    if len(shape) > 1:
        layers.append(keras.layers.Flatten(name="flatten", dtype=dtype))
    layers += _parts.dense_layers(around, units, initializer, seed, fan_in)
    layers += _parts.head(output_shape, head_weights, dtype=head_dtype)
    return keras.Sequential(layers, name="mlp")
