"""The weights of examples, from those of their classes."""

from collections.abc import Mapping
from typing import Any

import numpy as np


def weights_of_classes(class_weight: Mapping[int, float] | None, sample_weight: Any, targets: Any) -> Any:
    """Returns `sample_weight`, or the weight of each example's class, times it, as Keras' `fit` takes both.

    Args:
        class_weight: {class: weight}; a class that is not there counts 1. None: `sample_weight` as it is.
        sample_weight: `[n]`, or None.
        targets: labels `[n]` or `[n, 1]`, or one-hot `[n, classes]`.

    Raises:
        ValueError: `class_weight` is given and targets are not those of one output.
    """
    if class_weight is None:
        return sample_weight
    if not isinstance(class_weight, Mapping):
        raise ValueError(
            f"`class_weight` must be a dictionary, such as {{0: 2.0}}. Received: {class_weight!r}"
        )
    if targets is None or isinstance(targets, dict | list | tuple):
        raise ValueError("`class_weight` must be None but for the targets of one output. Received: weights")
    labels = np.asarray(targets)
    labels = labels.argmax(-1) if labels.ndim > 1 and labels.shape[-1] > 1 else labels.reshape(len(labels))
    weights = np.array([class_weight.get(int(label), 1.0) for label in labels], np.float32)
    return weights if sample_weight is None else weights * np.asarray(sample_weight)
