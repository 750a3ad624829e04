"""When mitigations and the Brownian twin act: between gradient steps, at exactly their step."""

import functools
from collections.abc import Callable, Sequence

import tensorflow as tf

from tfplastic import seeds
from tfplastic._keras import keras
from tfplastic._tf.random import folded
from tfplastic.mitigations import Mitigation
from tfplastic.optimizers import slots
from tfplastic.training.brownian_twin import BrownianTwin

_FREQUENT = 10  # gradient steps; what comes more often belongs into the program that takes the steps


class AfterUpdates:
    """The mitigations that act after updates, each at the multiples of its own period.

    Args:
        mitigations: all of a run, built; only those that act after updates play a part here.
        model: whose weights they change.
        optimizer: whose slots they change.
        seed: root seed of the run.
        boundary_period: of the task: the period of those that have none of their own.
        in_program: whether those that come more often than every 10 steps are called by the program that
            takes the gradient steps, with `in_program`. All others are called by the loop, with `act`.
        twin: makes its step after every gradient step and after the mitigations, the last of whom has
            the number before its own.

    Raises:
        ValueError: if a mitigation has no period and the task no boundaries.
    """

    def __init__(
        self,
        mitigations: Sequence[Mitigation],
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        seed: int,
        boundary_period: int | None,
        in_program: bool,
        twin: BrownianTwin | None = None,
    ):
        self._model = model
        self._slots = functools.partial(slots, optimizer)
        self._seed, self._in_program = seed, in_program
        self._frequent, self._rare = [], []  # (period, what to call with the step)
        for number, mitigation in enumerate(mitigations):
            if not mitigation.acts_after_update:
                continue
            period = mitigation.period or boundary_period
            if period is None:
                rule = "must have a `period`, because the task has no boundaries"
                raise ValueError(f"`{type(mitigation).__name__}` {rule}. Received: None")
            self._add(number, period, functools.partial(self._call_mitigation, mitigation))
        if twin is not None:
            self._add(len(mitigations), 1, lambda step, key: twin.after_update(key))

    @property
    def periods(self) -> list[int]:
        """Periods of what `act` does."""
        return [period for period, _ in self._rare]

    @property
    def acts_in_program(self) -> bool:
        """Whether there is something for `in_program` to do."""
        return bool(self._frequent)

    def in_program(self, step: tf.Tensor) -> None:
        """What is due after gradient step `step`, `[] int64`, and is not done by `act`; traceable."""
        _call_if_due(self._frequent, step)

    def act(self, step: int) -> None:
        """Does what is due after gradient step `step`, in the order of the mitigations."""
        for period, program in self._rare:
            if step % period == 0:
                program(tf.constant(step, tf.int64))

    def act_in_program(self, step: tf.Tensor) -> None:
        """As `act`, of a step that is a tensor `[] int64`; traceable."""
        _call_if_due(self._rare, step)

    def _add(self, number: int, period: int, act: Callable[[tf.Tensor, tf.Tensor], None]) -> None:
        """Adds what is called with the step and its key, and has a number of its own for its draws."""
        key = tf.constant(seeds.derive(self._seed, "mitigation", number))

        def call(step: tf.Tensor) -> tf.Tensor:
            act(step, folded(key, step))
            return tf.constant(True)

        if self._in_program and period < _FREQUENT:
            self._frequent.append((period, call))
        else:
            self._rare.append((period, tf.function(call, autograph=False)))

    def _call_mitigation(self, mitigation: Mitigation, step: tf.Tensor, key: tf.Tensor) -> None:
        mitigation.after_update(step, self._model, self._slots, key)


def _call_if_due(calls: Sequence[tuple[int, Callable[[tf.Tensor], tf.Tensor]]], step: tf.Tensor) -> None:
    for period, call in calls:
        if period == 1:
            call(step)
        else:
            tf.cond(step % period == 0, functools.partial(call, step), lambda: tf.constant(True))
