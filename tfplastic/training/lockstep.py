"""The traces of one function for several seeds as one function of the values of all of them.

What is equal in all seeds, such as the number of a step or which branch is taken, stays one tensor; what is
not has a first axis `[seeds]`, and its operations are batched by `tf.vectorized_map`.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfplastic.training._lockstep_rules import RANDOM, RULES, STACKED

Emit = Callable[..., list[tf.Tensor]]
"""Puts an operation on the given inputs into the default graph and returns its outputs."""

_IGNORED = ("Assert", "NoOp", "Placeholder")  # checks stop no program under XLA either
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_CONDITIONALS = ("If", "StatelessIf")
_LOOPS = ("StatelessWhile", "While")


class Value:
    """A tensor of all seeds, or a variable of theirs that is referred to.

    Attributes:
        is_stacked: whether it has a first axis `[seeds]`; else it is equal in all seeds.
        tensor: None as long as only `is_stacked` is asked for, or until it is computed. Of what cannot be
            stacked, such as lists of tensors, a list with that of each seed.
        variable: its number, if this is a reference to a variable.
        constant: its value, if it is a constant that is equal in all seeds.
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


class Lockstep:
    """One function for all seeds, of those that tracing gave for each.

    Variables are inputs and outputs of it: it reads and assigns none. Where the traces hold constants or have
    captured tensors that differ, each seed has its own.

    Args:
        traces: concrete functions, one for each seed, which must be the same operations on the same shapes.

    Attributes:
        variables: those that the traces use: for each a list of that of each seed.

    Raises:
        ValueError: if the traces differ in more than constants, or hold operations that have effects other
            than on variables.
    """

    def __init__(self, traces: Sequence[Any]):
        self._graphs = [trace.graph for trace in traces]
        _check_alike(self._graphs)
        self.variables: list[list[Variable]] = []
        self._captures: list[Value] = []
        captured = [[external for external, _ in graph.captures] for graph in self._graphs]
        for captures in zip(*captured, strict=True):
            if captures[0].dtype == tf.resource:
                self._captures.append(Value(False, variable=len(self.variables)))
                self.variables.append([Variable(handle) for handle in captures])
            else:
                self._captures.append(stacked_if_different(captures))

    def stacked_after(
        self, inputs: Sequence[bool], variables: Sequence[bool]
    ) -> tuple[list[bool], list[bool]]:
        """Which outputs and variables differ between seeds, given which inputs and variables do."""
        outputs, after = self(
            [Value(each) for each in inputs], [Value(each) for each in variables], only_ask=True
        )
        return [each.is_stacked for each in outputs], [each.is_stacked for each in after]

    def __call__(
        self, inputs: Sequence[Value], variables: Sequence[Value], only_ask: bool = False
    ) -> tuple[list[Value], list[Value]]:
        """The outputs and the variables' values after the function; traceable.

        Args:
            inputs: as the traces take them, flat.
            variables: their values before, in the order of `self.variables`.
            only_ask: whether only `is_stacked` of what is returned is of interest.
        """
        run = _Run(len(self._graphs), list(variables), emits=not only_ask)
        outputs = run.run(self._graphs, [*inputs, *self._captures])
        run.flush()
        return outputs, run.variables


def stacked_if_different(tensors: Sequence[tf.Tensor]) -> Value:
    """One tensor if those of all seeds are equal bit for bit, else `[seeds, ...]`."""
    arrays = [np.asarray(tensor) for tensor in tensors]
    if all(_are_equal(arrays[0], array) for array in arrays[1:]):
        return Value(False, tensors[0])
    return Value(True, tf.constant(np.stack(arrays)))


def as_stacked(value: Value, count: int) -> tf.Tensor:
    """`[seeds, ...]`, also of what is equal in all seeds."""
    return value.tensor if value.is_stacked else tf.stack([value.tensor] * count)


