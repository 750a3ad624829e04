"""Plasticity by one call."""

from typing import Any

from tfplastic.probing._measuring.cache import ProbeCache
from tfplastic.probing.probe import Probe
from tfplastic.probing.result import ProbeResult

_CACHE = ProbeCache()


def measure_plasticity(model: Any, inputs: Any, optimizer: Any = None, **settings: Any) -> ProbeResult:
    """Measures how well a network can still fit new targets, compared with fresh networks like it.

    It is `Probe(**settings).measure(model, inputs, optimizer)`, where calls share their common work: a second
    call for the same architecture, inputs and settings trains no fresh network again.

    Args:
        model: a Keras model, of Keras 2 or Keras 3, or a TF-Agents network; built. It is not changed.
        inputs: arrays `[n, ...]`, a `tf.data.Dataset` or another iterable of batches, or a replay buffer.
        optimizer: a Keras optimizer, whose settings are copied; None for the one that the model is compiled
            with.
        **settings: arguments of `Probe`, such as
            `num_targets=10, num_steps=2000, batch_size=32, baselines=8, seed=0`.

    Returns:
        Numbers, curves and a verdict; `print` it.

    Raises:
        ValueError: see `Probe`.

    Example:
        >>> import numpy as np, tensorflow as tf, tfplastic as tp
        >>> model = tp.networks.mlp(1, hidden=(8,), input_shape=(3,))
        >>> inputs = np.random.default_rng(0).normal(size=[20, 3]).astype(np.float32)
        >>> result = tp.probing.measure_plasticity(
        ...     model, inputs, tf.keras.optimizers.Adam(1e-2), num_targets=2, num_steps=10, baselines=2
        ... )
        >>> result.verdict in ('as fresh', 'undecided')
        True
    """
    return Probe(**{"cache": _CACHE, **settings}).measure(model, inputs, optimizer)
