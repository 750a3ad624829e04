"""Common parts of the contenders of probe.py. Only the standard library and NumPy are used here."""

import numpy as np

from benchmarks.loop_blocks import NUM_CLASSES, Problem, data

NUM_TARGETS = 10
STEPS = 100  # of each target in a call
PROBLEMS = {
    "mlp-32": Problem(32, (512, 512)),
    "mlp-256": Problem(256, (512, 512)),
    "small-16": Problem(16, (16, 16)),
    "cnn-32": Problem(32, (64,), (16, 16)),
}
_INPUTS = 200  # few, because ours also predicts all of them before and after


def probe_data() -> tuple[np.ndarray, np.ndarray]:
    """Images `[inputs, 28, 28, 1] float32` and targets `[targets, inputs, outputs] float32`."""
    images = data()[0][:_INPUTS]
    targets = np.random.default_rng(0).uniform(-1, 1, (NUM_TARGETS, len(images), NUM_CLASSES))
    return images, targets.astype(np.float32)
