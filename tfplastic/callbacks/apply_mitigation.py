"""Mitigations in Keras' own `fit`."""

import contextlib
import functools
from typing import Any

import tensorflow as tf

from tfplastic._keras import replaced_attribute
from tfplastic.callbacks._either_keras import CallbackOfEither
from tfplastic.callbacks.applied_mitigation import AppliedMitigation
from tfplastic.diagnostics import recorded_call

SUPPLIED = ("activations", "batch", "gradients", "outputs", "step")
"""Names of the parts of a gradient step's context that mitigations can read in Keras' own `fit`."""


class ApplyMitigation(CallbackOfEither):
    """Callback that applies a mitigation in Keras' own `fit`; the model's class stays as it is.

    Rule: the mitigation acts after the updates of steps `period`, 2 `period` and so on, counted over all
        calls of `fit` with this callback, in the program that takes the steps. It reads the activations and
        the gradients of that very step, so that no forward pass is added.
    Departures: none from `training.PlasticModel`: the same batches give the same weights.
    Works with: every mitigation that acts after updates and does nothing else. Penalties, transforms of
        gradients and mitigations that read a second batch or older weights need a `PlasticModel`.

    While `fit` runs, the model's `train_step` is wrapped, a custom one included; `steps_per_execution` and
    `jit_compile` are followed. Several callbacks act in their order. Models under a `tf.distribute` strategy
    of several replicas are refused. After a `fit` that was interrupted call `on_train_end`, which gives the
    model its own `train_step` again.

    Args:
        mitigation: mitigation with a `period`, such as `ReDo(period=1_000)`.
        seed: root seed of its draws. Same seed, same draws.

    Attributes:
        step: gradient steps done.

    Raises:
        TypeError: `mitigation` is not a mitigation.
        ValueError: it does more than act after updates, or has no period; when training begins, the
            model is not built, is a `PlasticModel`, or does not suit the mitigation.

    Example:
        >>> import tensorflow as tf, tfplastic as tp
        >>> model = tp.networks.mlp(1, (8,), input_shape=(3,))
        >>> model.compile('sgd', 'mse')
        >>> reset = tp.callbacks.ApplyMitigation(tp.mitigations.ResetLastLayer(period=2))
        >>> _ = model.fit(tf.ones([8, 3]), tf.ones([8, 1]), batch_size=2, callbacks=[reset], verbose=0)
        >>> reset.step
        4
    """

    def __init__(self, mitigation: Any, seed: int = 0):
        super().__init__()
        self._applied = AppliedMitigation("mitigation", mitigation, SUPPLIED, seed)
        if mitigation.period is None:
            rule = "must have a `period`, because `fit` knows no boundaries of tasks"
            raise ValueError(f"`mitigation` {rule}. Received: {type(mitigation).__name__} with None")
        self._step = tf.Variable(0, trainable=False, dtype=tf.int64)

    @property
    def step(self) -> int:
        """Gradient steps done."""
        return int(self._step.numpy())

    def on_train_begin(self, logs: Any = None) -> None:
        model: Any = self.model
        self._applied.check_replicas(model)
        before = vars(model).get("train_step")
        steps = (
            before if isinstance(before, _Steps) and before.fit is self.params else _Steps(model, self.params)
        )
        self._applied.build(model, model.optimizer, len(steps.acting))
        steps.acting.append((self._step, self._applied))
        vars(model)["train_step"] = steps
        _trace_again(model)

    def on_train_end(self, logs: Any = None) -> None:
        model: Any = self.model
        if isinstance(steps := vars(model).get("train_step"), _Steps):
            steps.restore()
            _trace_again(model)


class _Steps:
    """The `train_step` of a model with the mitigations of one call of `fit` after it."""

    def __init__(self, model: Any, fit: Any):
        before = vars(model).get("train_step")
        self._own = before._own if isinstance(before, _Steps) else before  # of a `fit` that was interrupted
        self._model, self.fit = model, fit
        self.acting: list[tuple[tf.Variable, AppliedMitigation]] = []

    def restore(self) -> None:
        """Gives the model its own `train_step` again."""
        if self._own is None:
            vars(self._model).pop("train_step")
        else:
            vars(self._model)["train_step"] = self._own

    def __call__(self, data: Any) -> Any:
        model: Any = self._model
        original = self._own or functools.partial(type(model).train_step, model)
        gradients: list[tf.Tensor] = []
        with contextlib.ExitStack() as stack:
            call = None if tf.executing_eagerly() else stack.enter_context(recorded_call(model))
            stack.enter_context(_noted_gradients(model, gradients))
            results = original(data)
        parts: dict[str, Any] = {"batch": lambda: data, "gradients": lambda: gradients}
        if call is not None and any({"activations", "outputs"} & set(each.reads) for _, each in self.acting):
            outputs, activations = call.outputs, call.activations(units_last=True)
            parts |= {"outputs": lambda: outputs, "activations": lambda: activations}
        done = [each for each in tf.nest.flatten(results) if tf.is_tensor(each)]
        with tf.control_dependencies(done):
            for count, applied in self.acting:
                _act_if_due(applied, tf.convert_to_tensor(count.assign_add(1)), parts)
        return results


def _act_if_due(applied: AppliedMitigation, step: tf.Tensor, parts: dict[str, Any]) -> None:
    def act() -> tf.Tensor:
        applied.act(step, {**parts, "step": lambda: step})
        return tf.constant(True)

    tf.cond(step % applied.period == 0, act, lambda: tf.constant(True))


def _trace_again(model: Any) -> None:
    """Makes the program of `fit` again, which calls `train_step` when it is traced."""
    model.train_function = None
    made = model.make_train_function(force=True)
    if made is not None:  # by Keras 2, where `fit` assigns it
        model.train_function = made


@contextlib.contextmanager
def _noted_gradients(model: Any, noted: list[tf.Tensor]) -> Any:
    """While open, gradients that the optimizer gets are appended to `noted`, in the order of the weights."""
    optimizer = model.optimizer
    original = optimizer.apply_gradients

    def apply_gradients(grads_and_vars: Any, *args: Any, **kwargs: Any) -> Any:
        pairs = list(grads_and_vars)
        by_variable = {id(variable): gradient for gradient, variable in pairs}
        noted[:] = [
            tf.zeros(each.shape, each.dtype)
            if by_variable.get(id(each)) is None
            else tf.convert_to_tensor(by_variable[id(each)])
            for each in model.trainable_variables
        ]
        return original(pairs, *args, **kwargs)

    with replaced_attribute(optimizer, "apply_gradients", apply_gradients):
        yield
