"""TRAC: a parameter-free scale of another optimizer's path."""

import copy
import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import gin
import numpy as np
import tensorflow as tf

from tfplastic._checks import check_instance, check_positive, check_sequence, shown
from tfplastic._keras import keras
from tfplastic.optimizers._forms.pure_form import PureForm
from tfplastic.optimizers.pure import OptimizerState, PureOptimizer, check_decay

DISCOUNTS = (0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999)
_EPSILON = 1e-8
_ZERO, _START = np.float64(0), np.float64(1e-8)
_NUM_TERMS = 100


@dataclasses.dataclass(frozen=True, kw_only=True)
class PureTRAC(PureOptimizer):
    """TRAC around another pure optimizer. See `trac` for rule, source and departures.

    Args:
        learning_rate: learning rate of `base`, in place of its own.
        max_gradient_norm: see `PureOptimizer`.
        base: the optimizer whose path is scaled; its own `max_gradient_norm` is not used.
        initial_scale: scale that the learner starts with, above 0.
        discounts: one for each of the scales that are added, in [0, 1).

    Slots: `reference`, the parameters before the first update, and those of `base`.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> import tensorflow as tf, tfplastic as tp
        >>> base = tp.optimizers.PureSGD(learning_rate=1.0)
        >>> pure = tp.optimizers.PureTRAC(learning_rate=1.0, base=base)
        >>> weights, _ = pure.update([tf.ones(1)], pure.init([tf.zeros(1)]), [tf.zeros(1)])
        >>> -1e-6 < float(weights[0][0]) < 0  # nearly frozen at first
        True
    """

    base: PureOptimizer
    initial_scale: float = 1e-8
    discounts: Sequence[float] = DISCOUNTS

    def __post_init__(self) -> None:
        super().__post_init__()
        check_instance("base", self.base, PureOptimizer, "PureAdam(learning_rate=1e-3)")
        if self.base.shared_shapes:
            rule = "must be an optimizer without state of all parameters together"
            raise ValueError(f"`base` {rule}. Received: {shown(self.base)}")
        check_positive("initial_scale", self.initial_scale)
        if not len(check_sequence("discounts", self.discounts, "[0.9, 0.99]")):
            raise ValueError(f"`discounts` must hold a number or more. Received: {shown(self.discounts)}")
        for each in self.discounts:
            check_decay("discounts", each)

    @property
    def slot_names(self) -> tuple[str, ...]:
        return ("reference", *self.base.slot_names)

    @property
    def draws_noise(self) -> bool:
        return self.base.draws_noise

    def slot_dtype(self, name: str, dtype: tf.DType) -> tf.DType:
        return dtype if name == "reference" else self.base.slot_dtype(name, dtype)

    @property
    def shared_shapes(self) -> dict[str, tuple[int, ...]]:
        shape = (len(self.discounts),)
        return {"variance": shape, "sum": shape, "scale": shape}

    def update_unclipped(
        self, gradients: Sequence[tf.Tensor], state: OptimizerState, parameters: Sequence[tf.Tensor]
    ) -> tuple[list[tf.Tensor], OptimizerState]:
        """Implements `PureOptimizer.update_unclipped`."""
        is_first = tf.equal(state.step, 0)
        references = [
            tf.where(is_first, parameter, old)
            for parameter, old in zip(parameters, state.slots["reference"], strict=True)
        ]
        of_base = {name: state.slots[name] for name in self.base.slot_names}
        base = dataclasses.replace(self.base, learning_rate=self.learning_rate)
        moved, new = base.update_unclipped(gradients, state._replace(slots=of_base, shared={}), parameters)
        before = tf.reduce_sum(tf.where(is_first, _ZERO, state.shared["scale"])) + _EPSILON  # [] float64
        displacements = [
            (parameter - reference) / tf.cast(before, parameter.dtype)
            for parameter, reference in zip(parameters, references, strict=True)
        ]
        products = [
            tf.reduce_sum(tf.cast(displacement, tf.float64) * tf.cast(gradient, tf.float64))
            for displacement, gradient in zip(displacements, gradients, strict=True)
        ]
        shared = self._tuned(tf.add_n(products), state.shared, is_first)
        after = tf.maximum(tf.reduce_sum(shared["scale"]), 0.0)  # [] float64
        updated = [
            reference + (displacement + (end - parameter)) * tf.cast(after, parameter.dtype)
            for reference, displacement, end, parameter in zip(
                references, displacements, moved, parameters, strict=True
            )
        ]
        return updated, OptimizerState(new.step, {"reference": references, **new.slots}, shared)

    def _tuned(
        self, product: tf.Tensor, shared: dict[str, tf.Tensor], is_first: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Returns the new state of the scales, each `[discounts] float64`."""
        discounts = tf.constant(self.discounts, tf.float64)
        variance = tf.square(discounts) * tf.where(is_first, _ZERO, shared["variance"]) + tf.square(product)
        total = discounts * tf.where(is_first, _START, shared["sum"]) - product
        argument = total / (math.sqrt(2) * tf.sqrt(variance) + _EPSILON)
        one = erfi(tf.constant([1 / math.sqrt(2)], tf.float64))
        return {"variance": variance, "sum": total, "scale": self.initial_scale / one * erfi(argument)}


def erfi(x: tf.Tensor) -> tf.Tensor:
    """Returns the imaginary error function, 2 / sqrt(pi) times the integral of exp(t^2) from 0 to x.

    By its Taylor series up to |x| = 5, all of whose terms have one sign, and beyond by the asymptotic one; to
    1e-9 of its value. TensorFlow has no kernel of it, and XLA none of Dawson's integral.

    Args:
        x: `[n] float64`.
    """
    order = np.arange(_NUM_TERMS)
    coefficients = np.exp([-math.lgamma(each + 1) for each in order]) / (2 * order + 1)
    near = tf.clip_by_value(x, -5.0, 5.0)
    powers = tf.pow(tf.square(near)[:, None], tf.constant(order, tf.float64))  # [n, terms]
    series = 2 / math.sqrt(math.pi) * near * tf.reduce_sum(powers * coefficients, axis=1)
    far = tf.maximum(tf.abs(x), 5.0)
    double_factorials = np.cumprod([1.0, *(2 * order[1:25] - 1)])
    inverses = tf.pow(1 / (2 * tf.square(far))[:, None], tf.constant(order[:25], tf.float64))
    size = tf.exp(tf.square(far)) / (math.sqrt(math.pi) * far)
    tail = tf.sign(x) * size * tf.reduce_sum(inverses * double_factorials, axis=1)
    return tf.where(tf.abs(x) <= 5.0, series, tail)


@keras.utils.register_keras_serializable(package="tfplastic")
class TRAC(PureForm):
    """Keras optimizer with the update of `PureTRAC`; it takes learning rate and clipping from `base`.

    Args:
        base: optimizer of this package.
        **kwargs: see `PureForm`.
    """

    pure_class = PureTRAC

    def __init__(self, base: Any, **kwargs: Any):
        if isinstance(base, dict):  # of a configuration
            base = keras.optimizers.deserialize(copy.deepcopy(base))  # which it changes
        if not isinstance(getattr(base, "pure", None), PureOptimizer):
            rule = "must be an optimizer of this package, such as adam()"
            raise ValueError(f"`base` {rule}. Received: {shown(base)}")
        rate = base._learning_rate  # a variable, of all replicas in the scope of a strategy, or a schedule
        kwargs.setdefault(
            "learning_rate", float(tf.convert_to_tensor(rate)) if hasattr(rate, "assign") else rate
        )
        kwargs.setdefault("global_clipnorm", base.global_clipnorm)
        pure = dataclasses.replace(base.pure, learning_rate=1.0, max_gradient_norm=None)
        super().__init__(base=pure, **kwargs)
        self._base_config = _Held(keras.optimizers.serialize(base))

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that make the same optimizer again."""
        return {**super().get_config(), "base": self._base_config.value}


@dataclasses.dataclass(frozen=True)
class _Held:
    value: Any  # which Keras would track as a part of its own


@gin.register(module="tfplastic.optimizers")
def trac(
    base: keras.optimizers.Optimizer,
    initial_scale: float = 1e-8,
    discounts: Sequence[float] = DISCOUNTS,
) -> keras.optimizers.Optimizer:
    """Returns TRAC around another optimizer, as a Keras optimizer.

    Rule: D = (theta - reference) / (S + 1e-8), with the weights before the first update as reference and
        S = 0 there; h = <D, g> over all weights; u the update of `base`. For each discount b:
        v <- b^2 v + h^2, sigma <- b sigma - h from 1e-8, s = initial_scale e(sigma / (sqrt(2 v) + 1e-8)) with
        e(x) = erfi(x) / erfi(1 / sqrt(2)). S = sum of s; theta <- reference + (D + u) max(S, 0).
    Defaults: constants of the released code.
    Source: Muppidi, Zhang and Yang 2024, "Fast TRAC: a parameter-free optimizer for lifelong reinforcement
        learning", and its code, ComputationalRobotics/TRAC.
    Departures: erfi has the precision of float64, in the code that of float32. As in the code, D is read from
        the weights, in their own precision: in float32, a weight that is not near zero starts to move only
        when S has grown to about 1e-7 of it.

    With D = 0 at first, S stays tiny: the learner starts nearly frozen, by design. Where a mitigation resets
    slots, the reference becomes the new weights; where one changes weights alone, the reference moves with
    them, so that D stays. A reset of the count of steps starts again.

    Args:
        base: optimizer of this package, such as `adam()`, that is not `trac` itself. Its learning rate and
            clipping are used.
        initial_scale: above 0.
        discounts: numbers in [0, 1), one for each scale.

    Returns:
        A Keras optimizer; its `pure` is the same as pure functions.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> import tfplastic as tp
        >>> tp.optimizers.trac(tp.optimizers.adam(1e-3)).pure.slot_names
        ('reference', 'mean', 'mean_square')
    """
    return TRAC(base=base, initial_scale=initial_scale, discounts=_as_tuple(discounts))


def _as_tuple(discounts: Any) -> Any:
    return tuple(discounts) if isinstance(discounts, list) else discounts
