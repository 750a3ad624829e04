"""Alarms while `fit` trains a model."""

import os
from typing import Any

import tensorflow as tf
from absl import logging

from tfplastic._checks import check_boolean, shown
from tfplastic._keras import tf_variable
from tfplastic._losses.model_loss import call_of
from tfplastic._tf.programs import own_program
from tfplastic.callbacks.applied_mitigation import AppliedMitigation
from tfplastic.callbacks.plasticity_diagnostics import PlasticityDiagnostics
from tfplastic.callbacks.threshold import Threshold
from tfplastic.diagnostics import Snapshot, recorded_call
from tfplastic.mitigations import Mitigation
from tfplastic.optimizers.any_keras import build_optimizer

_ACTIONS = ("warn", "stop")
_SUPPLIED = ("activations", "batch", "gradients", "outputs", "step")
_NUMBER = 1_000  # among the mitigations of a model; those of `ApplyMitigation` begin at 0


class PlasticityAlarm(PlasticityDiagnostics):
    """Callback that warns, stops training or applies a mitigation when a quantity crosses a threshold.

    The quantity is measured on a probe batch every `every` gradient steps, step 0 included, as by
    `PlasticityDiagnostics`. A layer that crosses the threshold raises one alarm, and another one only after
    it has returned, unless `repeat` is set. Every alarm is logged as a warning.

    A mitigation acts at once, after the step's update, whatever its own period is. It reads the activations
    of the probe batch, at inference, and the gradients of the loss there, which take `y_probe`.

    Args:
        x_probe: batch to measure on, as for `PlasticityDiagnostics`.
        y_probe: targets, for quantities and mitigations that need the loss.
        every: gradient steps between measurements.
        rule: threshold that raises the alarm.
        action: `'warn'`; `'stop'`, which ends training; or a mitigation that acts after updates, such as
            `ReDo()`. Penalties and transforms need a `PlasticModel`.
        repeat: whether a layer raises an alarm at each measurement beyond the threshold.
        seed: root seed of the mitigation's draws.
        log_dir: directory of the written quantity, as for `PlasticityDiagnostics`; None: none.
        **kwargs: further arguments of `PlasticityDiagnostics`, such as `loss`, `layers` and `model`.

    Attributes:
        alarms: list of rows `{'step', 'quantity', 'layer', 'value'}`.

    Raises:
        TypeError: `rule` is not a `Threshold`, or `action` is none of the three.
        ValueError: the mitigation does more than act after updates; when training begins, as for
            `PlasticityDiagnostics`, or the mitigation cannot act on the model.

    Example:
        >>> import tensorflow as tf, tfplastic as tp
        >>> model = tp.networks.mlp(1, (8,), input_shape=(3,))
        >>> model.compile('sgd', 'mse')
        >>> rule = tp.callbacks.Threshold(tp.diagnostics.dead_units, above=0.9)
        >>> alarm = tp.callbacks.PlasticityAlarm(tf.ones([4, 3]), every=2, rule=rule, action='stop')
        >>> _ = model.fit(tf.ones([8, 3]), tf.ones([8, 1]), batch_size=2, callbacks=[alarm], verbose=0)
        >>> alarm.step, alarm.alarms
        (4, [])
    """

    def __init__(
        self,
        x_probe: Any,
        y_probe: Any = None,
        every: int = 1_000,
        *,
        rule: Threshold,
        action: str | Mitigation = "warn",
        repeat: bool = False,
        seed: int = 0,
        log_dir: str | os.PathLike[str] | None = None,
        **kwargs: Any,
    ):
        if not isinstance(rule, Threshold):
            example = "Threshold(diagnostics.dead_units, above=0.2)"
            raise TypeError(f"`rule` must be a threshold, such as {example}. Received: {shown(rule)}")
        self._applied: AppliedMitigation | None = None
        if action not in _ACTIONS:
            if not isinstance(action, Mitigation):
                rule_of = "must be 'warn', 'stop' or a mitigation"
                raise TypeError(f"`action` {rule_of}. Received: {shown(action)}")
            self._applied = AppliedMitigation("action", action, _SUPPLIED, seed)
            if "gradients" in action.reads and y_probe is None:
                needs = f"must be given, as {type(action).__name__} reads gradients"
                raise ValueError(f"`y_probe` {needs}. Received: None")
        super().__init__(x_probe, y_probe, every, log_dir, quantities={_name(rule): rule.quantity}, **kwargs)
        self._rule, self._action = rule, action
        self._repeat = check_boolean("repeat", repeat)
        self._program: Any = None
        self._seen = 0
        self._beyond: set[str] = set()
        self.alarms: list[dict[str, Any]] = []

    def on_train_begin(self, logs: Any = None) -> None:
        super().on_train_begin(logs)
        snapshot = self._snapshot
        if self._applied is not None and snapshot is not None:
            trained: Any = self.model
            self._applied.check_replicas(trained)
            build_optimizer(trained.optimizer, trained.trainable_variables)
            self._applied.build(snapshot.model, trained.optimizer, _NUMBER)
            self._program = own_program(self._acted)
        self._check()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        super().on_train_batch_end(batch, logs)
        self._check()

    def _check(self) -> None:
        """Raises the alarms of a new measurement."""
        rows = self.history[self._seen :]
        self._seen = len(self.history)
        if not rows:
            return
        crossed = self._rule.crossed({row["layer"]: row["value"] for row in rows})
        new = [row for row in rows if row["layer"] in crossed and self._is_news(row["layer"])]
        self._beyond = set(crossed)
        self.alarms += new
        for row in new:
            text = "PlasticityAlarm: step %d, %s of %s is %.4g, %s."
            logging.warning(text, row["step"], row["quantity"], row["layer"], row["value"], self._rule.text)
        if new:
            self._act()

    def _is_news(self, layer: str) -> bool:
        return self._repeat or layer not in self._beyond

    def _act(self) -> None:
        if self._action == "stop":
            trained: Any = self.model
            trained.stop_training = True
        snapshot = self._snapshot
        if self._applied is not None and snapshot is not None:
            gradients = _gradients(snapshot) if "gradients" in self._applied.reads else []
            self._program(tf.constant(self.step, tf.int64), gradients)
            snapshot.refresh()

    def _acted(self, step: tf.Tensor, gradients: list[tf.Tensor]) -> None:
        """Applies the mitigation by a forward pass of the probe batch; traceable."""
        snapshot, applied = self._snapshot, self._applied
        if snapshot is None or applied is None:
            return
        parts: dict[str, Any] = {
            "step": lambda: step,
            "batch": lambda: snapshot.examples,
            "gradients": lambda: gradients,
        }
        if {"activations", "outputs"} & set(applied.reads):
            with recorded_call(snapshot.model) as call:
                call_of(snapshot.model)(snapshot.inputs)
            parts |= {
                "outputs": lambda: call.outputs,
                "activations": lambda: call.activations(units_last=True),
            }
        applied.act(step, parts)


def _name(rule: Threshold) -> str:
    function: Any = rule.quantity
    while hasattr(function, "func"):
        function = function.func
    return function.__name__


def _gradients(snapshot: Snapshot) -> list[tf.Tensor]:
    """Returns the gradients of the loss in the order of the model's trainable variables."""
    found = {
        id(variable): gradient
        for layer, variables in snapshot.weights.items()
        for variable, gradient in zip(variables, snapshot.gradients[layer], strict=True)
    }
    variables = [tf_variable(each) for each in snapshot.model.trainable_variables]
    return [tf.convert_to_tensor(found.get(id(each), tf.zeros(each.shape, each.dtype))) for each in variables]
