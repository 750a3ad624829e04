"""The convolutional Q-network of Young and Tian 2019 for MinAtar, with normalization as an argument."""

from collections.abc import Sequence

import gin

from tfplastic._keras import keras
from tfplastic._shared_arguments import REQUIRED, shares_arguments
from tfplastic.networks import parts
from tfplastic.networks._pixel_network import Convolution, PixelNetwork
from tfplastic.networks._q_head import QHead

# The sizes of Young and Tian 2019, section 3. Observations are 0 and 1 already.
_NETWORK = PixelNetwork("minatar_cnn", scale=1.0, convolutions=(Convolution(16, 3, 1),), dense_units=128)


@gin.register(module="tfplastic.networks")
@shares_arguments(
    parts.HiddenLayers,
    omit=("norms", "norm_affine", "initializer", "spectral_norm_layers"),
    norms=("layer",),
    seed=REQUIRED,
)
def minatar_cnn(
    num_outputs: int | Sequence[int],
    observation_shape: Sequence[int] = (10, 10, 4),
    *,
    shared_bias: bool = False,
    dueling: bool = False,
    noise: float | None = None,
    settings: parts.HiddenLayers,
) -> keras.Model:
    """Builds pixels -> conv 16@3/1 -> dense 128 -> linear, the network of Young and Tian 2019, section 3.

    The layers are named `conv1`, `dense` and `output`; the normalization and the nonlinearity of each hidden
    layer are layers of their own (`conv1_norm`, `conv1_relu`), so that diagnostics see them by name. Weights
    and biases are uniform in +-1/sqrt(fan_in), PyTorch's default, which MinAtar's example `dqn.py` keeps.

    Args:
        num_outputs: number of actions; or a shape such as `(actions, atoms)` for a categorical head.
        observation_shape: `(height, width, channels)` of uint8 values that are taken as they are; MinAtar's
            are 0 or 1. At least 3 pixels high and wide. The channels are 4 in asterix and breakout, 6 in
            space_invaders, 7 in freeway and 10 in seaquest.
        norm: None, or `'layer'`: Keras' LayerNormalization after each hidden layer, over all features of a
            sample (height, width and channels for the convolution), with a gain and an offset per feature.
            Young and Tian have none; Lyle et al. 2023, section 6.3, add it "after each hidden layer".
        shared_bias: one bias for all outputs instead of one each.
        dueling: whether the state's value and the actions' advantages have streams of their own, each with a
            hidden layer as large as `dense`: `value_dense` -> `value` and `advantage_dense` -> `advantage`,
            which `layers.Dueling` adds (Wang et al. 2016). Their factor of 1/sqrt(2) on the gradient where
            the streams part is left out, as in Hessel et al. 2018.
        noise: scale at the beginning of the noise on the weights of all fully connected layers, which are
            `layers.NoisyDense` then; None for layers without. 0.5 in Fortunato et al. 2018 and Hessel et al.
            2018, 0.1 in DQN Zoo's `rainbow`.
        settings: settings of the hidden layers, see `HiddenLayers`.

    Returns:
        A Keras model, Sequential without `dueling`, from `[batch, height, width, channels] uint8` to
        `[batch, *num_outputs] float32`.

    Raises:
        ValueError: if a count, size, name or factor is out of its range.

    Example:
        >>> import tfplastic as tp
        >>> network = tp.networks.minatar_cnn(6, seed=0)
        >>> network.output_shape, network.count_params()
        ((None, 6), 132566)
    """
    return _NETWORK.build(num_outputs, observation_shape, QHead(shared_bias, dueling, noise), settings)
