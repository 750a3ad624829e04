"""Dense and convolutional layers whose kernel is divided by its largest singular value."""

import abc
from typing import Any

import tensorflow as tf

from tfplastic._checks import check_one_of, check_positive_integer, check_seed
from tfplastic._keras import keras
from tfplastic.layers.advancing import Advancing


class _SpectralNormalization(Advancing, keras.layers.Layer):
    """W / sigma in place of the kernel W, for a Keras layer that is the second base class."""

    def __init__(self, *args: Any, seed: int = 0, initial_steps: int = 15, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.seed = check_seed("seed", seed)
        self.initial_steps = check_positive_integer("initial_steps", initial_steps)

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        outputs = int(self.kernel.shape[-1])
        inputs = int(tf.TensorShape(self.kernel.shape).num_elements() or 0) // outputs
        normal = keras.initializers.RandomNormal(seed=self.seed)
        self.u = self.add_weight(name="u", shape=(inputs,), initializer=normal, trainable=False)
        self.v = self.add_weight(name="v", shape=(outputs,), initializer="zeros", trainable=False)
        for _ in range(self.initial_steps):
            self.advance()

    def advance(self) -> None:
        """Takes one step of power iteration with the current kernel: v = W'u / |W'u|, then u = Wv / |Wv|.

        A vector stays as it was where the new one would be zero, as for a kernel of zeros.
        """
        matrix = tf.reshape(self.kernel, [-1, self.kernel.shape[-1]])  # [inputs, outputs]
        v = _unit(tf.linalg.matvec(matrix, self.u, transpose_a=True), self.v)  # [outputs]
        u = _unit(tf.linalg.matvec(matrix, v), self.u)  # [inputs]
        self.v.assign(v)
        self.u.assign(u)

    def singular_value(self) -> tf.Tensor:
        """Returns sigma = u'Wv, an estimate of the largest singular value from below, `[]`."""
        return _sigma(tf.convert_to_tensor(self.kernel), self.u, self.v)

    def call(self, inputs: Any) -> Any:
        kernel = tf.convert_to_tensor(self.kernel)
        precise = tf.cast(kernel, tf.float32) if kernel.dtype.size == 2 else kernel
        sigma = _sigma(precise, self.u, self.v)
        sigma = tf.where(sigma > 0, sigma, 1.0)  # a kernel of zeros stays one
        outputs = self.linear(inputs, tf.cast(precise / sigma, kernel.dtype))
        if self.use_bias:
            outputs = outputs + tf.convert_to_tensor(self.bias)
        return self.activation(outputs)

    @abc.abstractmethod
    def linear(self, inputs: Any, kernel: tf.Tensor) -> tf.Tensor:
        """Returns the layer's linear map with that kernel, without bias."""

    # Keras 3's own layers save their kernel and bias only.
    def save_own_variables(self, store: Any) -> None:
        keras.layers.Layer.save_own_variables(self, store)

    def load_own_variables(self, store: Any) -> None:
        keras.layers.Layer.load_own_variables(self, store)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed, "initial_steps": self.initial_steps}


