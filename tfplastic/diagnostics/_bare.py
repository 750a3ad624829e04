"""Nonlinearities that are called as bare functions, such as `tf.nn.relu`, found in the graph of a call.

No layer tells of them. Each goes by the name of the weighted layer that it works on.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from tfplastic.diagnostics import _layers
from tfplastic.diagnostics._recording import Call

# Operations that functions of one tensor are made of. Softmax is left out: inside a model it is attention's.
_NONLINEARITIES = {
    "Elu", "Erf", "Erfc", "LeakyRelu", "Relu", "Relu6", "Selu", "Sigmoid", "Softplus", "Softsign", "Tanh",
}  # fmt: skip
_IN_A_FUNCTION = "it is called inside a loop, a branch or a function of the model's own, which nothing leaves"
_NOT_CALLED = "the model does not call it, or in a `tf.function` that was traced before"
_HAS_FUNCTION = (
    "a nonlinearity after it is called inside a loop, a branch or a function, which nothing leaves"
)


def unmeasured(
    calls: Sequence[Call], nonlinear: Mapping[str, Any], taken: Iterable[str], model_name: str
) -> dict[str, str]:
    """Where a hidden nonlinearity is that cannot be measured, and why. For the graph being traced.

    Args:
        calls: of all of the model's nonlinearities, and of its layers with weights.
        nonlinear: the model's layers with a nonlinearity.
        taken: names of what is measured.
        model_name: for what no layer with weights comes before.

    Returns:
        {layer name: reason, one line}. Of a layer called again 'name:1'.
    """
    graph: Any = tf.compat.v1.get_default_graph()
    cells = {cell for call in calls if call.is_recurrent for cell in _inner_names(nonlinear, call.name)}
    elsewhere = {call.name for call in calls if call.activation and call.graph is not graph}
    found = dict.fromkeys(sorted(elsewhere - cells - set(taken)), _IN_A_FUNCTION)
    here = [call for call in calls if call.graph is graph]
    functions, operations = _bare_calls(graph, here)
    if found:  # which is what there is in the functions
        functions = []
    if not functions and not operations:
        return found
    if functions:
        uncalled = [name for name in nonlinear if name not in {*cells, *(call.name for call in calls)}]
        found |= dict.fromkeys(uncalled, _NOT_CALLED)
    flow = _Flow(graph)
    reasons = {each: _HAS_FUNCTION for each in functions if flow.is_hidden(each, True)}
    for number, kind in operations.items():
        if flow.is_hidden(number):
            reasons[number] = f"`{kind}` is called on its output as a bare function, which no layer tells of"
    names = {number: _layer_at(flow.weighted_before(number), here, model_name) for number in reasons}
    for number, reason in reasons.items():
        name = names[number]
        found.setdefault(_layers.free_name(name, ":", dict.fromkeys(taken)), reason)
    return found


def _inner_names(nonlinear: Mapping[str, Any], outer: str) -> list[str]:
    inside = [id(layer) for layer in nonlinear[outer]._flatten_layers(include_self=False)]
    return [name for name, layer in nonlinear.items() if id(layer) in inside]


def _bare_calls(graph: Any, calls: Sequence[Call]) -> tuple[list[int], dict[int, str]]:
    """The calls of functions with a nonlinearity in them, and the nonlinearities {operation: its type}."""
    recorded = _covered(call.span for call in calls if call.activation)
    inside_layers = _covered(call.span for call in calls)
    in_functions = _nonlinear_functions(graph)
    functions, operations = [], {}
    for number, operation in enumerate(graph.get_operations()):
        if number in recorded:
            continue
        if operation.type in _NONLINEARITIES:
            operations[number] = operation.type
        elif number not in inside_layers and _is_maximum_with_zero(operation):
            operations[number] = "Maximum"
        elif in_functions and _called_functions(operation.node_def) & in_functions:
            functions.append(number)
    return functions, operations


def _covered(spans: Iterable[tuple[int, int]]) -> set[int]:
    return {number for first, last in spans for number in range(first, last)}


def _is_maximum_with_zero(operation: Any) -> bool:
    if operation.type != "Maximum":
        return False
    constants = [tf.get_static_value(each) for each in operation.inputs]
    return any(each is not None and each.size == 1 and float(each.item()) == 0 for each in constants)


def _layer_at(number: int | None, calls: Sequence[Call], model_name: str) -> str:
    """The name of the innermost layer with weights that made operation `number`."""
    names: dict[str, Call] = {}
    for call in calls:
        if not call.activation:
            names[_layers.free_name(call.name, ":", names)] = call
    around = {
        name: call.span[1] - call.span[0]
        for name, call in names.items()
        if number is not None and call.span[0] <= number < call.span[1]
    }
    return min(around, key=around.__getitem__) if around else model_name


class _Flow:
    """How data flow through a graph, by the numbers of its operations."""

    def __init__(self, graph: Any):
        operations = graph.get_operations()
        number_of = {operation.name: number for number, operation in enumerate(operations)}
        self._before = [[number_of[each.op.name] for each in operation.inputs] for operation in operations]
        variables = {each.op.name for each in graph.internal_captures if each.dtype == tf.resource}
        inputs = {each.op.name for each in graph.inputs}
        inputs -= {each.op.name for each in graph.internal_captures}
        self._data: set[int] = set()
        self._weighted: set[int] = set()
        of_variables: set[int] = set()
        for number, operation in enumerate(operations):  # in the order in which they were made
            before = self._before[number]
            if operation.name in inputs or self._data.intersection(before):
                self._data.add(number)
                if of_variables.intersection(before):
                    self._weighted.add(number)
            elif operation.name in variables or of_variables.intersection(before):
                of_variables.add(number)

    def weighted_before(self, number: int) -> int | None:
        """The last operation with weights that `number` depends on with no other of them between."""
        found, seen, left = [], set(), list(self._before[number])
        while left:
            each = left.pop()
            if each in seen:
                continue
            seen.add(each)
            if each in self._weighted:
                found.append(each)
            else:
                left += self._before[each]
        return max(found, default=None)

    def is_hidden(self, number: int, counts_itself: bool = False) -> bool:
        """Whether it depends on the inputs, and an operation with weights on it."""
        if number not in self._data:
            return False
        after = {number}
        for each in range(number, len(self._before)):
            if each in after or after.intersection(self._before[each]):
                after.add(each)
                if each in self._weighted and (each != number or counts_itself):
                    return True
        return False


def _nonlinear_functions(graph: Any) -> set[str]:
    """Names of the functions of the graph that have a nonlinearity in them."""
    functions = {each.signature.name: each.node_def for each in graph.as_graph_def().library.function}
    found = {name for name, nodes in functions.items() if any(node.op in _NONLINEARITIES for node in nodes)}
    while True:
        outer = {
            name
            for name, nodes in functions.items()
            if name not in found and any(_called_functions(node) & found for node in nodes)
        }
        if not outer:
            return found
        found |= outer


def _called_functions(node: Any) -> set[str]:
    """The functions that an operation calls: bodies of loops and branches as well."""
    names = set()
    for value in node.attr.values():
        if value.HasField("func"):
            names.add(value.func.name)
        names |= {each.name for each in value.list.func}
    return names
