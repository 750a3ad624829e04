"""The flow of data through the graph of one call of a model."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf


class Flow:
    """The operations of a call of a model that depend on its inputs, and those that have weights.

    Args:
        graph: graph in which the call was made.
        inputs: the tensors that the model was given.
        end: the number of the operation after the call's last.

    Attributes:
        graph: the given graph.
        operations: operations of the graph up to `end`.
        data: numbers of the operations that depend on the inputs.
        weighted: numbers of those among them that take a value of a variable as well.
    """

    def __init__(self, graph: Any, inputs: Sequence[Any], end: int):
        self.graph = graph
        self.operations = graph.get_operations()[:end]
        self._number_of = {operation.name: number for number, operation in enumerate(self.operations)}
        # A gradient gives more inputs to loops that were made before it, in which it keeps what it needs.
        self._before = [
            [self._number_of[each.op.name] for each in op.inputs if each.op.name in self._number_of]
            for op in self.operations
        ]
        self._after: list[list[int]] = [[] for _ in self.operations]
        for number, before in enumerate(self._before):
            for each in before:
                self._after[each].append(number)
        variables = {each.op.name for each in graph.internal_captures if each.dtype == tf.resource}
        # Keras 3 gives its layers a tensor of eager execution as it is; the graph has captured it.
        of_graph = [each if hasattr(each, "graph") else graph.capture(each) for each in inputs]
        given = {each.op.name for each in of_graph if each.graph is graph}
        self.data: set[int] = set()
        self.weighted: set[int] = set()
        of_variables: set[int] = set()
        for number, operation in enumerate(self.operations):  # in the order in which they were made
            before = self._before[number]
            if operation.name in given or self.data.intersection(before):
                self.data.add(number)
                if of_variables.intersection(before):
                    self.weighted.add(number)
            elif operation.name in variables or of_variables.intersection(before):
                of_variables.add(number)
        self._before_weights: set[int] = set()
        for number in reversed(range(len(self.operations))):
            if any(each in self.weighted or each in self._before_weights for each in self._after[number]):
                self._before_weights.add(number)

    def number_of(self, operation: Any) -> int:
        """Returns the number of an operation, -1 if it is not of the call."""
        return self._number_of.get(operation.name, -1)

    def before(self, number: int) -> list[int]:
        """Returns the numbers of the operations whose data an operation takes."""
        return [each for each in self._before[number] if each in self.data]

    def after(self, number: int) -> list[int]:
        """Returns the numbers of the operations that read an operation's output."""
        return self._after[number]

    def is_hidden(self, number: int, counts_itself: bool = False) -> bool:
        """Returns whether an operation depends on the inputs, and an operation with weights on it."""
        is_before = number in self._before_weights or (counts_itself and number in self.weighted)
        return number in self.data and is_before

    def weighted_before(self, number: int) -> int | None:
        """Returns the last operation with weights that `number` depends on with no other of them between."""
        found, seen, left = [], set(), list(self._before[number])
        while left:
            each = left.pop()
            if each in seen:
                continue
            seen.add(each)
            if each in self.weighted:
                found.append(each)
            else:
                left += self._before[each]
        return max(found, default=None)
