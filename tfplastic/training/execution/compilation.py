"""Which compiler makes the program of gradient steps: TensorFlow's graph or XLA."""

from tfplastic._checks import check_one_of
from tfplastic._keras import keras

COMPILERS = ("graph", "xla")
AUTO = "auto"

# (kind of task, kind of network, device) -> compiler, the faster one in benchmarks/train_loop.py. On one core
# of an AMD EPYC a gradient step took, in CPU milliseconds as graph and by XLA:
#   supervised, dense (784-256-256-10, batch 16)       1.0, 0.58
#   supervised, convolutional (16 channels, stride 2)  1.6, 4.6: XLA's convolutions are slow in loops
#   mdp, dense (2 x 512, batch 32)                     5.5, 4.5
#   mdp, convolutional                                 3.4, 9.5
# No GPU has been measured: what is faster on a CPU stands for it.
_RULES = {
    ("supervised", "dense", "CPU"): "xla",
    ("supervised", "convolutional", "CPU"): "graph",
    ("mdp", "dense", "CPU"): "xla",
    ("mdp", "convolutional", "CPU"): "graph",
    ("supervised", "dense", "GPU"): "xla",
    ("supervised", "convolutional", "GPU"): "graph",
    ("mdp", "dense", "GPU"): "xla",
    ("mdp", "convolutional", "GPU"): "graph",
}

# Where each step draws a number for each weight, XLA's Philox takes three times as long as the graph's, more
# than XLA saves elsewhere (supervised, dense):
#   UPGD (784-300-150-10, batch 1)                     4.0, 6.4
#   shrink and perturb (784-100-100-10, batch 16)      1.2, 1.9
#   resampled L2 Init (the same)                       1.4, 2.2
# The same holds of sorting and of singular values (the same network):
#   L2-ER                                              1.1, 12
_WITH_NOISE = "graph"


def choose_compiler(
    compiler: str, task_kind: str, model: keras.Model, device: str, draws_noise: bool = False
) -> str:
    """Returns `compiler`, or for `'auto'` the one that the committed rules give.

    A rule, and no timing at the start of a run, because the two round differently: which one it is
    belongs to the run.

    Args:
        compiler: `'auto'`, `'graph'` or `'xla'`.
        task_kind: `'supervised'` or `'mdp'`.
        model: a network with a convolution, at any depth of nesting, counts as convolutional.
        device: `'CPU'` or `'GPU'`.
        draws_noise: whether each step draws a random number for each weight.

    Returns:
        `'graph'` or `'xla'`.

    Raises:
        ValueError: if an argument is none of these.

    Example:
        >>> import tfplastic as tp
        >>> from tfplastic.training.execution.compilation import choose_compiler
        >>> choose_compiler('auto', 'supervised', tp.networks.mlp(10), 'CPU')
        'xla'
    """
    check_one_of("compiler", compiler, (AUTO, *COMPILERS))
    if compiler != AUTO:
        return compiler
    check_one_of("task_kind", task_kind, sorted({kind for kind, _, _ in _RULES}))
    check_one_of("device", device, sorted({device for _, _, device in _RULES}))
    if draws_noise and device == "CPU":
        return _WITH_NOISE
    return _RULES[task_kind, "convolutional" if is_convolutional(model) else "dense", device]


def is_convolutional(model: keras.Model) -> bool:
    """Returns whether a network has a convolution, at any depth of nesting."""
    return any("Conv" in type(layer).__name__ for layer in model._flatten_layers())
