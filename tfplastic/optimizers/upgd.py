"""Utility-based perturbed gradient descent."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import gin
import tensorflow as tf

from tfplastic import seeds
from tfplastic._checks import (
    check_boolean,
    check_non_negative,
    check_one_of,
    check_positive,
    check_seed,
)
from tfplastic._keras import keras
from tfplastic._shared_arguments import shares_arguments
from tfplastic._tf import random
from tfplastic._tf.programs import own_program
from tfplastic._tf.random import fold_in
from tfplastic.optimizers._forms.keras_form import keras_arguments
from tfplastic.optimizers._forms.pure_form import PureForm
from tfplastic.optimizers.pure import OptimizerState, PureOptimizer, cast_to, check_decay, one_minus_power

SCALINGS = ("global", "local")
ORDERS = (1, 2)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PureUPGD(PureOptimizer):
    """UPGD: theta <- (1 - lr decay) theta - lr (g + noise)(1 - s), s near 1 where a weight is useful.

    See `upgd` for rule, source and departures.

    Args:
        learning_rate: see `PureOptimizer`.
        max_gradient_norm: see `PureOptimizer`.
        weight_decay: at least 0; an update shrinks the parameters by the learning rate times this.
        noise_scale: standard deviation of the noise, at least 0.
        utility_decay: decay of the running mean of utilities, in [0, 1).
        scaling: `'global'`, by the largest utility of all parameters, or `'local'`, by the norm of each unit.
        protects: whether 1 - s scales the gradient as well as the noise.
        order: 1 or 2, of the Taylor expansion that gives a utility. Of order 2 needs the slot `curvature`.
        corrects_maximum: whether the largest utility is corrected for its bias like the others.
        guards_maximum: whether utilities are divided by the largest magnitude where none is above 0.
        step_factor: factor of the second term of the rule, above 0.
        seed: seed of the noise; None is 0.

    Slots: `utility`, and with `order=2` `curvature`, the diagonal of the Hessian, which the caller replaces
    before each update.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> import tensorflow as tf, tfplastic as tp
        >>> upgd = tp.optimizers.PureUPGD(learning_rate=0.5, noise_scale=0.0, weight_decay=0.0)
        >>> weights, _ = upgd.update([tf.ones(1)], upgd.init([tf.zeros(1)]), [tf.zeros(1)])
        >>> float(weights[0][0])  # a weight of zero has no utility, so s = 0.5
        -0.25
    """

    weight_decay: float = 0.01
    noise_scale: float = 0.1
    utility_decay: float = 0.9999
    scaling: str = "global"
    protects: bool = True
    order: int = 1
    corrects_maximum: bool = False
    guards_maximum: bool = True
    step_factor: float = 1.0
    seed: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_non_negative("weight_decay", self.weight_decay)
        check_non_negative("noise_scale", self.noise_scale)
        check_decay("utility_decay", self.utility_decay)
        check_one_of("scaling", self.scaling, SCALINGS)
        check_boolean("protects", self.protects)
        check_one_of("order", self.order, ORDERS)
        check_boolean("corrects_maximum", self.corrects_maximum)
        check_boolean("guards_maximum", self.guards_maximum)
        check_positive("step_factor", self.step_factor)
        if self.seed is not None:
            check_seed("seed", self.seed)

    @property
    def slot_names(self) -> tuple[str, ...]:
        return ("utility", *(["curvature"] if self.order == 2 else []))

    @property
    def draws_noise(self) -> bool:
        return self.noise_scale > 0

    def update_unclipped(
        self, gradients: Sequence[tf.Tensor], state: OptimizerState, parameters: Sequence[tf.Tensor]
    ) -> tuple[list[tf.Tensor], OptimizerState]:
        """Implements `PureOptimizer.update_unclipped`."""
        integers = self._integers(state.step + 1, parameters)
        update = self._update
        if tf.inside_function():
            # TensorFlow's graph draws integers in a third of XLA's time, and takes twice XLA's for the rest.
            update = own_program(update, jit_compile=True)
        return update(integers, gradients, state, parameters)

    def _update(
        self,
        integers: tf.Tensor | None,
        gradients: Sequence[tf.Tensor],
        state: OptimizerState,
        parameters: Sequence[tf.Tensor],
    ) -> tuple[list[tf.Tensor], OptimizerState]:
        """Returns the update without its draws: arithmetic alone."""
        step = state.step + 1
        utilities = self._utilities(gradients, state, parameters)
        closed = [1 - tf.sigmoid(each) for each in self._scaled(utilities, step)]
        directions, moments = self._directions(gradients, state, step)
        noises = self._noise_of(integers, parameters)
        new_parameters = []
        for parameter, direction, noise, share in zip(parameters, directions, noises, closed, strict=True):
            learning_rate = cast_to(self.learning_rate, parameter.dtype)
            descent = (direction + noise) * share if self.protects else direction + noise * share
            kept = parameter - parameter * (learning_rate * self.weight_decay)
            new_parameters.append(kept - self.step_factor * learning_rate * descent)
        slots = {**state.slots, "utility": utilities, **moments}
        return new_parameters, OptimizerState(step, slots, state.shared)

    def noise(self, step: tf.Tensor, parameters: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Returns the noise of a step, one tensor for each parameter; traceable.

        Args:
            step: `[]` integer, 1 in the first update.
            parameters: tensors whose shapes and dtypes the noise has.
        """
        return self._noise_of(self._integers(step, parameters), parameters)

    def _integers(self, step: tf.Tensor, parameters: Sequence[tf.Tensor]) -> tf.Tensor | None:
        """Returns the draws of a step, of all parameters in one row; None without noise."""
        if not self.noise_scale:
            return None
        key = fold_in(tf.constant(seeds.derive(self.seed or 0, "upgd")), step)
        # One draw: a generator that starts for each parameter takes longer.
        return random.integers([sum(each.shape.num_elements() for each in parameters)], key)

    def _noise_of(self, integers: tf.Tensor | None, parameters: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        if integers is None:
            return [tf.zeros_like(each) for each in parameters]
        sizes = [each.shape.num_elements() for each in parameters]
        draws = tf.split(random.normals_of(integers, self.noise_scale), sizes)
        return [
            tf.cast(tf.reshape(draw, each.shape), each.dtype)
            for draw, each in zip(draws, parameters, strict=True)
        ]

    def _utilities(self, gradients: Any, state: OptimizerState, parameters: Any) -> list[tf.Tensor]:
        curvatures = state.slots.get("curvature", [None] * len(parameters))
        utilities = []
        for old, gradient, parameter, curvature in zip(
            state.slots["utility"], gradients, parameters, curvatures, strict=True
        ):
            utility = -gradient * parameter
            if curvature is not None:
                utility += 0.5 * curvature * tf.square(parameter)
            utilities.append(self.utility_decay * old + (1 - self.utility_decay) * utility)
        return utilities

    def _scaled(self, utilities: list[tf.Tensor], step: tf.Tensor) -> list[tf.Tensor]:
        corrections = [one_minus_power(self.utility_decay, tf.cast(step, each.dtype)) for each in utilities]
        corrected = [each / by for each, by in zip(utilities, corrections, strict=True)]
        if self.scaling == "local":
            return [_of_unit_length(each) for each in corrected]
        of_maximum = corrected if self.corrects_maximum else utilities
        maximum = _largest(of_maximum)
        if not self.guards_maximum:
            return [each / tf.cast(maximum, each.dtype) for each in corrected]
        divisor = tf.where(maximum > 0, maximum, _largest([tf.abs(each) for each in of_maximum]))
        return [tf.math.divide_no_nan(each, tf.cast(divisor, each.dtype)) for each in corrected]

    def _directions(
        self, gradients: Any, state: OptimizerState, step: tf.Tensor
    ) -> tuple[list[tf.Tensor], dict[str, list[tf.Tensor]]]:
        """Returns the directions of descent, and new slots besides the utility."""
        return list(gradients), {}


def _largest(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    return tf.reduce_max(tf.stack([tf.cast(tf.reduce_max(each), tf.float64) for each in tensors]))


def _of_unit_length(utility: tf.Tensor) -> tf.Tensor:
    """Divides by the norm of each output unit, of all its incoming weights; a vector by its own."""
    rank = len(utility.shape)
    axes = list(range(rank - 1)) if rank > 1 else None
    norm = tf.sqrt(tf.reduce_sum(tf.square(utility), axes, keepdims=True))
    return utility / tf.maximum(norm, tf.cast(1e-12, utility.dtype))


@keras.utils.register_keras_serializable(package="tfplastic")
class UPGD(PureForm):
    """Keras optimizer with the update of `PureUPGD`."""

    pure_class = PureUPGD


@gin.register(module="tfplastic.optimizers")
@shares_arguments(PureUPGD, omit=("learning_rate",), learning_rate=1.0)
def upgd(
    learning_rate: float = 0.01,
    *,
    settings: PureUPGD,
) -> keras.optimizers.Optimizer:
    """Returns utility-based perturbed gradient descent as a Keras optimizer.

    Rule: theta <- (1 - lr decay) theta - factor lr (g + noise)(1 - s), noise ~ N(0, noise_scale^2) for each
        entry and step. The utility U is a running mean of -g theta, the loss that setting the weight to zero
        would add, to first order; s = sigmoid(U_hat / M), with U_hat = U / (1 - utility_decay^t) and M the
        largest U of all weights. `scaling='local'`: s = sigmoid(U_hat / |U_hat|), the norm over the incoming
        weights of a unit. `protects=False`: g is not scaled, as in theta <- ... - lr (g + noise (1 - s)).
    Defaults: constants in the paper for input-permuted MNIST.
    Source: Elsayed and Mahmood 2024, "Addressing loss of plasticity and catastrophic forgetting in continual
        learning", Algorithm 1, and the released code, mohmdelsayed/upgd.
    Departures: the code divides U_hat by the largest U, the default here; Algorithm 1 divides by the largest
        U_hat, `corrects_maximum=True`. If no utility is above 0, the code still divides by M <= 0, which
        protects the least useful weights or gives NaN. Here M is then the largest |U|, so that the most
        useful weight keeps the largest s, at most 0.5; `guards_maximum=False` divides as the code does. The
        example in the code's README has `step_factor=2`, weight decay 1e-3, utility decay 0.999 and noise
        1e-3. The code skips parameters with "gate" in their names; this optimizer updates all that it gets.
        In convolutions the code's local norm is over a row of the kernel, here over all incoming weights.

    `order=2` adds 0.5 S theta^2 to a utility, with S the diagonal of the Hessian. It is the slot `curvature`
    (`tp.optimizers.slots`), to which a caller assigns an estimate, such as `linalg.diagonal`, before each
    update; zeros until then. `ada_upgd` has the moments of Adam.

    Args:
        learning_rate: above 0.
        protects: whether useful weights also get less of the gradient, or only less noise.
        corrects_maximum: whether M is corrected for its bias.
        guards_maximum: whether M is replaced where it is not above 0.
        step_factor: factor of the learning rate in the second term, above 0.
        seed: seed of the noise. None: 0, or in a run the root seed.
        settings: see `PureUPGD`.

    Returns:
        A Keras optimizer; its `pure` is the same as pure functions.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> import tfplastic as tp
        >>> tp.optimizers.upgd(noise_scale=1e-3, protects=False).pure.slot_names
        ('utility',)
    """
    return UPGD(
        learning_rate=check_positive("learning_rate", learning_rate),
        **keras_arguments(settings),
    )
