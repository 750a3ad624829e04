"""TF-Agents imported without its notices, and repaired for numpy 2."""

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

_NARROW = (tf.uint8, tf.int8, tf.uint16, tf.int16)


@contextlib.contextmanager
def notices_held_back() -> Iterator[None]:
    """Imports TF-Agents within the block without notices that users cannot act on.

    They are gym's notice that it is unmaintained, and warnings of distutils' version classes.
    """
    with contextlib.suppress(ImportError):
        from gym_notices import notices

        notices.notices.clear()  # gym prints from this table while it is imported
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "distutils Version classes", DeprecationWarning)
        yield


def mend() -> None:
    """Makes TF-Agents' own networks work with our environment's spec, or another one with small integers.

    TF-Agents builds a network on a random observation, whose upper bound 255 + 1 is 0 in uint8 under numpy 2,
    and takes `int()` of an array with one element for the number of actions, an error since numpy 2.4.
    Calling this again changes nothing.
    """
    from tf_agents.networks import categorical_projection_network
    from tf_agents.specs import tensor_spec

    categorical_projection_network.__dict__["int"] = _as_integer
    theirs = tensor_spec.sample_bounded_spec
    if theirs.__module__ == __name__:
        return

    def sample_bounded_spec(spec: Any, seed: Any = None, outer_dims: Any = None) -> tf.Tensor:
        """Returns the counterpart of TF-Agents' function, with small integers drawn as int32."""
        if spec.dtype not in _NARROW:
            return theirs(spec, seed, outer_dims)
        low, high = np.asarray(spec.minimum, np.int32), np.asarray(spec.maximum, np.int32)
        make_spec: Any = tensor_spec.BoundedTensorSpec  # without types
        wide = make_spec(spec.shape, tf.int32, low, high)
        return tf.cast(theirs(wide, seed, outer_dims), spec.dtype)

    tensor_spec.__dict__["sample_bounded_spec"] = sample_bounded_spec


def _as_integer(value: Any) -> int:
    return int(np.asarray(value).item())
