"""The dtype in which a task's networks compute, as one setting of a run."""

import contextlib
import pathlib
from collections.abc import Iterator

import tensorflow as tf

from tfplastic._keras import keras

FLOAT32, BFLOAT16 = COMPUTES = ("float32", "bfloat16")
_PROCESSOR = pathlib.Path("/proc/cpuinfo")
_FAST = ("amx_bf16", "avx512_bf16")


@contextlib.contextmanager
def computing_in(compute: str) -> Iterator[None]:
    """While open, layers of new networks compute in `compute`, with weights in float32.

    Args:
        compute: `'bfloat16'`; or `'float32'`, with which Keras' global policy stays.
    """
    before = keras.mixed_precision.global_policy()
    if compute == BFLOAT16:
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)


def check_outputs(model: keras.Model, compute: str) -> None:
    """Raises `ValueError` if a network that was made to compute in bfloat16 has outputs in it as well."""
    dtypes = {each.dtype for each in tf.nest.flatten(getattr(model, "output", ()))}
    if compute == BFLOAT16 and any(tf.as_dtype(each) != tf.float32 for each in dtypes):
        rule = "must have outputs in float32 where train.compute is 'bfloat16'"
        action = "Give its last layer dtype='float32'"
        raise ValueError(f"`network` {rule}. Received: {model.name!r} with others. {action}")


def slowness(compute: str) -> str:
    """Returns a warning where `compute` is bfloat16 and the processor has no instructions for it, else ''."""
    if compute != BFLOAT16 or tf.config.get_visible_devices("GPU") or _has_instructions():
        return ""
    return (
        "train.compute = 'bfloat16' is slower than 'float32' on this processor, which has neither AMX nor "
        "AVX512-BF16; set train.compute = 'float32' for speed"
    )


def _has_instructions() -> bool:
    try:
        flags = _PROCESSOR.read_text(encoding="utf-8").split()
    except OSError:  # not Linux
        return False
    return any(flag in flags for flag in _FAST)
