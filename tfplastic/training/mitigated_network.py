"""The networks that mitigations extend, and the weights by which they evaluate them."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf

from tfplastic._keras import tf_variable
from tfplastic.mitigations import Mitigation


@contextlib.contextmanager
def evaluation_weights(mitigations: Sequence[Mitigation]) -> Iterator[None]:
    """While open, the model has its mitigations' `evaluation_weights`; then its own again, bit for bit.

    Args:
        mitigations: mitigations of the model, built.
    """
    pairs = [pair for each in mitigations for pair in each.evaluation_weights]
    trained = [tf.identity(tf_variable(variable)) for variable, _ in pairs]
    for variable, value in pairs:
        variable.assign(tf.convert_to_tensor(value))
    try:
        yield
    finally:
        for (variable, _), value in zip(pairs, trained, strict=True):
            variable.assign(value)


def replace_evaluation_weights(mitigations: Sequence[Mitigation]) -> None:
    """Gives the mitigations' `evaluation_weights` the values of the model's own weights.

    Args:
        mitigations: mitigations of the model, built.
    """
    for each in mitigations:
        for variable, value in each.evaluation_weights:
            value.assign(tf.convert_to_tensor(variable))


def extension(mitigations: Sequence[Mitigation]) -> Callable[[Any], Any]:
    """Returns the function that lets each mitigation extend a network.

    Args:
        mitigations: mitigations of the network, in their order.
    """

    def extend(model: Any) -> Any:
        for each in mitigations:
            model = each.extend_network(model)
        return model

    return extend
