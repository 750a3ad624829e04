"""Arrays of another library in the form of a snapshot."""

import types
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfplastic.diagnostics.declaration.quantity import Need
from tfplastic.diagnostics.snapshot import Snapshot
from tfplastic.diagnostics.units.unit_statistics import UnitStatistics, of_blocks, traced_statistics

Arrays = Mapping[str, Mapping[str, np.ndarray]]
"""{layer: {name of the variable: array}}."""


class _MissingError(AttributeError, ValueError):
    """A part of a snapshot is asked for that arrays do not have."""


class _Layer:
    """A layer with variables, and without a call."""

    def __init__(self, name: str, variables: Mapping[str, tf.Variable]):
        self.name, self.built = name, True
        self.weights = self.variables = self.trainable_variables = list(variables.values())
        vars(self).update(variables)

    def _flatten_layers(self, recursive: bool = True, include_self: bool = True) -> list[Any]:
        del recursive  # there are no layers inside
        return [self] if include_self else []


class _Model:
    """The layers that arrays belong to, as far as diagnostics ask for them."""

    def __init__(self, layers: Sequence[_Layer]):
        self.name, self.built, self.layers = "arrays", True, list(layers)
        self.variables = self.trainable_variables = [each for layer in layers for each in layer.variables]

    def _flatten_layers(self, recursive: bool = True, include_self: bool = True) -> list[Any]:
        del recursive
        return [self, *self.layers] if include_self else self.layers


class ArraySnapshot(Snapshot):
    """Snapshot of activations, weights and gradients that are given as arrays; see `from_arrays`.

    Quantities that need more than arrays, such as curvature, raise `ValueError`.

    Args:
        activations: {layer: `[n, ..., units]`}, or None.
        weights: weights of the layers, or None.
        gradients: gradients by the weights, of the same names, or None.
        pre_activations: {layer: `[n, ..., units]`} of some of the layers.
        functions: {layer: name of its activation function}.
    """

    def __init__(
        self,
        activations: Mapping[str, np.ndarray] | None,
        weights: Arrays | None,
        gradients: Arrays | None,
        pre_activations: Mapping[str, np.ndarray],
        functions: Mapping[str, str],
    ):
        variables = {
            layer: {name: tf.Variable(value, name=name) for name, value in arrays.items()}
            for layer, arrays in (weights or {}).items()
        }
        self.model = _Model([_Layer(layer, named) for layer, named in variables.items()])
        self.targets = self.optimizer = self.reference = None
        self.inputs, self.data_note = (), ""
        self.num_examples = len(next(iter((activations or {"": ()}).values())))
        self._functions = functions
        self._losses = None
        self._values: dict[Any, Any] = {}
        self._programs: Any = types.SimpleNamespace(kept={})
        self._given_activations = _tensors(activations)
        self._given_pre_activations = _tensors(pre_activations) or {}
        self._weights = {layer: list(named.values()) for layer, named in variables.items()}
        self._has_weights = weights is not None
        self._given_gradients = (
            None
            if gradients is None
            else {
                layer: [tf.convert_to_tensor(gradients[layer][name]) for name in named]
                for layer, named in variables.items()
            }
        )

    def __getattr__(self, name: str) -> Any:
        raise _MissingError("needs a model that can be called, of which there are only arrays")

    def refresh(self) -> bool:
        """Does nothing, as arrays do not change."""
        return False

    def prepare(self, parts: Any) -> None:
        """Does nothing, as there is no pass to share."""

    def require(self, need: Need) -> None:
        if need == "loss" and self._given_gradients is not None:
            return
        raise ValueError(f"needs `{'gradients' if need == 'loss' else need}`")

    @property
    def activations(self) -> dict[str, tf.Tensor]:
        return dict(_there("activations", self._given_activations))

    @property
    def pre_activations(self) -> dict[str, tf.Tensor]:
        return dict(self._given_pre_activations)

    @property
    def features(self) -> dict[str, tf.Tensor]:
        return dict(list(self.activations.items())[-1:])

    @property
    def linear_outputs(self) -> dict[str, tf.Tensor]:
        return {}

    @property
    def masks(self) -> dict[str, tf.Tensor]:
        return {}

    @property
    def feature_masks(self) -> dict[str, tf.Tensor]:
        return {}

    @property
    def unmeasured(self) -> dict[str, str]:
        return {}

    @property
    def outputs(self) -> Any:
        raise ValueError("needs the outputs of a model, of which there are only arrays")

    @property
    def unit_statistics(self) -> dict[str, UnitStatistics]:
        return self.memoize("unit_statistics", self._statistics)

    @property
    def weights(self) -> dict[str, list[tf.Variable]]:
        return _there("weights", self._weights if self._has_weights else None)

    @property
    def gradients(self) -> dict[str, list[tf.Tensor]]:
        return _there("gradients", self._given_gradients)

    @property
    def loss(self) -> tf.Tensor:
        raise ValueError("needs a loss, of which there are only arrays")

    def left_out(self, units: bool = True, features: bool = True) -> dict[str, str]:
        return {}

    def _statistics(self) -> dict[str, UnitStatistics]:
        found = {}
        for layer, values in self.activations.items():
            function = self._functions.get(layer, "")
            given = self._given_pre_activations.get(layer)
            found[layer] = of_blocks(function, [traced_statistics(values, given, function)])
        return found

    def _require_losses(self) -> Any:
        raise ValueError("needs a loss that can be called, of which there are only arrays")


def _tensors(arrays: Mapping[str, np.ndarray] | None) -> dict[str, tf.Tensor] | None:
    return None if arrays is None else {name: tf.convert_to_tensor(each) for name, each in arrays.items()}


def _there(name: str, value: Any) -> Any:
    if value is None:
        raise ValueError(f"needs `{name}`")
    return value
