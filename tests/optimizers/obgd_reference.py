"""ObGD in float64."""

import numpy as np

from tests.optimizers.problems import SHAPES, clipped


def obgd_reference(
    steps,
    learning_rate=1.0,
    discount=0.99,
    trace_decay=0.8,
    kappa=2.0,
    max_gradient_norm=np.inf,
    errors=None,
    ends=(),
    shapes=SHAPES,
):
    """Stream-x' ObGD; `errors` of each step, `ends` the numbers, from 0, of steps that end an episode."""
    weights, traces = ([np.zeros(shape) for shape in shapes] for _ in range(2))
    for t, step in enumerate(steps):
        error = 1.0 if errors is None else errors[t]
        traces = [
            discount * trace_decay * trace + g
            for trace, g in zip(traces, clipped(step, max_gradient_norm), strict=True)
        ]
        length = sum(np.abs(trace).sum() for trace in traces)
        dot = max(abs(error), 1.0) * length * learning_rate * kappa
        size = learning_rate / dot if dot > 1 else learning_rate
        weights = [w - size * error * trace for w, trace in zip(weights, traces, strict=True)]
        if t in ends:
            traces = [0 * trace for trace in traces]
    return weights
