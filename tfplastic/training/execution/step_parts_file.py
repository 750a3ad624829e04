"""The file of a checkpoint with the parts of the last step's context, for mitigations that act after it."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

_FILE = "step_parts.npz"


def save_parts(directory: Path, parts: Any) -> None:
    """Writes the tensors of a nest into a checkpoint's folder, if there are any.

    Args:
        directory: folder of the checkpoint.
        parts: nest of tensors and None.
    """
    values = [each.numpy() for each in tf.nest.flatten(parts) if each is not None]
    if values:
        np.savez(directory / _FILE, *values)


def has_parts(directory: Path) -> bool:
    """Returns whether a checkpoint's folder has such a file."""
    return (directory / _FILE).exists()


def load_parts(directory: Path, specs: Any) -> Any:
    """Returns the parts that `save_parts` wrote.

    Args:
        directory: folder of the checkpoint.
        specs: nest with a tensor or a spec in the place of each.
    """
    with np.load(directory / _FILE) as arrays:
        values = iter([arrays[name] for name in arrays.files])

    def loaded(spec: Any) -> tf.Tensor | None:
        # NumPy writes a dtype that it does not know, such as bfloat16, as bytes.
        return None if spec is None else tf.constant(next(values).view(spec.dtype.as_numpy_dtype))

    return tf.nest.map_structure(loaded, specs)
