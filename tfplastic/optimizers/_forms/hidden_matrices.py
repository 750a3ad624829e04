"""The choice of the weights that optimizers treat as hidden matrices."""

import math
import re
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfplastic._checks import check_sequence, shown
from tfplastic.optimizers._forms.pure_form import PureForm

# Ends of the names that layers give to variables that are not kernels, as `diagnostics` has them.
_NO_KERNELS = ("alpha", "beta", "bias", "gamma", "scale", "token")


def is_kernel(variable: Any) -> bool:
    """Returns whether a variable is a kernel by its shape and the name that its layer gives it."""
    role = variable.name.split("/")[-1].split(":")[0]
    return len(variable.shape) >= 2 and not role.endswith(_NO_KERNELS)


def check_hidden(hidden: Any) -> None:
    """Raises `ValueError` unless it is None or a sequence of booleans."""
    if hidden is None:
        return
    if not all(isinstance(each, bool) for each in check_sequence("hidden", hidden, "[True, False]")):
        raise ValueError(f"`hidden` must hold True or False for each parameter. Received: {shown(hidden)}")


def hidden_of(hidden: Sequence[bool] | None, parameters: Sequence[Any], convolutions: bool) -> list[bool]:
    """Returns which parameters are hidden matrices: as given, by default all matrices but the last.

    It knows shapes only: gains, offsets and biases of two axes or more count as matrices.

    Args:
        hidden: one for each parameter, or None.
        parameters: the parameters in the order of the network.
        convolutions: whether parameters of more than two axes count as matrices.
    """
    fitting = [len(each.shape) == 2 or (convolutions and len(each.shape) > 2) for each in parameters]
    if hidden is not None:
        return [a and b for a, b in zip(fitting, hidden, strict=True)]
    kernels = [index for index, each in enumerate(parameters) if len(each.shape) >= 2]
    return [each and index != kernels[-1] for index, each in enumerate(fitting)]


def as_matrix(kernel: tf.Tensor) -> tf.Tensor:
    """Returns a kernel as `[inputs, outputs]`."""
    shape = kernel.shape.as_list()
    return tf.reshape(kernel, [math.prod(shape[:-1]), shape[-1]])


class HiddenMatricesForm(PureForm):
    """The Keras form of an optimizer with the argument `hidden`, which it finds from the weights.

    Kernels are weights of two axes or more whose name does not say that they are a bias, a gain, an offset, a
    slope, a token or a scale of noise.

    Args:
        learning_rate: number above 0, or a schedule of Keras.
        exclude: regular expressions; weights whose path has one of them are not hidden matrices. None: the
            last kernel, and those of embeddings.
        **kwargs: see `PureForm`.
    """

    def __init__(self, learning_rate: Any = 1e-3, exclude: Sequence[str] | None = None, **kwargs: Any):
        super().__init__(learning_rate, **kwargs)
        self.exclude = None if exclude is None else _check_patterns(exclude)

    def build(self, variables: Any) -> None:
        """Finds the hidden matrices and makes the slots."""
        if not hasattr(self, "_is_hidden"):
            self._is_hidden = self._find_hidden(variables)
        super().build(variables)

    def _find_hidden(self, variables: Sequence[Any]) -> list[bool]:
        names = [getattr(each, "path", each.name) for each in variables]
        kernels = [index for index, each in enumerate(variables) if is_kernel(each)]
        if self.exclude is not None:
            chosen, patterns = kernels, self.exclude
        else:
            chosen, patterns = kernels[:-1], ("embedding",)
        return [
            index in chosen and not any(re.search(each, name, re.IGNORECASE) for each in patterns)
            for index, name in enumerate(names)
        ]

    def _with_hidden(self, pure: Any, indices: Sequence[int]) -> Any:
        return pure.with_hidden(tuple(bool(self._is_hidden[index]) for index in indices))

    @property
    def pure(self) -> Any:
        """The same optimizer as pure functions; `hidden` is that of the weights it was built for."""
        pure = super().pure
        return self._with_hidden(pure, range(len(self._is_hidden))) if hasattr(self, "_is_hidden") else pure

    def _pure_of(self, indices: Sequence[int]) -> Any:
        return self._with_hidden(super().pure, indices)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that make the same optimizer again."""
        config = super().get_config()
        config.pop("hidden", None)
        return {**config, "exclude": None if self.exclude is None else list(self.exclude)}


def _check_patterns(exclude: Any) -> tuple[str, ...]:
    for each in check_sequence("exclude", exclude, "['output']"):
        try:
            re.compile(each)
        except (TypeError, re.error):
            raise ValueError(f"`exclude` must hold regular expressions. Received: {shown(exclude)}") from None
    return tuple(exclude)
