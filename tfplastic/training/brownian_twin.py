"""Brownian motion next to gradient descent: the control of Lyle et al. 2023, section 4.2 and Fig. 2."""

from typing import Any

import gin
import tensorflow as tf

from tfplastic._checks import check_instance
from tfplastic._keras import keras
from tfplastic._tf.random import split


@gin.register(module="tfplastic.training")
class BrownianTwin:
    """A copy of the network that takes random steps of the same lengths as training, from the same start.

    After each gradient step theta_{t-1} -> theta_t of the model, the weights phi of the twin become phi +
    ||theta_t - theta_{t-1}|| z / ||z||, z standard normal, the norms being those of all trainable weights
    together. An effect seen in the model and not in its twin comes from the directions of the steps, not from
    their lengths. The model is not changed.

    Norms are taken in float64; the length of a float32 step is right to about 1e-6.

    Attributes:
        model: the twin, from `build` on; a clone of the trained model, with its non-trainable weights as they
            were at the beginning. A run's checkpoints hold its weights.

    Example:
        >>> import tfplastic as tp
        >>> twin = tp.training.BrownianTwin()
        >>> model = tp.networks.mlp(10, (8,))
        >>> twin.build(model)
        >>> bool((twin.model.get_layer('output').kernel == model.get_layer('output').kernel).numpy().all())
        True
    """

    model: keras.Model

    def build(self, model: Any) -> None:
        """Clones the model, a network of `tfplastic.networks`, and notes where it is."""
        check_instance("model", model, keras.Model, "a network of tfplastic.networks")
        self.model = keras.models.clone_model(model)
        self.model.set_weights(model.get_weights())
        self._trained = model
        self._before = [tf.Variable(each, trainable=False) for each in model.trainable_variables]

    def after_update(self, key: tf.Tensor) -> None:
        """Makes a step as long as the model's last one; traceable.

        Args:
            key: `[2] int32`, a seed that no other step of the run has.
        """
        weights = [tf.convert_to_tensor(each) for each in self._trained.trainable_variables]
        length = _norm([now - before for now, before in zip(weights, self._before, strict=True)])
        keys = split(key, len(weights))
        draws = [
            tf.random.stateless_normal(each.shape, keys[number], dtype=each.dtype, alg="philox")
            for number, each in enumerate(weights)
        ]
        scale = length / _norm(draws)
        for weight, draw in zip(self.model.trainable_variables, draws, strict=True):
            weight.assign(weight + tf.cast(scale * tf.cast(draw, tf.float64), draw.dtype))
        for before, now in zip(self._before, weights, strict=True):
            before.assign(now)

    @property
    def state(self) -> dict[str, tf.Variable]:
        """The twin's weights, and the model's after the last step."""
        twin = {f"twin{number}": each for number, each in enumerate(self.model.trainable_variables)}
        return twin | {f"before{number}": each for number, each in enumerate(self._before)}


def _norm(tensors: list[tf.Tensor]) -> tf.Tensor:
    """Returns the Euclidean norm of all together, `[] float64`."""
    return tf.sqrt(tf.add_n([tf.reduce_sum(tf.square(tf.cast(each, tf.float64))) for each in tensors]))
