"""UPGD in float64."""

import numpy as np
from scipy import special

from tests.optimizers.problems import SHAPES, clipped


def upgd_reference(
    steps,
    noises,
    learning_rate=0.01,
    weight_decay=0.01,
    utility_decay=0.9999,
    scaling="global",
    protects=True,
    corrects_maximum=False,
    step_factor=1.0,
    max_gradient_norm=np.inf,
    adam=False,
    beta_1=0.9,
    beta_2=0.999,
    epsilon=1e-5,
    noise_scale=None,  # in the noises
    seed=None,
    shapes=SHAPES,
):
    """mohmdelsayed/upgd, first_order.py and adaupgd.py, with the largest |U| where no U is above 0."""
    weights, utility, mean, square = ([np.zeros(shape) for shape in shapes] for _ in range(4))
    for t, step in enumerate(steps, start=1):
        noise = [0.0] * len(shapes) if noises is None else noises[t - 1]
        step = clipped(step, max_gradient_norm)
        for i, g in enumerate(step):
            utility[i] = utility_decay * utility[i] - (1 - utility_decay) * g * weights[i]
        correction = 1 - utility_decay**t
        every = np.concatenate([each.ravel() for each in utility]) / (correction if corrects_maximum else 1)
        largest = every.max() if every.max() > 0 else np.abs(every).max()
        for i, g in enumerate(step):
            hat = utility[i] / correction
            if scaling == "local":  # by unit: by column or filter of a kernel
                axes = tuple(range(hat.ndim - 1)) or (0,)
                scaled = hat / np.maximum(np.sqrt((hat**2).sum(axes, keepdims=True)), 1e-12)
            else:
                scaled = hat / largest if largest else hat
            closed = special.expit(-scaled)
            if adam:
                mean[i] = beta_1 * mean[i] + (1 - beta_1) * g
                square[i] = beta_2 * square[i] + (1 - beta_2) * g**2
                g = mean[i] / (1 - beta_1**t) / (np.sqrt(square[i] / (1 - beta_2**t)) + epsilon)
            move = (g + noise[i]) * closed if protects else g + noise[i] * closed
            weights[i] = (1 - learning_rate * weight_decay) * weights[i] - step_factor * learning_rate * move
    return weights
