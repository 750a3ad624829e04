"""A copy of a network with an optimizer of its own, on which probes train."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfplastic._keras import tf_variable
from tfplastic._tf.determinism import deterministic_sums
from tfplastic._tf.programs import own_program
from tfplastic._tf.variables import as_tf_variables
from tfplastic.layers import advance
from tfplastic.optimizers.any_keras import build_optimizer, variables_of
from tfplastic.probing._measuring.counted import counted, in_batch, mask_of
from tfplastic.probing._training.batched_trace import Variable
from tfplastic.probing._training.optimizers import scaled
from tfplastic.probing._training.reinitialized import call
from tfplastic.probing.heads import Head

_PREDICTED_AT_ONCE = 1024  # examples


class TrainingCopy:
    """Gradient steps and predictions of a network, with any values for its weights.

    Args:
        model: the copy; built.
        optimizer: the copy; built for it here.
        head: meaning of its outputs.

    Attributes:
        model: the copy.
        inputs: a nest of tensors `[n, ...]` that it is probed on; to be set.
        traced_step: from `trace` on, one gradient step: (inputs, targets) of a batch -> its error before the
            update, `[]`.
        num_weights: number of trained scalars.
        num_slots: number of variables of the optimizer.
    """

    def __init__(self, model: Any, optimizer: Any, head: Head):
        self.model = model
        self.inputs: Any = None
        self.traced_step: Any = None
        self.num_weights = sum(int(np.prod(each.shape)) for each in model.trainable_variables)
        self._optimizer = optimizer
        self._head = head
        self._variables: list[Variable] = []
        self._initial: list[tf.Tensor] = []
        self._others: list[int] = []  # places of variables that are neither of the model nor the optimizer
        self._outputs = own_program(self._predict, reduce_retracing=True)
        build_optimizer(optimizer, model.trainable_variables)
        self.num_slots = len(variables_of(optimizer))

    def trace(self, targets: np.ndarray, batch_size: int) -> None:
        """Traces the gradient step.

        Args:
            targets: one of them, `[n, ...]`, for its shape and dtype.
            batch_size: examples per gradient step.
        """
        inputs = tf.nest.map_structure(
            lambda each: tf.TensorSpec([batch_size, *each.shape[1:]], each.dtype), self.inputs
        )
        target = tf.TensorSpec([batch_size, *targets.shape[1:]], targets.dtype)
        with tf.summary.record_if(False):
            self.traced_step = tf.function(self._step, autograph=False).get_concrete_function(inputs, target)
        # Also those that Keras hides, such as the random states of dropout.
        captured = [handle for handle, _ in self.traced_step.graph.captures]
        handles = [each for each in captured if each.dtype == tf.resource and _is_of_variable(each)]
        self._variables = [Variable(handle) for handle in handles]
        self._initial = [variable.value() for variable in self._variables]
        own = [*self.model.variables, *variables_of(self._optimizer)]
        ids = {id(tf_variable(each).handle) for each in own}
        self._others = [place for place, handle in enumerate(handles) if id(handle) not in ids]

    @contextlib.contextmanager
    def leaving_others(self) -> Iterator[None]:
        """While open, the copy may train; then what a call of it uses elsewhere is as it was before.

        That is the state of a global random generator, for example, which the network in training uses too.
        """
        before = {place: self._variables[place].value() for place in self._others}
        try:
            yield
        finally:
            for place in self._others:  # known since the step was traced, before which none was taken
                self._variables[place].assign(before.get(place, self._initial[place]))

    def load(self, weights: Sequence[np.ndarray], slots: Sequence[np.ndarray] | None = None) -> None:
        """Takes the weights of a network, with the optimizer and random states as they are at first.

        Args:
            weights: weights in the order of `reinitialized.weights_of`.
            slots: all variables of an optimizer that has trained that network, instead.
        """
        for variable, value in zip(self._variables, self._initial, strict=True):
            variable.assign(value)
        for variable, value in zip(self.model.weights, weights, strict=True):
            variable.assign(value)
        if slots is not None:
            for variable, value in zip(variables_of(self._optimizer), slots, strict=True):
                variable.assign(value)

    def predictions(self) -> np.ndarray:
        """Returns `[n, ...]`, those of the head for all inputs, at inference."""
        return self._of_all("predictions")

    def mask(self) -> np.ndarray | None:
        """Returns the mask of predictions that count, `[n, ...] bool` over their first axes, or None."""
        return self._of_all("mask")

    def _of_all(self, part: str) -> Any:
        length = tf.nest.flatten(self.inputs)[0].shape[0]
        parts = []
        for first in range(0, length, _PREDICTED_AT_ONCE):
            block = tf.nest.map_structure(
                lambda each, first=first: each[first : first + _PREDICTED_AT_ONCE], self.inputs
            )
            with deterministic_sums():
                found = self._outputs(block)
            if part not in found:
                return None
            parts.append(found[part].numpy())
        return np.concatenate(parts)

    def error(self, predictions: np.ndarray, targets: np.ndarray, mask: np.ndarray | None) -> float:
        """Returns the mean error of those predictions `[n, ...]` that count."""
        given = (tf.constant(counted(each, mask)) for each in (predictions, targets))
        return float(np.mean(self._head.errors(*given), dtype=np.float64))

    def _predict(self, inputs: Any) -> dict[str, tf.Tensor]:
        outputs = call(self.model, inputs, training=False)
        mask = mask_of(outputs)
        found = {"predictions": self._head.predictions(self._head.chosen(outputs))}
        return found if mask is None else {**found, "mask": mask}

    def _step(self, inputs: Any, targets: tf.Tensor) -> tf.Tensor:
        advance(self.model)
        variables = self.model.trainable_variables
        watched = as_tf_variables(variables)  # Keras 3 has variables of its own around them
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(watched)
            outputs = call(self.model, inputs, training=True)
            mask, weigh = in_batch(mask_of(outputs))
            outputs = counted(self._head.chosen(outputs), mask)  # [batch, outputs, ...]
            targets = counted(targets, mask)
            penalties = [tf.cast(each, tf.float32) for each in self.model.losses]
            own = weigh(tf.cast(self._head.loss(outputs, targets), tf.float32))
            loss = tf.add_n([own, *penalties])
            loss = scaled(self._optimizer, loss)
        gradients = tape.gradient(loss, watched, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        self._optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return weigh(tf.reduce_mean(self._head.errors(self._head.predictions(outputs), targets)))


def _is_of_variable(handle: Any) -> bool:
    return bool(handle._handle_data.shape_and_type)
