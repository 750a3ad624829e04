"""When mitigations and the Brownian twin act: between gradient steps, at exactly their step."""

import functools
from collections.abc import Callable, Collection, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import tensorflow as tf

from tfplastic import seeds
from tfplastic._keras import keras
from tfplastic._tf.programs import own_program
from tfplastic._tf.random import fold_in
from tfplastic.mitigations import Mitigation
from tfplastic.mitigations.step_context import HANDED_ON
from tfplastic.optimizers import slots
from tfplastic.training.brownian_twin import BrownianTwin
from tfplastic.training.step import GradientStep

_FREQUENT = 10  # gradient steps; what comes more often belongs into the program that takes the steps


MITIGATIONS = "mitigations"
"""The name of the event that calls `AfterUpdates.act`, the one of the loop's own that changes weights."""


class Moment(NamedTuple):
    """The end of a gradient step, as the mitigations that act there see it.

    Attributes:
        parts: parts of the step's context that it hands on, by name.
        state: state of the task, if it is a `GraphTask`.
    """

    parts: Any = MappingProxyType({})
    state: Any = None


class _Action(NamedTuple):
    """Function called every `period` steps, or at boundaries, and the parts of the context that it reads."""

    period: int | None
    call: Callable[[tf.Tensor, Moment], tf.Tensor]
    reads: Collection[str]


class AfterUpdates:
    """The mitigations that act after updates, each at the multiples of its own period or at boundaries.

    Args:
        mitigations: all mitigations of a run, built; only those that act after updates are used here.
        model: model whose weights they change.
        optimizer: optimizer whose slots they change.
        seed: root seed of the run.
        boundary_period: period of the task's boundaries, for mitigations that have none of their own.
        in_program: whether those that come more often than every 10 steps are called by the program that
            takes the gradient steps, with `in_program`. All others are called by the loop, with `act`.
        twin: Brownian twin, which takes its step after every gradient step and after the mitigations; its
            number follows theirs.
        gradient_step: function that makes the contexts of mitigations; needed if there is one that acts after
            updates.
        has_uneven_boundaries: whether the task has boundaries without having a period of them. `act` is then
            due at them, and the program of gradient steps has to end at each.

    Attributes:
        moment: function that returns the end of the last gradient step; set by the driver.
        times: {place among the mitigations: when its `after_update` is called, in words}. At one step, those
            in the program precede all others.
        at_boundary: whether a boundary of the task follows a gradient step, the last one; set likewise.

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
        gradient_step: GradientStep | None = None,
        has_uneven_boundaries: bool = False,
    ):
        self.moment: Callable[[], Moment] = Moment
        self.at_boundary: Callable[[int], bool] = lambda step: False
        self._model = model
        self._slots = functools.partial(slots, optimizer)
        self._seed, self._in_program = seed, in_program
        self._gradient_step = gradient_step
        self._frequent: list[_Action] = []
        self._rare: list[_Action] = []
        self.times: dict[int, str] = {}
        for number, mitigation in enumerate(mitigations):
            if not mitigation.acts_after_update:
                continue
            period = mitigation.period or boundary_period
            if period is None and not has_uneven_boundaries:
                name = type(mitigation).__name__
                rule = "must have a `period`, because the task has no boundaries"
                raise ValueError(f"`{name}` {rule}; in gin: {name}.period = 1_000. Received: None")
            call = functools.partial(self._call_mitigation, mitigation)
            self._add(number, period, call, mitigation.reads)
            self.times[number] = self._time(period)
        if twin is not None:
            self._add(len(mitigations), 1, lambda step, key, moment: twin.after_update(key), ())

    @property
    def periods(self) -> list[int]:
        """Periods of the actions of `act` that have one."""
        return [action.period for action in self._rare if action.period is not None]

    @property
    def awaits_boundaries(self) -> bool:
        """Whether `act` has something to do at the task's boundaries, wherever they are."""
        return any(action.period is None for action in self._rare)

    def is_due(self, step: int) -> bool:
        """Returns whether `act` has something to do after gradient step `step`, the last one."""
        return any(self._acts(action, step) for action in self._rare)

    @property
    def acts_in_program(self) -> bool:
        """Whether there is something for `in_program` to do."""
        return bool(self._frequent)

    @property
    def handed_on(self) -> list[str]:
        """Names of the parts of a step's context that `act` needs of its last gradient step."""
        return [name for name in HANDED_ON if any(name in action.reads for action in self._rare)]

    def in_program(self, step: tf.Tensor, moment: Moment) -> None:
        """Acts on everything due after gradient step `step`, `[] int64`, except `act`'s part; traceable."""
        _call_if_due(self._frequent, step, moment)

    def act(self, step: int) -> None:
        """Acts on everything due after gradient step `step`, the last one, in the mitigations' order."""
        for action in self._rare:
            if self._acts(action, step):
                moment = self.moment() if action.reads else Moment()
                parts = {name: part for name, part in moment.parts.items() if name in action.reads}
                action.call(tf.constant(step, tf.int64), Moment(parts, moment.state))

    def act_in_program(self, step: tf.Tensor, moment: Moment) -> None:
        """Acts like `act`, on a step that is a tensor `[] int64`; traceable."""
        _call_if_due(self._rare, step, moment)

    def _acts(self, action: _Action, step: int) -> bool:
        return self.at_boundary(step) if action.period is None else step % action.period == 0

    def _add(
        self,
        number: int,
        period: int | None,
        act: Callable[[tf.Tensor, tf.Tensor, Moment], None],
        reads: Collection[str],
    ) -> None:
        """Adds a function of the step and its key, with a number of its own for its draws."""
        key = tf.constant(seeds.derive(self._seed, "mitigation", number))

        def call(step: tf.Tensor, moment: Moment) -> tf.Tensor:
            act(step, fold_in(key, step), moment)
            return tf.constant(True)

        if self._is_in_program(period):
            self._frequent.append(_Action(period, call, reads))
        else:
            self._rare.append(_Action(period, own_program(call), reads))

    def _is_in_program(self, period: int | None) -> bool:
        return self._in_program and period is not None and period < _FREQUENT

    def _time(self, period: int | None) -> str:
        if period is None:
            return "at each boundary of the task"
        steps = "every step" if period == 1 else f"every {period:,} steps"
        return f"after {steps}, in the program" if self._is_in_program(period) else f"after {steps}"

    def _call_mitigation(
        self, mitigation: Mitigation, step: tf.Tensor, key: tf.Tensor, moment: Moment
    ) -> None:
        if self._gradient_step is None:
            raise ValueError("`gradient_step` must be given, as mitigations act. Received: None")
        context = self._gradient_step.context_after(mitigation, step, moment.parts, moment.state)
        mitigation.after_update(step, self._model, self._slots, key, context)


def _call_if_due(actions: Sequence[_Action], step: tf.Tensor, moment: Moment) -> None:
    for period, call, _ in actions:
        if period == 1:
            call(step, moment)
        elif period is not None:  # boundaries are for the loop alone
            due = functools.partial(call, step, moment)
            tf.cond(step % period == 0, due, lambda: tf.constant(True))
