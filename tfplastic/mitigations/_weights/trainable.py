"""The trainable weights of a model, each with its layer and its name in that layer."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from tfplastic._checks import check_one_of, shown
from tfplastic.diagnostics.reading.model_layers import is_kernel, named_layers, variable_role

_KERNELS = ("kernel", "embeddings")
_OF_POSITIONS = "embedding"  # added to the units of each position
_GAINS, _OFFSETS = ("gamma", "scale"), ("beta",)
_CHOICES = ("all", "all_but_norms", "kernels")


class Weight(NamedTuple):
    """A trainable weight.

    Attributes:
        variable: the variable of the model.
        layer: innermost layer that owns it.
        role: its name in that layer, such as 'kernel' or 'gamma'.
        path: the layer's path below the model, such as 'block_1/attention/query'.
        number: 0, or the place among the weights of its layer that have the same role.
    """

    variable: Any
    layer: Any
    role: str
    path: str
    number: int = 0

    @property
    def is_kernel(self) -> bool:
        """Whether it multiplies inputs from other units, unlike a bias, and a gain or offset of a norm.

        In layers of one's own it may have any name but those of biases, gains and the like, with two axes or
        more.
        """
        if self.role.endswith(_KERNELS):
            return True
        return is_kernel(self.variable) and not self.role.endswith(_OF_POSITIONS)

    @property
    def is_gain(self) -> bool:
        """Whether it is the factor of a norm, which starts at 1."""
        return self.role in _GAINS

    @property
    def is_norm(self) -> bool:
        """Whether it is the gain or the offset of a norm."""
        return self.role in (*_GAINS, *_OFFSETS)

    @property
    def is_bias(self) -> bool:
        """Whether it is added to the units, by a norm or another layer."""
        return self.role.endswith(("bias", *_OFFSETS))

    def __str__(self) -> str:
        return f"{self.path}/{self.role}" + (f".{self.number}" if self.number else "")


def trainable_weights(model: Any) -> list[Weight]:
    """Returns the weights of `model` in the order of `model.trainable_variables`.

    Raises:
        ValueError: if there is none, as in a model that is not built.
    """
    if not hasattr(model, "_flatten_layers") or isinstance(model, type):
        raise TypeError(f"`model` must be a Keras model. Received: {shown(model)}")
    owners = {
        id(variable): (path, layer)
        for path, layer in named_layers(model).items()  # outer before inner
        for variable in layer.trainable_variables
    }
    variables = model.trainable_variables
    if not variables:
        raise ValueError(f"`model` must be built and have trainable weights. Received: {model.name!r}")
    found: list[Weight] = []
    counts: Counter[tuple[str, str]] = Counter()
    for variable in variables:
        path, layer = owners[id(variable)]
        role = variable_role(variable)
        found.append(Weight(variable, layer, role, path, counts[path, role]))
        counts[path, role] += 1
    return found


def select(weights: Sequence[Weight], which: str) -> list[Weight]:
    """Returns the weights that `which` selects: 'all', 'all_but_norms' or 'kernels'."""
    if which == "all_but_norms":
        return [each for each in weights if not each.is_norm]
    return [each for each in weights if which == "all" or each.is_kernel]


def chosen_weights(model: Any, which: str) -> list[Weight]:
    """Returns the weights of `model` that `which` selects.

    Raises:
        ValueError: if there is none.
    """
    found = select(trainable_weights(model), which)
    if not found:
        rule = f"must select trainable weights of {model.name!r}, which has none of this kind"
        raise ValueError(f"`weights` {rule}. Received: {which!r}. Choose 'all', or leave the method out")
    return found


def values_of(weights: Sequence[Weight], variables: Sequence[Any]) -> list[tf.Tensor]:
    """Returns the value of each weight, read from the variables that a hook got."""
    given = {id(each): each for each in variables}
    return [tf.convert_to_tensor(given[id(weight.variable)]) for weight in weights]


def check_which(which: Any) -> str:
    """Returns `which` if `select` knows it, else raises `ValueError`."""
    return check_one_of("weights", which, _CHOICES)
