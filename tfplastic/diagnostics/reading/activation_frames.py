"""Which activation function of a library made an operation, by the stack that TensorFlow keeps with it.

A model may hold `tf.nn.gelu` under any name, so that replacing the libraries' functions would miss it.
"""

from collections.abc import Hashable
from typing import Any

# Where activation functions are defined. Their wrappers come first in a stack, so the outermost one counts.
_FILES = (
    "keras/src/activations/activations.py",
    "keras/src/ops/nn.py",
    "keras/src/backend/tensorflow/nn.py",
    "tf_keras/src/activations.py",
    "tf_keras/src/backend.py",
    "tensorflow/python/ops/gen_math_ops.py",
    "tensorflow/python/ops/gen_nn_ops.py",
    "tensorflow/python/ops/math_ops.py",
    "tensorflow/python/ops/nn_impl.py",
    "tensorflow/python/ops/nn_ops.py",
)
_NAMES = frozenset(
    {
        *("celu", "crelu", "elu", "exponential", "gelu", "glu", "hard_shrink", "hard_sigmoid", "hard_silu"),
        *("hard_tanh", "leaky_relu", "log_sigmoid", "mish", "relu", "relu6", "selu", "sigmoid", "silu"),
        *("soft_shrink", "softplus", "softsign", "sparse_plus", "sparse_sigmoid", "squareplus", "swish"),
        *("tanh", "tanh_shrink", "threshold"),
    }
)
_METHODS = ("call", "static_call")  # of Keras 3's operations, whose function comes below
_RENAMED = {"swish": "silu", "swish_impl": "silu"}


def function_call(operation: Any) -> tuple[str, Hashable] | None:
    """Returns the name and call of the activation function that made an operation; None without.

    Operations of one call have the same place. So have those of two calls that a loop of Python makes.
    """
    frames = [(each.filename.replace("\\", "/"), each.name, each.lineno) for each in operation.traceback]
    is_library = [file.endswith(_FILES) for file, _, _ in frames]
    named = [
        position for position, (_, name, _) in enumerate(frames) if is_library[position] and name in _NAMES
    ]
    methods = [
        position
        for position, (file, name, _) in enumerate(frames)
        if name in _METHODS and is_library[position] and "/keras/src/" in file
    ]
    if not named:
        return None
    outermost = min([named[0], *methods])
    name = frames[named[0]][1] or ""
    return _RENAMED.get(name, name), (*frames[:outermost], frames[outermost][:2])
