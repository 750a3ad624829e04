"""The frozen parts of a network with plasticity injection, as a layer after the network's outputs."""

import copy
from typing import Any

import tensorflow as tf

from tfplastic._keras import keras


@keras.utils.register_keras_serializable(package="tfplastic")
class FrozenHeads(keras.layers.Layer):
    """Sum of a trained head's outputs and of those of two frozen ones, h + (h_old - h_new); at first h alone.

    The frozen heads are here from the start, so that variables, optimizer slots, compiled programs and
    checkpoints stay as they are when they are switched on. Their layers are not layers of the network: they
    are not measured, and no method acts on their units.

    Args:
        head: config of the head, a model, from `keras.layers.serialize`.
        **kwargs: `name` and the like, as for every Keras layer.

    Attributes:
        old, new: the frozen heads, models.
        is_on: `[] float32`, 1 from the injection on, else 0.

    Input: the outputs of the trained head, and the head's inputs.
    """

    mixes_units = False  # its inputs are not the features before the last layer
    old: Any
    new: Any

    def __init__(self, head: Any, **kwargs: Any):
        # This layer computes nothing in a dtype of its own: the heads' policies decide.
        super().__init__(**{"dtype": "float32", "autocast": False, **kwargs})
        self.__dict__["_head"] = head  # past Keras' tracking, which would wrap it

    def build(self, input_shape: Any) -> None:
        # Past Keras' tracking of layers; the variables alone are tracked.
        for name in ("old", "new"):
            self.__dict__[name] = keras.layers.deserialize(copy.deepcopy(self._head))
        self.is_on = self.add_weight(name="is_on", shape=(), initializer="zeros", trainable=False)
        self._frozen = [*self.old.variables, *self.new.variables]
        for variable in self._frozen:
            if not isinstance(variable, tf.Variable):  # of Keras 3, which asks the variable
                variable.trainable = False
        super().build(input_shape)

    @property
    def trainable_weights(self) -> list[Any]:
        return []

    @property
    def non_trainable_weights(self) -> list[Any]:
        return [self.is_on, *self._frozen] if self.built else []

    def call(self, inputs: Any) -> Any:
        trained, features = inputs
        is_on = tf.equal(tf.convert_to_tensor(self.is_on), 1.0)  # []
        # A gradient of its own, whose sum with the trained head's has two terms: the same bits in any order.
        features = tf.where(is_on, features, tf.zeros_like(features))
        new = self.new(features, training=False)
        old = self.old(features, training=False)
        old = tf.where(is_on, old, tf.zeros_like(old))  # without it a graph adds before it rounds
        # In this order: while the trained head is the new one, exactly the old outputs.
        return tf.where(is_on, (trained - new) + old, trained)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape[0]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "head": copy.deepcopy(self._head)}


def with_frozen_heads(model: Any, first: str | None) -> Any:
    """Returns the model with frozen heads after its outputs; its own layers and weights are the same.

    Args:
        model: Sequential or functional model with one output.
        first: name of the first layer of the head; None for the first layer with a kernel after the last
            convolution, attention or recurrent layer through which everything goes, or the last one.

    Raises:
        ValueError: the model is of another kind, or has no such layer.
    """
    if frozen_heads_of(model) is not None:
        return model
    kind = {base.__name__ for base in type(model).__mro__}
    if not kind & {"Functional", "Sequential"} or len(model.outputs) != 1:
        rule = "must be Sequential or functional, with one output"
        action = "Build it with keras.Model(inputs, outputs), or leave plasticity injection out"
        raise ValueError(f"`model` {rule}. Received: {model.name!r}. {action}")
    names = _candidates(model) if first is None else [first]
    found = ((name, _head(model, name)) for name in names)
    name, head = next(((name, head) for name, head in found if head is not None), (None, None))
    if name is None:
        rule = "must name a layer through which everything goes to the outputs"
        known = ", ".join(layer.name for layer in model.layers if layer.weights)
        raise ValueError(f"`head` {rule}. Received: {first!r}. The model has {known}")
    layer = FrozenHeads(keras.layers.serialize(head), name="frozen_heads")
    outputs = layer([model.outputs[0], model.get_layer(name).input])
    inputs = model.inputs if len(model.inputs) > 1 else model.inputs[0]
    return keras.Model(inputs, outputs, name=model.name)


def frozen_heads_of(model: Any) -> FrozenHeads | None:
    """Returns the layer of a model's frozen heads; None if it has none."""
    return next((each for each in model.layers if isinstance(each, FrozenHeads)), None)


def trained_head_of(model: Any) -> list[Any]:
    """Returns the variables of the trained head of a model with frozen ones, in the order of theirs."""
    layer = frozen_heads_of(model)
    if layer is None:
        raise ValueError(f"`model` must have frozen heads. Received: {model.name!r}")
    return [each for own in layer.old.layers if own.variables for each in model.get_layer(own.name).variables]


_ENCODERS = ("Conv", "Attention", "Embedding", "LSTM", "GRU", "RNN")


def _candidates(model: Any) -> list[str]:
    with_kernel = [layer for layer in model.layers if any(len(each.shape) > 1 for each in layer.weights)]
    kinds = [type(layer).__name__ for layer in model.layers]
    encoders = [place for place, kind in enumerate(kinds) if any(each in kind for each in _ENCODERS)]
    last = encoders[-1] if encoders else len(model.layers)
    after = [layer.name for layer in model.layers[last + 1 :] if layer in with_kernel]
    return after or [layer.name for layer in with_kernel[-1:]]


def _head(model: Any, name: str) -> Any:
    """Returns a new model of the layers from the one of a name on; None if there is no such model."""
    clone = keras.models.clone_model(model)
    try:
        layer = clone.get_layer(name)
        return keras.Model(layer.input, clone.outputs[0], name=f"{name}_head")
    except (AttributeError, TypeError, ValueError):
        return None
