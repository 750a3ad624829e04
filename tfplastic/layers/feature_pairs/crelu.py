"""Concatenated ReLU."""

from typing import Any

import tensorflow as tf

from tfplastic._keras import keras
from tfplastic.layers.feature_pairs.pairs import FeaturePairs


def _negative_part(inputs: Any) -> Any:
    return tf.nn.relu(-inputs)


@keras.utils.register_keras_serializable(package="tfplastic")
class CReLU(FeaturePairs):
    """Positive and negative part of the inputs, side by side: y = [relu(x), relu(-x)].

    Rule: output i of n units is max(x_i, 0), and output n + i is max(-x_i, 0). At every x but 0 one of the
        two has a gradient, so that no unit can die.
    Defaults: the last axis, as in `tf.nn.crelu`, which gives the same values.
    Source: Shang et al. 2016, "Understanding and improving convolutional neural networks via concatenated
        rectified linear units"; Abbas et al. 2023, "Loss of plasticity in continual deep reinforcement
        learning".
    Departures: none. The next layer has twice as many inputs; the builders' argument `trim_width` narrows a
        network to the weights that it has with ReLU, as in Kumar et al. 2023.
    Works with: every mitigation and quantity. A unit is the pair: in `UnitMap` it has both rows of the next
        kernel, and statistics of units are of relu(x) - relu(-x) = x. So a unit is dead if both parts are 0
        on the whole batch, and linearized where x never changes its sign; `saturated_units` is NaN, as there
        is no flat piece. Ranks are of the 2n features.

    Args:
        axis: axis of the units, not that of the batch.
        **kwargs: `name`, `dtype` and the like, as for every Keras layer.

    Input and output: `[batch, ..., n]` floats to `[batch, ..., 2 n]`.

    Raises:
        ValueError: `axis` is the batch's, or the inputs do not have it.

    Example:
        >>> import tensorflow as tf, tfplastic as tp
        >>> tp.layers.CReLU()(tf.constant([[3.0, -2.0]])).numpy().tolist()
        [[3.0, 0.0, 0.0, 2.0]]
    """

    first = staticmethod(tf.nn.relu)
    second = staticmethod(_negative_part)
