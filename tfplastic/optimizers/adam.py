"""Adam with an epsilon on each side of the root."""

import dataclasses
from typing import Any

import gin
import numpy as np
import tensorflow as tf

from tfplastic._checks import check_positive
from tfplastic._keras import keras
from tfplastic.optimizers._forms.keras_form import add_slots, apply_rule, check_form, index_of
from tfplastic.optimizers._forms.once_per_step import OncePerStep
from tfplastic.optimizers.pure import PureAdam


@keras.utils.register_keras_serializable(package="tfplastic")
class Adam(keras.optimizers.Adam):
    """Keras' Adam with the update of `PureAdam`; one kernel for a variable if `epsilon_root` is 0."""

    def __init__(
        self,
        *,
        epsilon_root: float = 0.0,
        bias_correction: str = "step_size",
        per_entry_steps: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self._of_step = OncePerStep()
        self.epsilon_root = epsilon_root
        self.bias_correction = bias_correction
        self.per_entry_steps = per_entry_steps
        self._check()

    def _check(self) -> None:
        check_form(self, self.pure, amsgrad=False, adaptive_epsilon=False)

    @property
    def pure(self) -> PureAdam:
        """The same optimizer as pure functions; they read the learning rate of this one."""
        return PureAdam(
            learning_rate=self.learning_rate,
            max_gradient_norm=self.global_clipnorm,
            beta_1=self.beta_1,
            beta_2=self.beta_2,
            epsilon=self.epsilon,
            epsilon_root=self.epsilon_root,
            bias_correction=self.bias_correction,
            per_entry_steps=self.per_entry_steps,
        )

    @property
    def _rule(self) -> PureAdam:
        """The part of the pure form that is the update of a variable: all that Keras does not do itself."""
        return self.pure

    def build(self, variables: Any) -> None:
        """Makes the slots; Keras 2 calls this again at each step."""
        super().build(variables)
        if self.per_entry_steps and not hasattr(self, "_steps"):
            self._steps = add_slots(self, self.pure, "steps", variables)

    def apply_gradients(self, *args: Any, **kwargs: Any) -> Any:
        """Updates all variables once, as Keras' own does."""
        with self._of_step:
            return super().apply_gradients(*args, **kwargs)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any = None) -> None:
        """Updates `variable` once; Keras 3 passes the learning rate, Keras 2 does not."""
        index = index_of(self, variable)
        mean, mean_square = self._momentums[index], self._velocities[index]
        if self.per_entry_steps:
            slots = (mean, mean_square, self._steps[index])
            apply_rule(self._rule, gradient, variable, slots, self.iterations)
            return
        if self.epsilon_root or tf.as_dtype(mean.dtype) != tf.float32:
            apply_rule(self._rule, gradient, variable, (mean, mean_square), self.iterations)
            return
        step_size, epsilon = self._of_step.get(self._kernel_constants)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=mean.handle,
            v=mean_square.handle,
            # Powers of 0 leave the correction of the bias to the step size.
            beta1_power=0.0,
            beta2_power=0.0,
            lr=step_size,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=epsilon,
            grad=tf.convert_to_tensor(gradient),
        )

    def _kernel_constants(self) -> tuple[tf.Tensor, tf.Tensor]:
        step = tf.convert_to_tensor(self.iterations) + 1
        # The kernel takes 1 - beta in float32, off by 1.3e-5 for 0.999, and its v with it. So the correction
        # needs the beta of float32 too, and an epsilon next to the uncorrected root has to grow as v does.
        exact = self.pure
        betas = {"beta_1": float(np.float32(self.beta_1)), "beta_2": float(np.float32(self.beta_2))}
        rounded = dataclasses.replace(exact, **betas)
        step_size, _, epsilon = rounded.constants(step, tf.float32)
        if self.bias_correction == "step_size":
            (_, of_v), (_, wanted) = (pure.corrections(step, tf.float32) for pure in (rounded, exact))
            epsilon *= tf.sqrt(of_v / wanted)
        return step_size, epsilon

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that make the same optimizer again."""
        names = ("epsilon_root", "bias_correction", "per_entry_steps")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@gin.register(module="tfplastic.optimizers")
def adam(
    learning_rate: float = 2.5e-4,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 0.01 / 32,
    epsilon_root: float = 0.0,
    bias_correction: str = "step_size",
    max_gradient_norm: float | None = None,
    per_entry_steps: bool = False,
) -> keras.optimizers.Optimizer:
    """Returns Adam as a Keras optimizer: theta <- theta - lr_t m / (sqrt(v + epsilon_root) + epsilon).

    Rule: m and v are running means of g and g^2. lr_t = lr sqrt(1 - beta_2^t) / (1 - beta_1^t) corrects the
        bias of both in step t. With `bias_correction='means'` the means themselves are corrected before an
        epsilon is added: lr m_hat / (sqrt(v_hat + epsilon_root) + epsilon), with m_hat = m / (1 - beta_1^t)
        and v_hat = v / (1 - beta_2^t). The same effect there takes an epsilon of epsilon / sqrt(1 -
        beta_2^t): with the default beta_2, 32 times as large in the first step and 1 % larger after 4,000.
    Defaults: learning rate, epsilon and bias correction of DQN Zoo's `c51`; decays of Kingma and Ba 2015.
    Source: Kingma and Ba 2015, "Adam: a method for stochastic optimization", the second form in section 2,
        which Keras has; its Algorithm 1, Eq. 6 of Lyle et al. 2023 and Optax have `'means'`.
    Departures: `epsilon_root` is of Lyle et al. 2023, "Understanding plasticity in neural networks", whose
        tuned Adam (appendix A.1) has beta_2 0.9 and epsilon_root 1e-3, and whose default Adam has epsilon
        1e-9 and epsilon_root 0, both with learning rate 1e-3 and corrected means.

    Args:
        learning_rate: above 0. 2.5e-4 in DQN Zoo's `c51`.
        beta_1: decay of m, in [0, 1).
        beta_2: decay of v, in [0, 1).
        epsilon: outside the root, above 0. 0.01 / 32 in DQN Zoo's `c51`.
        epsilon_root: inside the root, at least 0.
        bias_correction: `'step_size'` or `'means'`, as above.
        max_gradient_norm: if given, gradients whose global norm exceeds it are scaled down to it. 10 in DQN
            Zoo's `c51`.
        per_entry_steps: whether each entry of a weight has a t of its own, kept in one more slot. The reset
            of a unit zeroes it with m and v, so that the next update corrects the bias of the new means.
            Continual backprop (Dohare et al. 2024) trains in this way, with `AdamGnT` in its code. Without
            resets of units both are the same.

    Returns:
        A Keras optimizer; its `pure` is the same as pure functions.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> import tfplastic as tp
        >>> tuned = tp.optimizers.adam(1e-3, beta_2=0.9, epsilon_root=1e-3, bias_correction='means')
        >>> tuned.pure.epsilon_root
        0.001
    """
    return Adam(
        learning_rate=check_positive("learning_rate", learning_rate),
        beta_1=beta_1,
        beta_2=beta_2,
        epsilon=epsilon,
        epsilon_root=epsilon_root,
        bias_correction=bias_correction,
        global_clipnorm=max_gradient_norm,
        per_entry_steps=per_entry_steps,
    )
