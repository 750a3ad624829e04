"""Calls of compiled programs that give the same bits each time.

Where TensorFlow's graph optimizer estimates that a program needs more than 80 % of a device's memory, which
it takes to be 256 MB on any CPU, it replaces sums of three or more tensors, such as gradients hold, by
additions in the order in which the tensors happen to be ready, to save memory (`SchedulingPass` in
TensorFlow's core/grappler/optimizers/memory_optimizer.cc). The last bits then change from call to call.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from tensorflow.core.protobuf import rewriter_config_pb2
from tensorflow.python.eager import context


@contextlib.contextmanager
def deterministic_sums() -> Iterator[None]:
    """While open, programs that this thread calls for the first time are optimized without that step."""
    current: Any = context.context()
    before = current.function_call_options
    config = current.config
    config.graph_options.rewrite_options.memory_optimization = rewriter_config_pb2.RewriterConfig.NO_MEM_OPT
    current.function_call_options = context.FunctionCallOptions(before.executor_type, config)
    try:
        yield
    finally:
        current.function_call_options = before
