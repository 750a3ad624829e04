"""Gradient steps of several seeds at once, as one compiled program."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from tfplastic._tf.determinism import sums_in_order
from tfplastic.training.execution.graph_steps import GraphSteps
from tfplastic.training.lockstep import Lockstep, Value, as_stacked, stacked_if_different


class ParallelChunk(NamedTuple):
    """What some gradient steps of all seeds led to.

    Attributes:
        step: gradient steps done.
        sums: for each seed, of what each step reported, by name.
        are_finite: for each seed, whether the loss of the last step was.
    """

    step: int
    sums: list[dict[str, float]]
    are_finite: list[bool]


class ParallelSteps:
    """Takes the gradient steps of one configuration with several seeds, all of them at once.

    Between calls, weights and states are where each `GraphSteps` has them, so that each seed is evaluated,
    saved and changed as if it were trained alone. How a run is cut into calls leaves no trace in its results.

    Args:
        steps: of each seed, each with its state.
        compiler: `'graph'` or `'xla'`.

    Raises:
        ValueError: if the steps cannot be taken side by side.
    """

    def __init__(self, steps: Sequence[GraphSteps], compiler: str):
        self._steps = steps
        self._is_xla = compiler == "xla"
        with tf.summary.record_if(False), sums_in_order():
            traces = [each.traced_step() for each in steps]
        self._names = sorted(traces[0].structured_outputs[1])  # of what a step reports
        self._lockstep = Lockstep(traces)
        # What is carried from step to step: the state, then the variables; and which of it differs between
        # seeds.
        self._state_count = len(tf.nest.flatten(steps[0].state))
        self._are_stacked = [False] * (self._state_count + len(self._lockstep.variables))
        self._program: Any = None
        self._make_program(self._are_stacked)

    def take(self, step: int, last: int, sums: Sequence[dict[str, float]]) -> ParallelChunk:
        """Takes the gradient steps that follow `step` up to `last`, or up to a loss that is not finite.

        The weights have been updated by a step whose loss is not finite, as under XLA.

        Args:
            step: gradient steps done.
            last: the number of the last one.
            sums: for each seed, of what each step reports, by name.
        """
        carried = self._gather()
        totals = {
            name: tf.constant([each.get(name, 0.0) for each in sums], tf.float64) for name in self._names
        }
        with tf.summary.record_if(False), sums_in_order():
            reached, carried, totals, are_finite = self._program(
                tf.constant(step, tf.int64), tf.constant(last, tf.int64), carried, totals
            )
        self._scatter(carried)
        by_name = {name: total.numpy() for name, total in totals.items()}
        new_sums = [
            {name: float(total[number]) for name, total in by_name.items()} for number in range(len(sums))
        ]
        return ParallelChunk(int(reached), new_sums, are_finite.numpy().tolist())

    def _gather(self) -> list[tf.Tensor]:
        """Values of all seeds, for a program that knows which of them differ."""
        leaves = zip(*(tf.nest.flatten(each.state) for each in self._steps), strict=True)
        tensors = [*leaves, *([each.value() for each in seeds] for seeds in self._lockstep.variables)]
        values = [
            Value(True, tf.stack(each)) if is_stacked else stacked_if_different(each)
            for each, is_stacked in zip(tensors, self._are_stacked, strict=True)
        ]
        are_different = [value.is_stacked for value in values]
        if are_different != self._are_stacked:
            self._make_program(are_different)
        return [
            as_stacked(value, len(self._steps)) if is_stacked else value.tensor
            for value, is_stacked in zip(values, self._are_stacked, strict=True)
        ]

    def _make_program(self, are_different: list[bool]) -> None:
        count, step_is_different = self._state_count, False
        while True:  # what differs makes more differ
            outputs, variables = self._lockstep.stacked_after(
                [step_is_different, *are_different[:count]], are_different[count:]
            )
            after = [*outputs[:count], *variables]
            after = [old or new for old, new in zip(are_different, after, strict=True)]
            if after == are_different:
                break
            are_different = after
        self._are_stacked = are_different
        self._program = tf.function(self._take_steps, autograph=False, jit_compile=self._is_xla or None)

    def _take_steps(self, step: tf.Tensor, last: tf.Tensor, carried: Any, totals: Any) -> Any:
        def go_on(step: tf.Tensor, carried: Any, totals: Any, are_finite: tf.Tensor) -> tf.Tensor:
            return (step < last) & tf.reduce_all(are_finite)

        def body(step: tf.Tensor, carried: Any, totals: Any, are_finite: tf.Tensor) -> Any:
            carried, reports = self._take_step(step + 1, carried)
            totals = {name: total + tf.cast(reports[name], tf.float64) for name, total in totals.items()}
            return step + 1, carried, totals, tf.math.is_finite(reports["loss"])

        finite = tf.fill([len(self._steps)], True)
        return tf.while_loop(go_on, body, (step, carried, totals, finite))

    def _take_step(
        self, step: tf.Tensor, carried: list[tf.Tensor]
    ) -> tuple[list[tf.Tensor], dict[str, tf.Tensor]]:
        """Gradient step number `step`, and what it reports, each `[seeds]`."""
        count, seeds = self._state_count, len(self._steps)
        values = [Value(*each) for each in zip(self._are_stacked, carried, strict=True)]
        outputs, variables = self._lockstep([Value(False, step), *values[:count]], values[count:])
        after = zip([*outputs[:count], *variables], self._are_stacked, strict=True)
        carried = [as_stacked(value, seeds) if is_stacked else value.tensor for value, is_stacked in after]
        reported = zip(self._names, outputs[count:], strict=True)
        return carried, {name: as_stacked(value, seeds) for name, value in reported}

    def _scatter(self, carried: list[tf.Tensor]) -> None:
        for number, each in enumerate(self._steps):
            values = [
                value[number] if is_stacked else value
                for value, is_stacked in zip(carried, self._are_stacked, strict=True)
            ]
            each.state = tf.nest.pack_sequence_as(each.state, values[: self._state_count])
            own = (seeds[number] for seeds in self._lockstep.variables)
            for variable, value in zip(own, values[self._state_count :], strict=True):
                variable.assign(value)
