"""The convolutional Q-network of Mnih et al. 2015 (Nature), with normalization as an argument."""

from collections.abc import Sequence

import gin

from tfplastic._keras import keras
from tfplastic._shared_arguments import REQUIRED, shares_arguments
from tfplastic.networks import parts
from tfplastic.networks._pixel_network import Convolution, PixelNetwork
from tfplastic.networks._q_head import QHead

# The sizes of Mnih et al. 2015, Methods.
_CONVOLUTIONS = (Convolution(32, 8, 4), Convolution(64, 4, 2), Convolution(64, 3, 1))
_NETWORK = PixelNetwork("nature_dqn", scale=1 / 255, convolutions=_CONVOLUTIONS, dense_units=512)


@gin.register(module="tfplastic.networks")
@shares_arguments(
    parts.HiddenLayers,
    omit=("norms", "norm_affine", "initializer", "spectral_norm_layers"),
    norms=("layer",),
    seed=REQUIRED,
)
def nature_dqn(
    num_outputs: int | Sequence[int],
    observation_shape: Sequence[int] = (84, 84, 4),
    *,
    shared_bias: bool = False,
    dueling: bool = False,
    noise: float | None = None,
    settings: parts.HiddenLayers,
) -> keras.Model:
    """Builds pixels / 255 -> conv 32@8/4 -> conv 64@4/2 -> conv 64@3/1 -> dense 512 -> linear.

    The layers are named `conv1`, `conv2`, `conv3`, `dense` and `output`; the normalization and the
    nonlinearity of each hidden layer are layers of their own (`conv1_norm`, `conv1_relu`), so that
    diagnostics see them by name. Weights and biases are uniform in +-1/sqrt(fan_in), the scheme of DQN's
    first release that DQN Zoo keeps.

    Args:
        num_outputs: number of actions; or a shape such as `(actions, atoms)` for a categorical head.
        observation_shape: `(height, width, channels)` of uint8 pixels in [0, 255]; at least 36 pixels high
            and wide.
        norm: None, or `'layer'`: Keras' LayerNormalization after each hidden layer, over all features of a
            sample (height, width and channels for a convolution), with a gain and an offset per feature. Lyle
            et al. 2023, section 6.3, add layer normalization "after each hidden layer"; over which axes, and
            whether affine, they leave open.
        shared_bias: one bias for all outputs instead of one each, as Double DQN (tuned) has it (van Hasselt
            et al. 2016; DQN Zoo's `double_q`).
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
        >>> network = tp.networks.nature_dqn(6, seed=0, norm='layer')
        >>> network.output_shape
        (None, 6)
    """
    return _NETWORK.build(num_outputs, observation_shape, QHead(shared_bias, dueling, noise), settings)
