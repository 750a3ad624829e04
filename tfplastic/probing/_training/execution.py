"""The execution of a probe's targets: side by side or one after another, in the graph or by XLA."""

import tensorflow as tf

from tfplastic.probing._training.trainers import OneAfterAnother, SideBySide, Trainer
from tfplastic.probing._training.training_copy import TrainingCopy
from tfplastic.training.execution.compilation import is_convolutional

AUTO = "auto"
EXECUTIONS = ("one_after_another", "side_by_side")
_CLASSES: dict[str, type[Trainer]] = {"one_after_another": OneAfterAnother, "side_by_side": SideBySide}
_NAMES = {
    "one_after_another": "targets one after another",
    "side_by_side": "targets side by side",
    "graph": "graph",
    "xla": "XLA",
}
_SMALL = 20_000  # trainable weights

# (kind of network, device) -> (execution, {execution: compiler}), the faster ones. On one core of an AMD EPYC
# with ten targets, a gradient step of one network took, in CPU milliseconds: one after another as graph and
# by XLA, side by side as graph and by XLA
#   64-16-16-10, batch 16     0.16, 0.07 | 0.05, 0.06
#   64-64-64-10, batch 16     0.20, 0.12 | 0.08, 0.07, but XLA compiles for 1 s more
#   784-100-100-10, batch 32  0.80, 0.58 | 0.78, 0.55
#   784-256-256-10, batch 32  1.7, 1.2 | 2.1, 1.5: all weights and slots do not fit into the cache
#   784-512-512-10, batch 32  3.2, 2.7 | 3.7, 3.4
#   784-512-512-10, batch 256 14.0, 14.1 | 14.9, 14.3
#   2 x 16 channels, batch 32 3.9 | 3.8 as graphs: kernels of convolutions are not batched
# No GPU has been measured; there dense steps wait for launches more than for arithmetic.
_RULES = {
    ("small", "CPU"): ("side_by_side", {"side_by_side": "graph", "one_after_another": "xla"}),
    ("dense", "CPU"): ("one_after_another", {"side_by_side": "xla", "one_after_another": "xla"}),
    ("convolutional", "CPU"): ("one_after_another", {"side_by_side": "graph", "one_after_another": "graph"}),
    ("small", "GPU"): ("side_by_side", {"side_by_side": "xla", "one_after_another": "xla"}),
    ("dense", "GPU"): ("side_by_side", {"side_by_side": "xla", "one_after_another": "xla"}),
    ("convolutional", "GPU"): ("one_after_another", {"side_by_side": "graph", "one_after_another": "graph"}),
}


def make_trainer(
    training_copy: TrainingCopy, num_targets: int, execution: str, compiler: str, is_masked: bool = False
) -> tuple[Trainer, str]:
    """Returns a program for a probe, and in words how it trains.

    Args:
        training_copy: network and optimizer, with the gradient step traced.
        num_targets: number of targets.
        execution: one of `EXECUTIONS`, or `'auto'` for the committed rules, which choose one after another in
            the graph where the step cannot be batched, as with an unknown optimizer.
        compiler: `'graph'`, `'xla'` or `'auto'`, as the rules say.
        is_masked: whether a mask leaves out some positions: how many differs from batch to batch, so targets
            train one after another, in the graph.

    Raises:
        ValueError: targets cannot train side by side or by XLA as requested.
    """
    if is_masked:
        only = (("execution", execution, "one_after_another"), ("compiler", compiler, "graph"))
        for name, given, possible in only:
            if given not in (AUTO, possible):
                rule = f"must be {possible!r} or 'auto' for a model whose outputs are masked"
                raise ValueError(f"`{name}` {rule}. Received: {given!r}")
        made = OneAfterAnother(training_copy, num_targets, "graph")
        return made, f"{_NAMES['one_after_another']}, graph, because outputs are masked"
    device = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    by_rule, compilers = _RULES[_kind(training_copy), device]
    chosen = by_rule if execution == AUTO else execution
    chosen_compiler = compilers[chosen] if compiler == AUTO else compiler
    try:
        made = _CLASSES[chosen](training_copy, num_targets, chosen_compiler)
    except ValueError as error:
        reason = str(error).partition("Received: ")[2]
        if execution != AUTO:
            rule = "must be 'one_after_another' or 'auto' where a step cannot be batched"
            raise ValueError(f"`execution` {rule}. Received: {execution!r}, with {reason}") from None
        made = OneAfterAnother(training_copy, num_targets, "graph")
        return made, f"{_NAMES['one_after_another']}, graph, because there is {reason}"
    return made, f"{_NAMES[chosen]}, {_NAMES[chosen_compiler]}"


def _kind(training_copy: TrainingCopy) -> str:
    if is_convolutional(training_copy.model):
        return "convolutional"
    return "small" if training_copy.num_weights <= _SMALL else "dense"