@keras.utils.register_keras_serializable(package="tfplastic")
class SpectralDense(_SpectralNormalization, keras.layers.Dense):
    """Dense layer with a kernel of spectral norm 1: y = f(x W / sigma(W) + b).

    Rule: sigma = u'Wv, where u and v, non-trainable weights, approach the first singular vectors of W by
        power iteration. The gradient takes u and v as constants; with G the gradient in W/sigma it is
        (G - sum(G * W/sigma) uv') / sigma.
    Defaults: 15 steps of power iteration when the layer is built, as in PyTorch's
        `parametrizations.spectral_norm`.
    Source: Miyato et al. 2018, "Spectral normalization for generative adversarial networks".
    Departures: with theirs, as with Keras' wrapper, the iteration is a part of the forward pass while
        training; here `advance` makes one step of it, to be called after each gradient step, once the
        weights have changed. Until then sigma, by vectors of old weights, may be far too small: call
        `advance` after a reset too.
    Works with: every mitigation and quantity. Gradient steps of this library call `advance`; in Keras' own
        `fit`, call it after each step.

    The layer is built before a program with it is compiled, as a model with an `Input` is. A kernel of zeros
    is not divided. sigma is computed in float32 where the layer computes in 16 bits.

    Args:
        *args: `units` and the like, as for `keras.layers.Dense`.
        seed: integer seed of the initial u.
        initial_steps: steps of power iteration when the layer is built, at least 1. 15 in PyTorch's
            `parametrizations.spectral_norm`, after which sigma of a random 784 x 512 kernel is 3 % too small;
            Miyato et al. have a random u.
        **kwargs: `activation`, `use_bias`, `kernel_initializer`, `name`, `dtype` and the like, as for
            `keras.layers.Dense`.

    Input and output are those of `keras.layers.Dense`: `[batch, ..., inputs]` to `[batch, ..., units]`.

    Raises:
        ValueError: if `initial_steps` is below 1.

    Example:
        >>> import tensorflow as tf, tfplastic as tp
        >>> layer = tp.layers.SpectralDense(2, kernel_initializer='identity')
        >>> layer.build((None, 2))
        >>> _ = layer.kernel.assign([[4.0, 0.0], [0.0, 0.5]])
        >>> for _ in range(10): layer.advance()
        >>> layer(tf.constant([[1.0, 1.0]])).numpy().round(3).tolist()
        [[1.0, 0.125]]
    """

    def __init__(self, units: int, *args: Any, **kwargs: Any):
        super().__init__(check_positive_integer("units", units), *args, **kwargs)

    def linear(self, inputs: Any, kernel: tf.Tensor) -> tf.Tensor:
        return tf.matmul(inputs, kernel) if len(inputs.shape) == 2 else tf.tensordot(inputs, kernel, axes=1)


@keras.utils.register_keras_serializable(package="tfplastic")
class SpectralConv2D(_SpectralNormalization, keras.layers.Conv2D):
    """Convolution with its kernel divided by the largest singular value of the kernel as a matrix.

    Rule: the matrix of the kernel `[height, width, inputs, outputs]` is `[height * width * inputs, outputs]`:
        the linear map of one patch to the outputs of one pixel. That is not the norm of the convolution as a
        map of whole images, which with overlapping patches can be up to sqrt(height * width) times larger.
    Defaults: the same as of `SpectralDense`.
    Source: Miyato et al. 2018, "Spectral normalization for generative adversarial networks".
    Departures: the same as of `SpectralDense`.
    Works with: see `SpectralDense`.

    Args:
        *args: `filters`, `kernel_size` and the like, as for `keras.layers.Conv2D`, channels last.
        seed: integer seed of the initial u.
        initial_steps: steps of power iteration when the layer is built, at least 1.
        **kwargs: `padding`, `activation`, `kernel_initializer`, `name`, `dtype` and the like.

    Input and output are those of `keras.layers.Conv2D`.

    Raises:
        ValueError: if `initial_steps` is below 1, or the channels are not last.

    Example:
        >>> import numpy as np, tensorflow as tf, tfplastic as tp
        >>> kernel = tf.keras.initializers.GlorotUniform(seed=0)  # of some kernels 100 steps are too few
        >>> layer = tp.layers.SpectralConv2D(4, 3, initial_steps=100, kernel_initializer=kernel)
        >>> layer.build((None, 8, 8, 2))
        >>> matrix = np.reshape(layer.kernel, [3 * 3 * 2, 4])
        >>> bool(np.isclose(layer.singular_value(), np.linalg.norm(matrix, 2), rtol=1e-3))
        True
    """

    def __init__(self, filters: int, *args: Any, **kwargs: Any):
        super().__init__(check_positive_integer("filters", filters), *args, **kwargs)
        check_one_of("data_format", self.data_format, ("channels_last",))

    def linear(self, inputs: Any, kernel: tf.Tensor) -> tf.Tensor:
        return self.convolution_op(inputs, kernel)


def _sigma(kernel: tf.Tensor, u: Any, v: Any) -> tf.Tensor:
    matrix = tf.reshape(kernel, [-1, kernel.shape[-1]])  # [inputs, outputs]
    u, v = (tf.stop_gradient(tf.cast(vector, matrix.dtype)) for vector in (u, v))
    return tf.tensordot(u, tf.linalg.matvec(matrix, v), axes=1)


def _unit(vector: tf.Tensor, otherwise: Any) -> tf.Tensor:
    norm = tf.norm(vector)
    return tf.where(norm > 0, vector / norm, tf.convert_to_tensor(otherwise))
