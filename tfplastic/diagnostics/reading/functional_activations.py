"""Nonlinearities that are called as bare functions, such as `tf.nn.relu`, found in the graph of a call.

No layer records them. Each goes by the name of the layer with weights before it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from tfplastic.diagnostics.reading import model_layers
from tfplastic.diagnostics.reading.activation_frames import function_call
from tfplastic.diagnostics.reading.data_flow import Flow
from tfplastic.diagnostics.reading.recording import Call

# Operations that functions of one tensor are made of. Softmax is left out: inside a model it is attention's.
_NONLINEARITIES = {
    "Elu", "Erf", "Erfc", "LeakyRelu", "Relu", "Relu6", "Selu", "Sigmoid", "Softplus", "Softsign", "Tanh",
}  # fmt: skip
# Signs that an operation is part of an activation function of a library: hard and piecewise ones.
_PARTS = {"Exp", "Maximum", "Minimum", "Select", "SelectV2"}
_GATES = {"Erf": "gelu", "Erfc": "gelu", "Sigmoid": "silu", "Tanh": "gelu"}
_NAMES = {"LeakyRelu": "leaky_relu"}
_ELEMENTWISE = {
    "Add", "AddV2", "Cast", "Cube", "Identity", "Mul", "Neg", "Pow", "RealDiv", "Sqrt", "Square", "Sub",
}  # fmt: skip
_IN_A_FUNCTION = "it is called inside a loop, a branch or a function of the model's own, which nothing leaves"
_NOT_CALLED = "the model does not call it, or in a `tf.function` that was traced before"
_HAS_FUNCTION = (
    "a nonlinearity after it is called inside a loop, a branch or a function, which nothing leaves"
)


def bare_calls(
    calls: Sequence[Call], hidden: Mapping[str, Call], flow: Flow, start: int, model_name: str
) -> dict[str, Call]:
    """Returns the hidden nonlinearities that a model calls as bare functions, {name: call}, in their order.

    Args:
        calls: calls of the model's nonlinearities, and of its layers with weights.
        hidden: the recorded ones of the former, by their names, which are taken.
        flow: flow of the call of the model.
        start: number of the first operation of the call.
        model_name: name for nonlinearities without a layer with weights before them.
    """
    here = [call for call in calls if call.graph is flow.graph]
    recorded = _covered(call.span for call in here if call.activation)
    inside_layers = _covered(call.span for call in here)
    found: dict[str, Call] = {}
    done = set(recorded)
    for number in range(start, len(flow.operations)):
        if number in done or number not in flow.data:
            continue
        members, activation = _function_of(flow, number, number in inside_layers)
        if not activation:
            continue
        done.update(range(number, members[-1] + 1))
        if not flow.is_hidden(members[-1]):
            continue
        layer = _layer_at(flow.weighted_before(members[0]), here, model_name)
        name = model_layers.free_name(layer, ":", {**hidden, **found})
        result = flow.operations[members[-1]].outputs[0]
        span, argument = (members[0], members[-1] + 1), _argument(flow, members, result)
        found[name] = Call(layer.partition(":")[0], flow.graph, span, result, argument, activation, False)
    return found


def _function_of(flow: Flow, number: int, is_inside_layer: bool) -> tuple[list[int], str]:
    """Returns the operations of the function that an operation begins or is, and its name or ''."""
    operation = flow.operations[number]
    known = function_call(operation)
    if known is not None:
        name, place = known
        if operation.type in _GATES and name == operation.type.lower():
            return _with_gate(flow, number)
        members = [number]
        for each in range(number + 1, len(flow.operations)):
            other = flow.operations[each]
            if each in flow.data:
                is_next_call = other.type == operation.type and not set(flow.before(each)) & set(members)
                if is_next_call or (function_call(other) or ("", None))[1] != place:
                    break
                members.append(each)
        if any(flow.operations[each].type in _NONLINEARITIES | _PARTS for each in members):
            return members, name
    if operation.type in _NONLINEARITIES:
        return _with_gate(flow, number)
    if not is_inside_layer and _is_maximum_with_zero(operation):
        return [number], "relu"
    return [number], ""


def _with_gate(flow: Flow, number: int) -> tuple[list[int], str]:
    """Returns a nonlinearity g(z) or, where one follows, the product z g(z): GELU and SiLU."""
    kind, last, between = flow.operations[number].type, number, [number]
    given = _elementwise_before(flow, flow.before(number))
    while kind in _GATES:
        after = [each for each in flow.after(last) if each in flow.data]
        if len(after) != 1 or flow.operations[after[0]].type not in _ELEMENTWISE:
            break
        last = after[0]
        between.append(last)
        others = [each for each in flow.before(last) if each not in between]
        if others:
            is_gate = flow.operations[last].type == "Mul" and _elementwise_before(flow, others) & given
            return (between, _GATES[kind]) if is_gate else ([number], kind.lower())
    return [number], _NAMES.get(kind) or kind.lower()


def _elementwise_before(flow: Flow, numbers: Sequence[int]) -> set[int]:
    """Returns `numbers`, and the tensors that they come from entry by entry and with constants."""
    found, left = set(), list(numbers)
    while left:
        each = left.pop()
        found.add(each)
        if flow.operations[each].type in _ELEMENTWISE and each not in flow.weighted:
            left += [before for before in flow.before(each) if before not in found]
    return found


def _argument(flow: Flow, members: Sequence[int], result: tf.Tensor) -> tf.Tensor | None:
    """Returns the one tensor that a function was given; None where it is another, or of another shape."""
    given = {
        id(each): each
        for number in members
        for each in flow.operations[number].inputs
        if flow.number_of(each.op) in flow.data and flow.number_of(each.op) not in members
    }
    outside = list(given.values())
    if len(outside) > 1:  # what is made of another with constants only, such as 0.5 x of a GELU
        numbers = {flow.number_of(each.op) for each in outside}
        outside = [
            each
            for each in outside
            if not (_elementwise_before(flow, [flow.number_of(each.op)]) & numbers)
            - {flow.number_of(each.op)}
        ]
    is_one = len(outside) == 1 and outside[0].shape.as_list() == result.shape.as_list()
    return outside[0] if is_one else None


def unmeasured(
    calls: Sequence[Call], nonlinear: Mapping[str, Any], taken: Iterable[str], flow: Flow, model_name: str
) -> dict[str, str]:
    """Returns the hidden nonlinearities that cannot be measured, with reasons.

    Args:
        calls: calls of all of the model's nonlinearities, and of its layers with weights.
        nonlinear: the model's layers with a nonlinearity.
        taken: names of measured layers.
        flow: flow of the call of the model.
        model_name: name for nonlinearities without a layer with weights before them.

    Returns:
        {layer name: reason, one line}. Of a layer called again 'name:1'.
    """
    graph = flow.graph
    cells = {cell for call in calls if call.is_recurrent for cell in _inner_names(nonlinear, call.name)}
    elsewhere = {call.name for call in calls if call.activation and call.graph is not graph}
    found = dict.fromkeys(sorted(elsewhere - cells - set(taken)), _IN_A_FUNCTION)
    here = [call for call in calls if call.graph is graph]
    functions = [] if found else _called_functions_here(flow, here)  # found are those in the functions
    if functions:
        uncalled = [name for name in nonlinear if name not in {*cells, *(call.name for call in calls)}]
        found |= dict.fromkeys(uncalled, _NOT_CALLED)
    for number in functions:
        if flow.is_hidden(number, True):
            name = _layer_at(flow.weighted_before(number), here, model_name)
            found.setdefault(model_layers.free_name(name, ":", dict.fromkeys(taken)), _HAS_FUNCTION)
    return found


def _inner_names(nonlinear: Mapping[str, Any], outer: str) -> list[str]:
    inside = [id(layer) for layer in nonlinear[outer]._flatten_layers(include_self=False)]
    return [name for name, layer in nonlinear.items() if id(layer) in inside]


def _called_functions_here(flow: Flow, calls: Sequence[Call]) -> list[int]:
    """Returns the numbers of the calls of functions that have a nonlinearity in them."""
    inside = _covered(call.span for call in calls if call.activation)
    with_nonlinearity = _nonlinear_functions(flow.graph)
    if not with_nonlinearity:
        return []
    return [
        number
        for number, operation in enumerate(flow.operations)
        if number not in inside and _called_functions(operation.node_def) & with_nonlinearity
    ]


def _covered(spans: Iterable[tuple[int, int]]) -> set[int]:
    return {number for first, last in spans for number in range(first, last)}


def _is_maximum_with_zero(operation: Any) -> bool:
    if operation.type != "Maximum":
        return False
    constants = [tf.get_static_value(each) for each in operation.inputs]
    return any(each is not None and each.size == 1 and float(each.item()) == 0 for each in constants)


def _layer_at(number: int | None, calls: Sequence[Call], model_name: str) -> str:
    """Returns the name of the innermost layer with weights that made operation `number`."""
    names: dict[str, Call] = {}
    for call in calls:
        if not call.activation:
            names[model_layers.free_name(call.name, ":", names)] = call
    around = {
        name: call.span[1] - call.span[0]
        for name, call in names.items()
        if number is not None and call.span[0] <= number < call.span[1]
    }
    return min(around, key=around.__getitem__) if around else model_name


def _nonlinear_functions(graph: Any) -> set[str]:
    """Returns the names of the graph's functions with a nonlinearity in them."""
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
    """Returns the functions that an operation calls: bodies of loops and branches as well."""
    names = set()
    for value in node.attr.values():
        if value.HasField("func"):
            names.add(value.func.name)
        names |= {each.name for each in value.list.func}
    return names
