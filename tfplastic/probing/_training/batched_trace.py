"""The trace of a function for one network as a function of the values of several networks.

A value that is equal in all networks, such as the number of a step or which branch is taken, stays one
tensor; any other has a first axis `[networks]`, and its operations are batched by `tf.vectorized_map`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from tfplastic.probing._training.op_rules import RANDOM, RULES, STACKED

Emit = Callable[..., list[tf.Tensor]]
"""A function that puts an operation on the given inputs into the default graph and returns its outputs."""

_IGNORED = ("Assert", "NoOp", "Placeholder")  # checks stop no program under XLA either
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_CONDITIONALS = ("If", "StatelessIf")
_LOOPS = ("StatelessWhile", "While")


class Value:
    """A tensor of all networks, or a variable of theirs that is referred to.

    Attributes:
        is_stacked: whether it has a first axis `[networks]`; else it is equal in all networks.
        tensor: None as long as only `is_stacked` is asked for, or until it is computed. For a value that
            cannot be stacked, such as a list of tensors, a list with the value of each network.
        variable: its number, if this is a reference to a variable.
        constant: its value, if it is a constant.
    """

    def __init__(
        self, is_stacked: bool, tensor: Any = None, variable: int | None = None, constant: Any = None
    ):
        self.is_stacked = is_stacked
        self.tensor = tensor
        self.variable = variable
        self.constant = constant


class Variable:
    """A variable of which only the handle is known, as a trace captures it."""

    def __init__(self, handle: Any):
        self._handle = handle
        self._dtype = tf.as_dtype(handle._handle_data.shape_and_type[0].dtype)

    def value(self) -> tf.Tensor:
        return tf.raw_ops.ReadVariableOp(resource=self._handle, dtype=self._dtype)

    def assign(self, value: tf.Tensor) -> None:
        tf.raw_ops.AssignVariableOp(resource=self._handle, value=value)


class BatchedTrace:
    """One function of the values of several networks, from the trace of it for one network.

    Variables are inputs and outputs of it: it reads and assigns none.

    Args:
        trace: a concrete function.
        count: number of networks.

    Attributes:
        variables: the variables that the trace uses.

    Raises:
        ValueError: if the trace holds operations that have effects other than on variables.
    """

    def __init__(self, trace: Any, count: int):
        self._graph = trace.graph
        self._count = count
        self.variables: list[Variable] = []
        self._captures: list[Value] = []
        for captured, _ in trace.graph.captures:
            if captured.dtype == tf.resource:
                self._captures.append(Value(False, variable=len(self.variables)))
                self.variables.append(Variable(captured))
            else:
                self._captures.append(Value(False, captured))

    def stacked_after(
        self, inputs: Sequence[bool], variables: Sequence[bool]
    ) -> tuple[list[bool], list[bool]]:
        """Returns which outputs and variables differ between networks, given which of the given ones do."""
        outputs, after = self(
            [Value(each) for each in inputs], [Value(each) for each in variables], only_ask=True
        )
        return [each.is_stacked for each in outputs], [each.is_stacked for each in after]

    def __call__(
        self, inputs: Sequence[Value], variables: Sequence[Value], only_ask: bool = False
    ) -> tuple[list[Value], list[Value]]:
        """Returns the outputs and the variables' values after the function; traceable.

        Args:
            inputs: inputs of the trace, flat.
            variables: their values before, in the order of `self.variables`.
            only_ask: whether only `is_stacked` of the results is needed.
        """
        run = _Interpreter(self._count, list(variables), emits=not only_ask)
        outputs = run.run(self._graph, [*inputs, *self._captures])
        run.flush()
        return outputs, run.variables


def as_stacked(value: Value, count: int) -> tf.Tensor:
    """Returns `[networks, ...]`, also of a value that is equal in all networks."""
    return value.tensor if value.is_stacked else tf.stack([value.tensor] * count)


class _Interpreter:
    """An interpreter of the graph for all networks, operation by operation.

    Operations on stacked values wait until something needs one of them, so that many go into one call of
    `tf.vectorized_map`.
    """

    def __init__(self, count: int, variables: list[Value], emits: bool):
        self._count = count
        self._emits = emits
        self._waiting: list[tuple[Emit, list[Value], list[Value]]] = []
        self.variables = variables

    def run(self, graph: Any, inputs: Sequence[Value]) -> list[Value]:
        values = {place.name: value for place, value in zip(graph.inputs, inputs, strict=True)}
        for operation in graph.get_operations():
            if operation.type not in _IGNORED:
                outputs = self._take(operation, [values[each.name] for each in operation.inputs])
                values |= {place.name: value for place, value in zip(operation.outputs, outputs, strict=True)}
        return [values[place.name] for place in graph.outputs]

    def flush(self) -> None:
        """Computes the waiting values, for all networks at once."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        results = [value for _, _, outputs in waiting for value in outputs]
        of_waiting = set(map(id, results))
        sources = {id(value): value for _, inputs, _ in waiting for value in inputs if value.is_stacked}
        sources = {key: value for key, value in sources.items() if key not in of_waiting}

        def of_one_network(tensors: list[tf.Tensor]) -> list[tf.Tensor]:
            known = dict(zip(sources, tensors, strict=True))
            for _, inputs, _ in waiting:
                # Under XLA this is a function of its own, where what comes from outside is not a constant.
                constants = {id(value): value.constant for value in inputs if value.constant is not None}
                known |= {key: tf.constant(array) for key, array in constants.items() if key not in known}
            for emit, inputs, outputs in waiting:
                made = emit(*(known.get(id(value), value.tensor) for value in inputs))
                known |= {id(value): tensor for value, tensor in zip(outputs, made, strict=True)}
            return [known[id(value)] for value in results]

        tensors = tf.vectorized_map(of_one_network, [value.tensor for value in sources.values()], warn=False)
        for value, tensor in zip(results, tensors, strict=True):
            value.tensor = tensor

    def _take(self, operation: tf.Operation, inputs: list[Value]) -> list[Value]:
        if operation.type == "Const":
            return [self._constant(operation)]
        if operation.type in ("Identity", "CheckNumerics"):
            return inputs
        if operation.type in _CALLS:
            return self.run(_function(operation, "f"), inputs)
        if operation.type in _CONDITIONALS:
            branches = [_function(operation, name) for name in ("then_branch", "else_branch")]
            return self._conditional(branches, inputs[0], inputs[1:])
        if operation.type in RULES:
            return self._by_rule(operation, inputs)
        if any(value.variable is not None for value in inputs) or operation.op_def.is_stateful:
            raise _not_side_by_side(f"the operation {operation.type!r}")
        if any(value.is_stacked for value in inputs):
            if operation.type in (*RANDOM, *_LOOPS) or _uses_lists(operation):
                return self._at_once(lambda: self._one_by_one(operation, inputs), len(operation.outputs))
            if operation.type in STACKED:
                rule = STACKED[operation.type]
                return self._at_once(lambda: rule(*(as_stacked(each, self._count) for each in inputs)), 1)
        return self._compute(_again(operation), inputs, len(operation.outputs))

    def _by_rule(self, operation: tf.Operation, inputs: list[Value]) -> list[Value]:
        """Returns an operation that is known here: on variables, or one that TensorFlow does not batch."""
        rule = RULES[operation.type]
        values = [each if each.variable is None else self.variables[each.variable] for each in inputs]
        made = self._compute(lambda *tensors: rule.compute(operation, *tensors), values, rule.count)
        for position, value in zip(rule.assigns, made[len(operation.outputs) :], strict=True):
            number = inputs[position].variable
            if number is None:
                raise _not_side_by_side(
                    f"the operation {operation.type!r} on a tensor that is not a variable"
                )
            self.variables[number] = value
        return made[: len(operation.outputs)]

    def _compute(self, emit: Emit, inputs: list[Value], count: int) -> list[Value]:
        outputs = [Value(any(value.is_stacked for value in inputs)) for _ in range(count)]
        if self._emits and outputs and outputs[0].is_stacked:
            self._waiting.append((emit, inputs, outputs))
        elif self._emits:
            for value, tensor in zip(outputs, emit(*(each.tensor for each in inputs)), strict=True):
                value.tensor = tensor
        return outputs

    def _constant(self, operation: tf.Operation) -> Value:
        if not self._emits:
            return Value(False)
        array = tf.make_ndarray(operation.get_attr("value"))
        return Value(False, tf.constant(array), constant=array)

    def _at_once(self, emit: Callable[[], list[Any]], count: int) -> list[Value]:
        """Returns the stacked outputs of an operation that needs its inputs now."""
        outputs = [Value(True) for _ in range(count)]
        if self._emits:
            self.flush()
            for value, tensor in zip(outputs, emit(), strict=True):
                value.tensor = tensor
        return outputs

    def _one_by_one(self, operation: tf.Operation, inputs: list[Value]) -> list[Any]:
        emit = _again(operation)
        of_networks = [
            emit(*(value.tensor[number] if value.is_stacked else value.tensor for value in inputs))
            for number in range(self._count)
        ]
        return [
            list(tensors) if tensors[0].dtype == tf.variant else tf.stack(tensors)
            for tensors in zip(*of_networks, strict=True)
        ]

    def _conditional(self, branches: list[Any], which: Value, inputs: list[Value]) -> list[Value]:
        """Runs one branch if all networks take the same, else both, and picks one result."""
        asked = [self._branch(graph, inputs, emits=False) for graph in branches]
        changed = [
            number
            for number, before in enumerate(self.variables)
            if any(run.variables[number] is not before for run, _ in asked)
        ]
        is_stacked = [
            which.is_stacked or any(value.is_stacked for value in values)
            for values in zip(*(_results(run, outputs, changed) for run, outputs in asked), strict=True)
        ]
        results = [Value(each) for each in is_stacked]
        if self._emits:
            self.flush()

            def of_branch(graph: Any) -> list[tf.Tensor]:
                run, outputs = self._branch(graph, inputs, emits=True)
                run.flush()
                return [
                    as_stacked(value, self._count) if stacked else tf.identity(value.tensor)
                    for value, stacked in zip(_results(run, outputs, changed), is_stacked, strict=True)
                ]

            tensors = _select(which, lambda: of_branch(branches[0]), lambda: of_branch(branches[1]))
            for value, tensor in zip(results, tensors, strict=True):
                value.tensor = tensor
        count = len(results) - len(changed)
        for number, value in zip(changed, results[count:], strict=True):
            self.variables[number] = value
        return results[:count]

    def _branch(self, graph: Any, inputs: list[Value], emits: bool) -> tuple["_Interpreter", list[Value]]:
        run = _Interpreter(self._count, list(self.variables), emits)
        return run, run.run(graph, inputs)


