"""Dense layer whose weights are drawn around their means, for exploration."""

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tfplastic import seeds
from tfplastic._checks import check_non_negative, check_positive_integer, check_seed
from tfplastic._keras import keras
from tfplastic.layers.advancing import Advancing

_STREAM = contextvars.ContextVar[int | None]("noise_stream", default=None)


@contextlib.contextmanager
def noise_stream(number: int) -> Iterator[None]:
    """While open, every call of noisy layers has noise, another one by number; 0 is that of training."""
    token = _STREAM.set(number)
    try:
        yield
    finally:
        _STREAM.reset(token)


@keras.utils.register_keras_serializable(package="tfplastic")
class NoisyDense(Advancing, keras.layers.Dense):
    """Dense layer with factorized Gaussian noise on its weights while training.

    Rule: y = f(x (W + S * e_in e_out') + b + s * e_out), where * is elementwise, W and b are the means, the
        trainable S and s the scales of the noise, and e_in and e_out have the entries sgn(z) sqrt(|z|) of
        independent standard normal z. At inference y = f(x W + b).
    Defaults: S and s start at sigma / sqrt(inputs) with sigma 0.5, as in the paper's factorized form. There W
        and b are uniform in +-1/sqrt(inputs), which networks of this library set by initializers.
    Source: Fortunato et al. 2018, "Noisy networks for exploration", section 3, Eqs. 9 to 11.
    Departures: none in the rule. The noise is a function of `seed` and of the layer's step, a non-trainable
        weight: no generator is advanced by a call, all examples of a batch share the noise, and `advance`
        moves to the next one. So a run that resumes from a checkpoint draws the same noise.
    Works with: every mitigation and quantity. Kernels of quantities and mitigations are the means W; resets
        of units keep the scales of the noise into a unit, and set those out of it to zero with its outgoing
        weights.

    Args:
        units: number of outputs.
        sigma: scale of the noise at the beginning, at least 0.
        seed: integer seed of the noise. Layers of one network should have seeds of their own.
        **kwargs: `activation`, `kernel_initializer`, `name`, `dtype` and the like, as for
            `keras.layers.Dense`.

    Input and output are those of `keras.layers.Dense`: `[batch, ..., inputs]` to `[batch, ..., units]`.

    Raises:
        ValueError: if `units` or `sigma` is out of its range.

    Example:
        >>> import tensorflow as tf, tfplastic as tp
        >>> layer = tp.layers.NoisyDense(3, seed=0)
        >>> x = tf.ones([2, 4])
        >>> noisy = layer(x, training=True) - layer(x)
        >>> bool(tf.reduce_all(noisy[0] == noisy[1])), bool(tf.reduce_any(noisy == 0))
        (True, False)
        >>> layer.advance()
        >>> bool(tf.reduce_any(layer(x, training=True) - layer(x) == noisy))
        False
    """

    def __init__(self, units: int, sigma: float = 0.5, seed: int = 0, **kwargs: Any):
        arguments: dict[str, Any] = {"units": check_positive_integer("units", units), **kwargs}
        super().__init__(**arguments)
        self.sigma = check_non_negative("sigma", sigma)
        self.seed = check_seed("seed", seed)
        self._key = np.array(seeds.derive(seed, "noise"))

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        inputs = int(input_shape[-1])
        scale = keras.initializers.Constant(self.sigma / inputs**0.5)
        self.kernel_scale_initializer = self.bias_scale_initializer = scale
        self.kernel_scale = self.add_weight(
            name="kernel_scale", shape=(inputs, self.units), initializer=scale
        )
        self.bias_scale = None
        if self.use_bias:
            self.bias_scale = self.add_weight(name="bias_scale", shape=(self.units,), initializer=scale)
        self.step = self.add_weight(
            name="step", shape=(), dtype="int64", initializer="zeros", trainable=False
        )

    def advance(self) -> None:
        """Advances to the noise of the next step."""
        self.step.assign(self.step + 1)

    def follow(self, other: "NoisyDense") -> None:
        """Draws from now on at the step of another layer, in place of its own.

        Args:
            other: layer that advances, such as that of the network whose copy this one is in.
        """
        own: Any = self
        vars(own)["_followed"] = other  # past Keras' tracking, by which it would be a part of this layer

    def noise(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns e_in `[inputs]` and e_out `[units]` of this step in the open stream."""
        step = tf.convert_to_tensor(vars(self).get("_followed", self).step)
        key = tf.random.experimental.stateless_fold_in(self._key, step, "philox")
        key = tf.random.experimental.stateless_fold_in(key, _STREAM.get() or 0, "philox")
        inputs = int(self.kernel_scale.shape[0])
        # From integers, because XLA draws other floats than a graph.
        bits = tf.random.stateless_uniform(
            [inputs + self.units], key, minval=None, maxval=None, dtype=tf.int32, alg="philox"
        )
        uniform = (2 * tf.cast(bits, tf.float64) + 1) * 2.0**-32  # in (-1, 1)
        normal = 2**0.5 * tf.math.erfinv(uniform)
        noise = tf.cast(tf.sign(normal) * tf.sqrt(tf.abs(normal)), self.compute_dtype)
        return noise[:inputs], noise[inputs:]

    def call(self, inputs: Any, training: bool = False) -> Any:
        inputs = tf.cast(tf.convert_to_tensor(inputs), self.compute_dtype)
        outputs = _product(inputs, tf.convert_to_tensor(self.kernel))  # [batch, ..., units]
        if training or _STREAM.get() is not None:
            of_inputs, of_outputs = self.noise()
            outputs += of_outputs * _product(inputs * of_inputs, tf.convert_to_tensor(self.kernel_scale))
            if self.use_bias:
                outputs += of_outputs * tf.convert_to_tensor(self.bias_scale)
        if self.use_bias:
            outputs += tf.convert_to_tensor(self.bias)
        return outputs if self.activation is None else self.activation(outputs)

    # Keras 3's own layers save their kernel and bias only.
    def save_own_variables(self, store: Any) -> None:
        keras.layers.Layer.save_own_variables(self, store)

    def load_own_variables(self, store: Any) -> None:
        keras.layers.Layer.load_own_variables(self, store)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "sigma": self.sigma, "seed": self.seed}


def _product(inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    kernel = tf.cast(kernel, inputs.dtype)
    return tf.matmul(inputs, kernel) if len(inputs.shape) == 2 else tf.tensordot(inputs, kernel, axes=1)
