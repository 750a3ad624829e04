"""How the targets of a probe are trained: side by side or one after another, in the graph or by XLA."""

import tensorflow as tf

from tfplastic.probing._programs import OneAfterAnother, Program, SideBySide
from tfplastic.probing._twin import Twin
from tfplastic.training.programs import is_convolutional

AUTO = "auto"
EXECUTIONS = ("one_after_another", "side_by_side")
_CLASSES: dict[str, type[Program]] = {"one_after_another": OneAfterAnother, "side_by_side": SideBySide}
_NAMES = {
    "one_after_another": "targets one after another",
    "side_by_side": "targets side by side",
    "graph": "graph",
    "xla": "XLA",
}
_SMALL = 20_000  # trainable weights

# (kind of network, device) -> (execution, {execution: program}), the faster ones in benchmarks/probe.py.
_RULES = {
    ("small", "CPU"): ("side_by_side", {"side_by_side": "graph", "one_after_another": "xla"}),
    ("dense", "CPU"): ("one_after_another", {"side_by_side": "xla", "one_after_another": "xla"}),
    ("convolutional", "CPU"): ("one_after_another", {"side_by_side": "graph", "one_after_another": "graph"}),
    ("small", "GPU"): ("side_by_side", {"side_by_side": "xla", "one_after_another": "xla"}),
    ("dense", "GPU"): ("side_by_side", {"side_by_side": "xla", "one_after_another": "xla"}),
    ("convolutional", "GPU"): ("one_after_another", {"side_by_side": "graph", "one_after_another": "graph"}),
}


def make_program(twin: Twin, num_targets: int, execution: str, program: str) -> tuple[Program, str]:
    """A program for a probe, and in words how it trains.

    Args:
        twin: its gradient step traced.
        num_targets: how many there are.
        execution: one of `EXECUTIONS`, or `'auto'` for what the committed rules say; where the step cannot be
            batched, as with an optimizer that is not known, that is one after another in the graph.
        program: `'graph'`, `'xla'` or `'auto'`, as the rules say.

    Raises:
        ValueError: if targets shall train side by side and cannot.
    """
    device = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    by_rule, programs = _RULES[_kind(twin), device]
    chosen = by_rule if execution == AUTO else execution
    chosen_program = programs[chosen] if program == AUTO else program
    try:
        made = _CLASSES[chosen](twin, num_targets, chosen_program)
    except ValueError as error:
        reason = str(error).partition("Received: ")[2]
        if execution != AUTO:
            rule = "must be 'one_after_another' or 'auto' where a step cannot be batched"
            raise ValueError(f"`execution` {rule}. Received: {execution!r}, with {reason}") from None
        made = OneAfterAnother(twin, num_targets, "graph")
        return made, f"{_NAMES['one_after_another']}, graph, because there is {reason}"
    return made, f"{_NAMES[chosen]}, {_NAMES[chosen_program]}"


def _kind(twin: Twin) -> str:
    if is_convolutional(twin.model):
        return "convolutional"
    return "small" if twin.num_weights <= _SMALL else "dense"
