"""Layers with a state of their own that advances from step to step, but never in `call`."""

import abc
from typing import Any

from tfplastic._tf.replicas import once_for_all_replicas


class Advancing(abc.ABC):
    """The interface of a layer with a state that changes between gradient steps.

    A forward pass assigns nothing, so that measuring a network leaves it as it was; `advance` is the one
    place where such a layer changes its non-trainable variables, and the training loop calls it.
    """

    @abc.abstractmethod
    def advance(self) -> None:
        """Advances the state by one step; traceable by `tf.function`, under XLA too."""


def advance(model: Any) -> None:
    """Advances every layer of a model that changes between gradient steps, once each.

    The training loop calls it after every gradient step and after whatever else changed the weights in that
    step, such as a reset; a custom training loop should do the same. Other layers are not changed.

    Args:
        model: a Keras model or layer that is built; layers inside layers are found.

    Example:
        >>> import tfplastic as tp
        >>> layer = tp.layers.SteppedDropout(0.5, seed=0)
        >>> layer.build((None, 3))
        >>> tp.layers.advance(layer)
        >>> int(layer.step)
        1
    """
    advanced: set[int] = set()
    for layer in model._flatten_layers():  # nothing public finds the layers inside custom layers as well
        if isinstance(layer, Advancing) and id(layer) not in advanced:
            advanced.add(id(layer))
            once_for_all_replicas(layer.advance)