class _Run:
    """Goes through the graphs of all seeds, operation by operation.

    Operations on stacked values wait until something needs one of them, so that many go into one call of
    `tf.vectorized_map`.
    """

    def __init__(self, count: int, variables: list[Value], emits: bool):
        self._count = count
        self._emits = emits
        self._waiting: list[tuple[Emit, list[Value], list[Value]]] = []
        self.variables = variables

    def run(self, graphs: Sequence[Any], inputs: Sequence[Value]) -> list[Value]:
        _check_alike(graphs)
        values = {place.name: value for place, value in zip(graphs[0].inputs, inputs, strict=True)}
        for operations in zip(*(graph.get_operations() for graph in graphs), strict=True):
            first = operations[0]
            if first.type not in _IGNORED:
                outputs = self._take(operations, [values[each.name] for each in first.inputs])
                values |= {place.name: value for place, value in zip(first.outputs, outputs, strict=True)}
        return [values[place.name] for place in graphs[0].outputs]

    def flush(self) -> None:
        """Computes what waits, for all seeds at once."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        results = [value for _, _, outputs in waiting for value in outputs]
        of_waiting = set(map(id, results))
        sources = {id(value): value for _, inputs, _ in waiting for value in inputs if value.is_stacked}
        sources = {key: value for key, value in sources.items() if key not in of_waiting}

        def of_one_seed(tensors: list[tf.Tensor]) -> list[tf.Tensor]:
            known = dict(zip(sources, tensors, strict=True))
            for _, inputs, _ in waiting:
                # Under XLA this is a function of its own, where what comes from outside is no constant.
                constants = {id(value): value.constant for value in inputs if value.constant is not None}
                known |= {key: tf.constant(array) for key, array in constants.items() if key not in known}
            for emit, inputs, outputs in waiting:
                made = emit(*(known.get(id(value), value.tensor) for value in inputs))
                known |= {id(value): tensor for value, tensor in zip(outputs, made, strict=True)}
            return [known[id(value)] for value in results]

        tensors = tf.vectorized_map(of_one_seed, [value.tensor for value in sources.values()], warn=False)
        for value, tensor in zip(results, tensors, strict=True):
            value.tensor = tensor

    def _take(self, operations: Sequence[tf.Operation], inputs: list[Value]) -> list[Value]:
        first = operations[0]
        if first.type == "Const":
            return [self._constant(operations)]
        if first.type in ("Identity", "CheckNumerics"):
            return inputs
        if first.type in _CALLS:
            return self.run(_functions(operations, "f"), inputs)
        if first.type in _CONDITIONALS:
            branches = [_functions(operations, name) for name in ("then_branch", "else_branch")]
            return self._conditional(branches, inputs[0], inputs[1:])
        if first.type in RULES:
            return self._by_rule(first, inputs)
        if any(value.variable is not None for value in inputs) or first.op_def.is_stateful:
            raise _not_side_by_side(f"the operation {first.type!r}")
        if first.type in _LOOPS:
            for name in ("cond", "body"):
                _check_alike(_functions(operations, name), with_constants=True)
        if any(value.is_stacked for value in inputs):
            if first.type in (*RANDOM, *_LOOPS) or _uses_lists(first):
                return self._at_once(lambda: self._one_by_one(first, inputs), len(first.outputs))
            if first.type in STACKED:
                rule = STACKED[first.type]
                return self._at_once(lambda: rule(*(as_stacked(each, self._count) for each in inputs)), 1)
        return self._compute(_again(first), inputs, len(first.outputs))

    def _by_rule(self, operation: tf.Operation, inputs: list[Value]) -> list[Value]:
        """An operation that is known here: on variables, or one that TensorFlow does not batch."""
        rule = RULES[operation.type]
        values = [each if each.variable is None else self.variables[each.variable] for each in inputs]
        made = self._compute(lambda *tensors: rule.compute(operation, *tensors), values, rule.count)
        for position, value in zip(rule.assigns, made[len(operation.outputs) :], strict=True):
            number = inputs[position].variable
            if number is None:
                raise _not_side_by_side(f"the operation {operation.type!r} on what is no variable")
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

    def _constant(self, operations: Sequence[tf.Operation]) -> Value:
        protos = [operation.get_attr("value") for operation in operations]
        is_stacked = any(proto != protos[0] for proto in protos)
        if not self._emits:
            return Value(is_stacked)
        arrays = [tf.make_ndarray(proto) for proto in protos]
        if is_stacked:
            return Value(True, tf.constant(np.stack(arrays)))
        return Value(False, tf.constant(arrays[0]), constant=arrays[0])

    def _at_once(self, emit: Callable[[], list[Any]], count: int) -> list[Value]:
        """Stacked outputs of what needs its inputs now."""
        outputs = [Value(True) for _ in range(count)]
        if self._emits:
            self.flush()
            for value, tensor in zip(outputs, emit(), strict=True):
                value.tensor = tensor
        return outputs

    def _one_by_one(self, operation: tf.Operation, inputs: list[Value]) -> list[Any]:
        emit = _again(operation)
        of_seeds = [
            emit(*(value.tensor[seed] if value.is_stacked else value.tensor for value in inputs))
            for seed in range(self._count)
        ]
        return [
            list(tensors) if tensors[0].dtype == tf.variant else tf.stack(tensors)
            for tensors in zip(*of_seeds, strict=True)
        ]

    def _conditional(self, branches: list[list[Any]], which: Value, inputs: list[Value]) -> list[Value]:
        """One branch if all seeds take the same, else both and the result of one of them."""
        asked = [self._branch(graphs, inputs, emits=False) for graphs in branches]
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

            def of_branch(graphs: list[Any]) -> list[tf.Tensor]:
                run, outputs = self._branch(graphs, inputs, emits=True)
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

    def _branch(self, graphs: list[Any], inputs: list[Value], emits: bool) -> tuple["_Run", list[Value]]:
        run = _Run(self._count, list(self.variables), emits)
        return run, run.run(graphs, inputs)


def _results(run: _Run, outputs: list[Value], changed: list[int]) -> list[Value]:
    return [*outputs, *(run.variables[number] for number in changed)]


def _select(which: Value, true: Callable[[], list[tf.Tensor]], false: Callable[[], list[tf.Tensor]]) -> Any:
    if not which.is_stacked:
        return tf.cond(which.tensor, true, false)

    def choose(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
        return tf.where(tf.reshape(which.tensor, [-1] + [1] * (one.shape.rank - 1)), one, other)

    return [choose(one, other) for one, other in zip(true(), false(), strict=True)]


def _again(operation: tf.Operation) -> Emit:
    """The same operation on other inputs, in the graph that is the default when it is called."""
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


def _functions(operations: Sequence[tf.Operation], attribute: str) -> list[Any]:
    return [each.graph._get_function(each.get_attr(attribute).name).graph for each in operations]


def _check_alike(graphs: Sequence[Any], with_constants: bool = False) -> None:
    if all(graph is graphs[0] for graph in graphs):  # one function on several values
        return
    first, *others = (_signatures(graph, with_constants) for graph in graphs)
    for seed, signatures in enumerate(others, start=1):
        if signatures != first:
            pairs = itertools.zip_longest(signatures, first, fillvalue=("nothing",))
            here, there = next((one[0], other[0]) for one, other in pairs if one != other)
            what = f"another {here!r} than" if here == there else f"{here!r} where it is {there!r} in"
            raise _not_side_by_side(f"a step of seed number {seed} with {what} that of the first seed")


def _signatures(graph: Any, with_constants: bool) -> list[tuple[Any, ...]]:
    """Of each operation, all but the names and, unless asked for, the values of constants."""
    numbers, signatures = {}, []
    for number, operation in enumerate(graph.get_operations()):
        numbers |= {output.name: (number, index) for index, output in enumerate(operation.outputs)}
        attributes = {}
        for name, value in operation.node_def.attr.items():
            if value.HasField("func"):
                if with_constants:
                    inner = operation.graph._get_function(value.func.name).graph
                    attributes[name] = _signatures(inner, with_constants)
            elif name[0] != "_" and (with_constants or (operation.type, name) != ("Const", "value")):
                attributes[name] = value.SerializeToString(deterministic=True)
        signatures.append((operation.type, [numbers[each.name] for each in operation.inputs], attributes))
    return signatures


def _are_equal(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and one.tobytes() == other.tobytes()


def _not_side_by_side(what: str) -> ValueError:
    return ValueError(f"Seeds side by side must take the same steps, of pure operations. Received: {what}")
