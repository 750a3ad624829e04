"""The meaning of a network's outputs: how they are fitted to a target and which error is reported."""

import abc
import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import gin
import numpy as np
import tensorflow as tf

from tfplastic._checks import check_instance
from tfplastic.networks.categorical import CategoricalHead


@dataclasses.dataclass(frozen=True)
class Head(abc.ABC):
    """The outputs of a network as predictions, the loss that fits them and the error that is reported.

    Args:
        outputs: indices of the outputs to fit, on the first axis after the batch; None for all.
    """

    outputs: Sequence[int] | None = None

    def __post_init__(self) -> None:
        if self.outputs is not None:
            object.__setattr__(self, "outputs", _check_outputs(self.outputs))

    def chosen(self, outputs: tf.Tensor) -> tf.Tensor:
        """Returns the outputs that are fitted, `[batch, chosen, ...]` of `[batch, outputs, ...]`."""
        if self.outputs is None:
            return outputs
        count = outputs.shape[1] if (outputs.shape.rank or 0) > 1 else 0
        if max(self.outputs) >= count:
            raise ValueError(f"`outputs` must be places below {count}. Received: {list(self.outputs)}")
        return tf.gather(outputs, list(self.outputs), axis=1)

    @abc.abstractmethod
    def predictions(self, outputs: tf.Tensor) -> tf.Tensor:
        """Returns the part of the outputs to compare with targets, `[batch, ...] float32`."""

    @abc.abstractmethod
    def loss(self, outputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Returns the loss to minimize, `[]`; traceable."""

    @abc.abstractmethod
    def errors(self, predictions: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Returns the error to report of each example, `[batch]`; traceable."""

    @abc.abstractmethod
    def check_targets(self, targets: np.ndarray, predictions: np.ndarray) -> None:
        """Raises `ValueError` unless targets `[targets, n, ...]` go with predictions `[n, ...]`."""

    @abc.abstractmethod
    def constant_error(self, targets: np.ndarray) -> float:
        """Returns the b of Eq. 5: the error of the best constant prediction."""

    def prepared(self, targets: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        """Returns targets `[targets, n, ...]` as losses take them, for a network that predicts `[n, ...]`."""
        del predictions
        return targets

    def warning(self, targets: np.ndarray) -> str:
        """Returns one line about targets that no such head can fit; else empty."""
        del targets
        return ""


@gin.register(module="tfplastic.probing")
@dataclasses.dataclass(frozen=True)
class Regression(Head):
    """Outputs `[batch, outputs]` are predictions; loss and error are mean_j (f_j(x) - g_j(x))^2.

    Eq. 4 of Lyle et al. 2023. It does not say whether all outputs are fitted or one; here all, unless chosen.

    Args:
        outputs: see `Head`.

    Example:
        >>> import tensorflow as tf, tfplastic as tp
        >>> head = tp.probing.Regression(outputs=[0])
        >>> outputs = head.chosen(tf.constant([[1.0, 5.0], [3.0, 5.0]]))
        >>> float(head.loss(outputs, tf.zeros([2, 1])))
        5.0
    """

    def predictions(self, outputs: tf.Tensor) -> tf.Tensor:
        return tf.cast(outputs, tf.float32)

    def loss(self, outputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(self.errors(self.predictions(outputs), targets))

    def errors(self, predictions: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        return _mean_square(predictions - targets)

    def check_targets(self, targets: np.ndarray, predictions: np.ndarray) -> None:
        _check_values(targets, predictions)

    def constant_error(self, targets: np.ndarray) -> float:
        """Returns the variance of the targets, the mean over outputs."""
        return _variance(targets)


@gin.register(module="tfplastic.probing")
@dataclasses.dataclass(frozen=True)
class TwoHot(Head):
    """Outputs `[batch, outputs, bins]` are logits over bins of values; targets are encoded, as in training.

    The loss is the cross-entropy with the encoded target, the error the squared difference of the expected
    value, so that numbers are those of a regression. Lyle et al. 2023 probe such networks and do not say how.

    Args:
        outputs: see `Head`.
        head: bins and encoding of the network. Targets beyond its bins cannot be fitted; a warning says so.

    Example:
        >>> import tensorflow as tf, tfplastic as tp
        >>> head = tp.probing.TwoHot(head=tp.networks.CategoricalHead(-2.0, 2.0, num_bins=5))
        >>> predictions = head.predictions(tf.zeros([3, 1, 5]))
        >>> head.errors(predictions, tf.ones([3, 1])).numpy().tolist()
        [1.0, 1.0, 1.0]
    """

    head: CategoricalHead = dataclasses.field(default_factory=lambda: CategoricalHead(-2.0, 2.0))

    def __post_init__(self) -> None:
        super().__post_init__()
        check_instance("head", self.head, CategoricalHead, "CategoricalHead(-2.0, 2.0)")

    def predictions(self, outputs: tf.Tensor) -> tf.Tensor:
        if outputs.shape.rank != 3 or outputs.shape[-1] != self.head.num_bins:
            rule = f"must have outputs of shape [batch, outputs, {self.head.num_bins}] for this head"
            raise ValueError(f"`model` {rule}. Received: shape {outputs.shape.as_list()}")
        return self.head.values(outputs)

    def loss(self, outputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(self.head.loss(outputs, targets))

    def errors(self, predictions: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        return _mean_square(predictions - targets)

    def check_targets(self, targets: np.ndarray, predictions: np.ndarray) -> None:
        _check_values(targets, predictions)

    def constant_error(self, targets: np.ndarray) -> float:
        """Returns the variance of the targets, the mean over outputs."""
        return _variance(targets)

    def warning(self, targets: np.ndarray) -> str:
        low, high = float(np.min(targets)), float(np.max(targets))
        if self.head.minimum <= low and high <= self.head.maximum:
            return ""
        bins = f"bins of [{self.head.minimum:g}, {self.head.maximum:g}]"
        return f"targets of [{low:.3g}, {high:.3g}] do not fit into {bins}, which no training can mend"


@gin.register(module="tfplastic.probing")
@dataclasses.dataclass(frozen=True)
class Classification(Head):
    """Outputs `[batch, classes]` are logits; loss and error are the cross-entropy with integer labels.

    Args:
        outputs: see `Head`; the classes that there are.

    Example:
        >>> import tensorflow as tf, tfplastic as tp
        >>> head = tp.probing.Classification()
        >>> round(float(head.loss(tf.zeros([3, 4]), tf.constant([0, 1, 2]))), 4)
        1.3863
    """

    def predictions(self, outputs: tf.Tensor) -> tf.Tensor:
        return tf.cast(outputs, tf.float32)

    def loss(self, outputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(self.errors(self.predictions(outputs), targets))

    def errors(self, predictions: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        return tf.nn.sparse_softmax_cross_entropy_with_logits(targets, predictions)

    def check_targets(self, targets: np.ndarray, predictions: np.ndarray) -> None:
        classes = predictions.shape[-1]
        if targets.dtype.kind != "i" or targets.ndim != 2 or predictions.ndim != 2:
            received = f"{targets.dtype} of shape {list(targets.shape)}"
            raise ValueError(
                f"`targets` must be labels of shape [targets, n] for a classification. Received: {received}"
            )
        if targets.min() < 0 or targets.max() >= classes:
            received = f"labels from {targets.min()} to {targets.max()}"
            raise ValueError(f"`targets` must be labels below {classes}, the outputs. Received: {received}")

    def constant_error(self, targets: np.ndarray) -> float:
        """Returns the entropy of the labels' frequencies, in nats."""
        _, counts = np.unique(targets, return_counts=True)
        frequencies = counts / counts.sum()
        return float(-np.sum(frequencies * np.log(frequencies)))


def _check_outputs(outputs: Any) -> tuple[int, ...]:
    places = tuple(outputs) if isinstance(outputs, Iterable) else ()
    if not places or any(isinstance(each, bool) or not isinstance(each, int) or each < 0 for each in places):
        raise ValueError(
            f"`outputs` must be None or integers of at least 0, at least one. Received: {outputs!r}"
        )
    return places


def _check_values(targets: np.ndarray, predictions: np.ndarray) -> None:
    if targets.dtype.kind != "f" or targets.shape[1:] != predictions.shape:
        expected = ", ".join(map(str, ["targets", *predictions.shape]))
        received = f"{targets.dtype} of shape {list(targets.shape)}"
        raise ValueError(
            f"`targets` must be floats of shape [{expected}] for a regression. Received: {received}"
        )


def _mean_square(differences: tf.Tensor) -> tf.Tensor:
    squares = tf.square(differences)
    return tf.reduce_mean(squares, axis=list(range(1, squares.shape.rank)))


def _variance(targets: np.ndarray) -> float:
    return float(np.mean(np.var(targets.astype(np.float64), axis=0)))