def _results(run: _Interpreter, outputs: list[Value], changed: list[int]) -> list[Value]:
    return [*outputs, *(run.variables[number] for number in changed)]


def _select(which: Value, true: Callable[[], list[tf.Tensor]], false: Callable[[], list[tf.Tensor]]) -> Any:
    if not which.is_stacked:
        return tf.cond(which.tensor, true, false)

    def choose(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
        return tf.where(tf.reshape(which.tensor, [-1] + [1] * (one.shape.rank - 1)), one, other)

    return [choose(one, other) for one, other in zip(true(), false(), strict=True)]


def _again(operation: tf.Operation) -> Emit:
    """Returns the same operation on other inputs, in the graph that is the default when it is called."""
    attributes = {name: value for name, value in operation.node_def.attr.items() if name[0] != "_"}
    functions = [value.func.name for value in attributes.values() if value.HasField("func")]
    dtypes = [output.dtype for output in operation.outputs]

    def emit(*inputs: tf.Tensor) -> list[tf.Tensor]:
        graph = tf.compat.v1.get_default_graph()
        for name in functions:
            graph._add_function_recursive(operation.graph._get_function(name))
        return graph.create_op(operation.type, list(inputs), dtypes, attrs=attributes).outputs

    return emit


def _uses_lists(operation: tf.Operation) -> bool:
    return any(tensor.dtype == tf.variant for tensor in (*operation.inputs, *operation.outputs))


def _function(operation: tf.Operation, attribute: str) -> Any:
    return operation.graph._get_function(operation.get_attr(attribute).name).graph


def _not_side_by_side(what: str) -> ValueError:
    return ValueError(f"Targets side by side must take steps of pure operations. Received: {what}")
