"""Which weights belong to which unit."""

from collections.abc import Iterator, Mapping
from typing import Any

from tfplastic._checks import check_mapping, shown
from tfplastic._keras import check_backend
from tfplastic.diagnostics.reading.model_layers import named_layers, network_of
from tfplastic.diagnostics.units.unit_slices import Units
from tfplastic.diagnostics.units.unit_tracing import traced_units


class UnitMap(Mapping[str, Units]):
    """The units of each hidden layer of a model, with their weights in the layer and in its readers.

    A unit is one of a dense or recurrent layer, a channel of a convolution of any kind (channels first or
    last, depthwise, separable, in groups), or a feature of an attention head's values (layer
    'attention/value', numbered head by head), whose value goes to the kernels of other layers by ways of its
    own: nonlinearities, dropout, normalization, pooling, transposition, flattening, concatenation. Setting
    its part of `outgoing` to zero makes the network's outputs independent of it, if no normalization couples
    it to others (`Units.coupled`). Layers whose outputs are added to others', as at the end of a block of a
    residual network, have no such units, and neither has the last layer: `excluded` says why.

    The map is a mapping {layer name: `Units`}, in the order of calls. It holds for a model whose layers are
    not replaced; values of weights do not matter.

    Args:
        model: a Sequential or functional Keras model, of Keras 2 or Keras 3, built, such as this library's
            networks; models in it are followed if they are of these kinds. With `units`, any Keras model.
        units: the map itself, {layer name: `Units`}, for a model that is not traced.

    Attributes:
        excluded: {layer name: reason} for the layers with a kernel whose units are not in the map.

    Raises:
        ValueError: the model is not built, or neither Sequential nor functional and `units` are not given; or
            it has no unit; or `units` name a layer that it does not have, or variables that are not its.

    Example:
        >>> import tensorflow as tf
        >>> from tfplastic import diagnostics
        >>> model = tf.keras.Sequential([
        ...     tf.keras.Input((4, 4, 1)),
        ...     tf.keras.layers.Conv2D(2, 3, activation='relu', name='conv'),
        ...     tf.keras.layers.Flatten(),
        ...     tf.keras.layers.Dense(1, name='output'),
        ... ])
        >>> unit_map = diagnostics.UnitMap(model)
        >>> unit_map['conv'].incoming.indices(1), unit_map['conv'].outgoing[0].indices(1)
        (array([1]), array([1, 3, 5, 7]))
        >>> unit_map.excluded
        {'output': "its outputs are the model's"}
    """

    def __init__(self, model: Any, units: Mapping[str, Units] | None = None):
        if not hasattr(model, "_flatten_layers") or isinstance(model, type):
            raise TypeError(f"`model` must be a Keras model. Received: {model!r}")
        check_backend("model", model)
        if not model.built:
            raise ValueError(f"`model` must be built, by a call on a batch. Received: {model.name!r}")
        model = network_of(model)
        self.excluded: dict[str, str] = {}
        if units is not None:
            check_mapping("units", units, "{'hidden': Units(...)}")
            self._units = _checked(model, units)
            return
        traced = traced_units(model)
        if traced is None:
            rule = "must be Sequential or functional where `units` are not given"
            raise ValueError(f"`model` {rule}. Received: {model.name!r}, a {type(model).__name__}")
        self._units, self.excluded = traced
        if not self._units:
            reasons = "; ".join(f"{name!r}: {reason}" for name, reason in self.excluded.items())
            raise ValueError(f"`model` must have hidden units. Received: {model.name!r}, {reasons or 'none'}")

    def __getitem__(self, layer: str) -> Units:
        return self._units[layer]

    def __iter__(self) -> Iterator[str]:
        return iter(self._units)

    def __len__(self) -> int:
        return len(self._units)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name!r}: {units.num_units} units" for name, units in self.items())
        return f"<UnitMap {{{sizes}}}, excluded: {list(self.excluded)}>"


def _checked(model: Any, units: Mapping[str, Units]) -> dict[str, Units]:
    layers = named_layers(model)
    own = {id(variable) for variable in model.variables}
    own |= {id(getattr(variable, "value", variable)) for variable in model.variables}  # those of Keras 3
    for name, each in units.items():
        if name not in layers:
            raise ValueError(f"`units` must go by names of the model's layers. Received: {name!r}")
        if not isinstance(each, Units):
            raise TypeError(f"`units` must hold Units by names of layers. Received: {shown(each)}")
        parts = (each.incoming, each.bias, each.recurrent, *each.outgoing)
        slices = [part for part in parts if part is not None]
        foreign = [part.variable.name for part in slices if id(part.variable) not in own]
        if foreign:
            raise ValueError(
                f"`units` of {name!r} must be of the model's variables. Received: {foreign[0]!r}"
            )
    return dict(units)
