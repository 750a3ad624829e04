"""Deep Fourier features."""

import tensorflow as tf

from tfplastic._keras import keras
from tfplastic.layers.feature_pairs.pairs import FeaturePairs


@keras.utils.register_keras_serializable(package="tfplastic")
class DeepFourier(FeaturePairs):
    """Sine and cosine of the inputs, side by side: y = [sin x, cos x].

    Rule: output i of n units is sin(x_i), and output n + i is cos(x_i). Where one of the two is flat the
        other is nearly linear, so that every unit is close to a linear function of its input.
    Defaults: the last axis.
    Source: Lewandowski et al. 2024, "Plastic learning with deep Fourier features".
    Departures: none. The next layer has twice as many inputs; the builders' argument `trim_width` narrows a
        network to the weights that it has with ReLU.
    Works with: every mitigation and quantity. A unit is the pair: in `UnitMap` it has both rows of the next
        kernel, and statistics of units are of its length sqrt(sin^2 x + cos^2 x), which is 1. So no unit is
        dead or dormant, for any weights; `saturated_units` is NaN, as there is no flat piece.
        `linearized_units` is by the standard deviation of x. Ranks are of the 2n features.

    Args:
        axis: axis of the units, not that of the batch.
        **kwargs: `name`, `dtype` and the like, as for every Keras layer.

    Input and output: `[batch, ..., n]` floats to `[batch, ..., 2 n]`, in [-1, 1].

    Raises:
        ValueError: `axis` is the batch's, or the inputs do not have it.

    Example:
        >>> import tensorflow as tf, tfplastic as tp
        >>> tp.layers.DeepFourier()(tf.constant([[0.0, 1.0]])).numpy().round(3).tolist()
        [[0.0, 0.8410000205039978, 1.0, 0.5400000214576721]]
    """

    first = staticmethod(tf.sin)
    second = staticmethod(tf.cos)
