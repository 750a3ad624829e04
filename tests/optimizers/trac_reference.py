"""TRAC around gradient descent, in float64."""

import numpy as np
from scipy import special

from tests.optimizers.problems import SHAPES


def trac_reference(steps, learning_rate, momentum=0.0, initial_scale=1e-8, start=None, shapes=SHAPES):
    """The code of ComputationalRobotics/TRAC with scipy's erfi."""
    weights = [np.zeros(shape) for shape in shapes] if start is None else [each.copy() for each in start]
    references = [each.copy() for each in weights]
    increments = [np.zeros_like(each) for each in weights]
    betas = np.array([0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999])
    variance, sigma, scale = np.zeros(6), np.full(6, 1e-8), np.zeros(6)
    for step in steps:
        deltas = [(w - ref) / (scale.sum() + 1e-8) for w, ref in zip(weights, references, strict=True)]
        h = sum((delta * g.astype(np.float64)).sum() for delta, g in zip(deltas, step, strict=True))
        for i, g in enumerate(step):
            increments[i] = momentum * increments[i] - learning_rate * g.astype(np.float64)
            deltas[i] = deltas[i] + increments[i]
        variance = betas**2 * variance + h**2
        sigma = betas * sigma - h
        argument = sigma / (np.sqrt(2) * np.sqrt(variance) + 1e-8)
        scale = initial_scale / special.erfi(1 / np.sqrt(2)) * special.erfi(argument)
        weights = [ref + delta * max(scale.sum(), 0) for ref, delta in zip(references, deltas, strict=True)]
    return weights
