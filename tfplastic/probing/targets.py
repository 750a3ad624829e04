"""Targets that a network is asked to fit when it is probed."""

import abc
import dataclasses
import numbers
from collections.abc import Callable
from typing import Any, NamedTuple

import gin
import numpy as np

from tfplastic import seeds
from tfplastic._checks import check_finite, check_one_of, check_positive

OFFSETS = ("mean", "mean_per_output")


class TargetSource(NamedTuple):
    """Source of targets.

    Attributes:
        count: number of targets to make.
        seed: seed of the probe.
        num_examples: n, of the inputs.
        num_outputs: number of fitted outputs of the network.
        fresh_predictions: predictions of the network that is freshly initialized for target number k,
            `[n, outputs, ...] float32`; a function of k.
    """

    count: int
    seed: int
    num_examples: int
    num_outputs: int
    fresh_predictions: Callable[[int], np.ndarray]


class Targets(abc.ABC):
    """A distribution of target functions on the inputs."""

    @abc.abstractmethod
    def make(self, source: TargetSource) -> np.ndarray:
        """Returns `[targets, n, ...]`: float32 values, or int32 labels."""

    def offset(self, predictions: np.ndarray) -> np.ndarray:
        """Returns the offset of all targets for a network that predicted `[n, ...]`; 0 here."""
        del predictions
        return np.zeros((), np.float32)


@gin.register(module="tfplastic.probing")
@dataclasses.dataclass(frozen=True)
class SineTargets(Targets):
    """g(x) = a + sin(scale f(x; omega)), omega a fresh initialization, a the network's own mean prediction.

    Lyle et al. 2023, section 3.1. The scale makes neighboring inputs unrelated, so the variance is about
    1/2; a differs between networks, and the variance does not.

    Args:
        scale: above 0. 1e5 in the paper.
        offset_from: `'mean'`: a is one number, the mean over inputs and outputs; `'mean_per_output'`: one for
            each output; or a number, the same for all networks. The paper says "mean prediction" of a
            function with one value, and nothing for several.

    Raises:
        ValueError: if an argument is none of these.

    Example:
        >>> import numpy as np, tfplastic as tp
        >>> targets = tp.probing.SineTargets(offset_from='mean_per_output')
        >>> targets.offset(np.array([[1.0, 0.0], [3.0, 0.0]], np.float32)).tolist()
        [2.0, 0.0]
    """

    scale: float = 1e5
    offset_from: str | float = "mean"

    def __post_init__(self) -> None:
        check_positive("scale", self.scale)
        if isinstance(self.offset_from, numbers.Real):
            check_finite("offset_from", self.offset_from)
        else:
            check_one_of("offset_from", self.offset_from, (*OFFSETS, "a number"))

    def make(self, source: TargetSource) -> np.ndarray:
        # In float64: the product needs all digits that the prediction has.
        angles = (self.scale * source.fresh_predictions(k).astype(np.float64) for k in range(source.count))
        return np.stack([np.sin(each).astype(np.float32) for each in angles])

    def offset(self, predictions: np.ndarray) -> np.ndarray:
        if isinstance(self.offset_from, numbers.Real):
            return np.asarray(self.offset_from, np.float32)
        axis = 0 if self.offset_from == "mean_per_output" else None
        return np.asarray(np.mean(predictions, axis=axis, dtype=np.float64), np.float32)


@gin.register(module="tfplastic.probing")
@dataclasses.dataclass(frozen=True)
class RandomNetworkTargets(Targets):
    """g(x) = f(x; omega), omega a fresh initialization: the target-fitting capacity of Lyle et al. 2022.

    Smooth functions, of the variance that untrained networks have.

    Example:
        >>> import tfplastic as tp
        >>> tp.probing.RandomNetworkTargets()
        RandomNetworkTargets()
    """

    def make(self, source: TargetSource) -> np.ndarray:
        return np.stack([source.fresh_predictions(k) for k in range(source.count)])


@gin.register(module="tfplastic.probing")
@dataclasses.dataclass(frozen=True)
class RandomLabels(Targets):
    """Uniform labels of {0, ..., outputs - 1}, drawn for each input: for `Classification` heads.

    Example:
        >>> import tfplastic as tp
        >>> tp.probing.RandomLabels()
        RandomLabels()
    """

    def make(self, source: TargetSource) -> np.ndarray:
        labels = [
            seeds.generator(seeds.derive(source.seed, "labels", k)).integers(
                source.num_outputs, size=source.num_examples, dtype=np.int32
            )
            for k in range(source.count)
        ]
        return np.stack(labels)


@dataclasses.dataclass(frozen=True, eq=False)
class GivenTargets(Targets):
    """Targets given as an array.

    Args:
        values: `[targets, n, ...]`: floats for a regression, of the shape of the predictions after their
            first axis; integers for a classification. Their length is the number of targets.

    Raises:
        ValueError: if they have fewer than two axes or are not finite; from a probe, if their second axis is
            not that of the inputs.

    Example:
        >>> import numpy as np, tfplastic as tp
        >>> tp.probing.GivenTargets(np.zeros([3, 100, 1])).values.dtype.name
        'float32'
    """

    values: Any

    def __post_init__(self) -> None:
        values = np.asarray(self.values)
        if values.ndim < 2 or values.dtype.kind not in "iuf":
            received = f"{values.dtype} of shape {list(values.shape)}"
            raise ValueError(f"`targets` must be numbers of shape [targets, n, ...]. Received: {received}")
        if not np.all(np.isfinite(values)):
            raise ValueError("`targets` must be finite. Received: some that are not")
        dtype = np.float32 if values.dtype.kind == "f" else np.int32
        object.__setattr__(self, "values", values.astype(dtype))

    def make(self, source: TargetSource) -> np.ndarray:
        if self.values.shape[1] != source.num_examples:
            rule = f"must be of shape [targets, {source.num_examples}, ...], with one entry for each input"
            raise ValueError(f"`targets` {rule}. Received: shape {list(self.values.shape)}")
        return self.values
