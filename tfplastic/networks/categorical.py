"""Values as categorical distributions over bins: encoding, loss and decoding.

A head with logits over `bins` values instead of one output turns a regression into a classification. The bins
are named by their centers, the `support`: `[bins] float32`, ascending.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import gin
import numpy as np
import tensorflow as tf

from tfplastic._checks import (
    check_finite,
    check_fits_in_memory,
    check_integer,
    check_makes,
    check_positive,
    shown,
)

Encoding = Callable[[Any, Any], tf.Tensor]
"""(values `[...]`, support `[bins]`) -> probabilities `[..., bins]`."""


@gin.register(module="tfplastic.networks")
def two_hot(values: Any, support: Any) -> tf.Tensor:
    """Returns the distribution on the two bins next to a value that has the value as its mean.

    Rule: for z_i <= y <= z_(i+1), p_(i+1) = (y - z_i) / (z_(i+1) - z_i), p_i = 1 - p_(i+1), all other bins 0;
        the loss is the cross-entropy. A value outside of the support is clipped to it, so all mass is on the
        first or the last bin. It is also C51's projection of a single value (Bellemare et al. 2017).
    Defaults: none of its own. `CategoricalHead` has 51 bins, as C51; Lyle et al. 2023 give no number.
    Source: Lyle et al. 2023, "Understanding plasticity in neural networks", section 6.2: mass on the two
        neighboring bins, trained by cross-entropy.
    Departures: none.
    Works with: regressions and value-based agents whose network has a `CategoricalHead`, such as
        `rl.two_hot_dqn`; every mitigation and optimizer.

    Args:
        values: `[...]` floats; NaN gives NaN.
        support: `[bins] float32`, ascending; the spacing need not be equal.

    Returns:
        `[..., bins]` of the dtype of `support`, each distribution with sum 1.

    Raises:
        ValueError: if the support has fewer than two bins or does not ascend.

    Example:
        >>> import tfplastic as tp
        >>> tp.networks.two_hot([0.25, 7.0], [0.0, 1.0, 2.0]).numpy().tolist()
        [[0.75, 0.25, 0.0], [0.0, 0.0, 1.0]]
    """
    support = _check_support(support)
    values = tf.cast(_as_floats("values", values), support.dtype)[..., None]  # [..., 1]
    lower, upper = support[:-1], support[1:]
    # How much of each gap lies below the value: 1, ..., 1, a fraction, 0, ..., 0.
    filled = tf.clip_by_value((values - lower) / (upper - lower), 0.0, 1.0)  # [..., bins - 1]
    one = tf.ones_like(values)
    return tf.concat([one, filled], axis=-1) - tf.concat([filled, tf.zeros_like(values)], axis=-1)


@gin.register(module="tfplastic.networks")
def hl_gauss(values: Any, support: Any, sigma: float = 0.75) -> tf.Tensor:
    """Returns the integral over each bin of a Gaussian around a value, renormalized over all bins.

    Rule: p_i = [Phi((z_i + w/2 - y) / s) - Phi((z_i - w/2 - y) / s)] / Z, with Z such that they sum to 1, the
        cumulative distribution Phi of the standard normal, and s = sigma w. The bin of the center z_i
        reaches from z_i - w/2 to z_i + w/2, where w is the distance of two centers; so bins touch, and the
        outermost edges are half a width beyond the support. A value outside of the support is clipped to it
        first, so that Z is never near 0. The loss is the cross-entropy.
    Defaults: sigma 0.75 of Farebrother et al. 2024, section 3.1.
    Source: Imani and White 2018, "Improving regression performance with distributional losses"; Farebrother
        et al. 2024, "Stop regressing: training value functions via classification for scalable deep RL".
    Departures: Farebrother et al. give the edges of bins, here half a width around each center.
    Works with: regressions and value-based agents whose network has a `CategoricalHead`; every mitigation
        and optimizer.

    The mean of the bins is not quite y, by two errors. Sums in place of integrals: about
    w/pi exp(-2 pi^2 sigma^2), below 5e-6 w at `sigma` 0.75, and w/2 where `sigma` is so small that y is
    rounded to a center. Renormalization: within about 4.5 s of an end of the support it pulls y inwards, most
    at the end itself, by 0.37 w at `sigma` 0.75.

    Args:
        values: `[...]` floats; NaN gives NaN.
        support: `[bins] float32`, ascending and equally spaced: the centers of the bins.
        sigma: standard deviation in widths of a bin, above 0.

    Returns:
        `[..., bins]` of the dtype of `support`, each distribution with sum 1.

    Raises:
        ValueError: if the support has fewer than two bins or does not ascend in equal steps, or `sigma` is
            not above 0.

    Example:
        >>> import tfplastic as tp
        >>> tp.networks.hl_gauss(0.0, [-2.0, -1.0, 0.0, 1.0, 2.0]).numpy().round(3)
        array([0.022, 0.23 , 0.495, 0.23 , 0.022], dtype=float32)
    """
    check_positive("sigma", sigma)
    support = _check_support(support, equally_spaced=True)
    values = tf.cast(_as_floats("values", values), support.dtype)[..., None]  # [..., 1]
    values = tf.clip_by_value(values, support[0], support[-1])
    width = (support[-1] - support[0]) / (support.shape[0] - 1)
    edges = tf.concat([support - width / 2, support[-1:] + width / 2], axis=0)  # [bins + 1]
    cumulative = 0.5 * tf.math.erf((edges - values) / (sigma * width * math.sqrt(2.0)))  # Phi - 1/2
    mass = cumulative[..., 1:] - cumulative[..., :-1]  # [..., bins]
    return mass / (cumulative[..., -1:] - cumulative[..., :1])


def expected_value(logits: Any, support: Any) -> tf.Tensor:
    """Returns the mean of the distribution that the logits give: sum_i softmax(logits)_i z_i.

    Args:
        logits: `[..., bins]` floats.
        support: `[bins] float32`, ascending.

    Returns:
        `[...]` of the dtype of `support`, between its first and last value.

    Raises:
        ValueError: if the support has fewer than two bins or does not ascend.

    Example:
        >>> import tfplastic as tp
        >>> float(tp.networks.expected_value([0.0, 0.0], [1.0, 2.0]))
        1.5
    """
    support = _check_support(support)
    return tf.reduce_sum(tf.nn.softmax(tf.cast(logits, support.dtype)) * support, axis=-1)


def categorical_cross_entropy(
    logits: Any, values: Any, support: Any, encoding: Encoding = two_hot
) -> tf.Tensor:
    """Returns the cross-entropy of encoded values: -sum_i encoding(y)_i log softmax(logits)_i.

    No gradient flows into `values`, so they may be the bootstrapped targets of a value-based agent.

    Args:
        logits: `[..., bins]` floats.
        values: `[...]` floats, the targets of the heads.
        support: `[bins] float32`, ascending.
        encoding: `two_hot`, `hl_gauss`, or any other function of values and support.

    Returns:
        `[...]` of the dtype of `support`, at least 0; the entropy of the encoding is its minimum.

    Raises:
        ValueError: see `encoding`; or the last axis of `logits` has not one entry for each bin.

    Example:
        >>> import tfplastic as tp
        >>> loss = tp.networks.categorical_cross_entropy([[0.0, 0.0]], [0.3], [0.0, 1.0])
        >>> loss.numpy().round(4)
        array([0.6931], dtype=float32)
    """
    support = _check_support(support)
    logits = tf.cast(logits, support.dtype)
    if logits.shape[-1] != support.shape[0]:
        rule = f"must have one entry for each of the {support.shape[0]} bins on its last axis"
        raise ValueError(f"`logits` {rule}. Received: shape {logits.shape}")
    target = tf.stop_gradient(encoding(values, support))  # [..., bins]
    return tf.nn.softmax_cross_entropy_with_logits(target, logits)  # [...]


@gin.register(module="tfplastic.networks")
@dataclasses.dataclass(frozen=True)
class CategoricalHead:
    """The bins, the loss and the values of a network with a categorical head.

    A network for it is built with outputs of the shape `(outputs, num_bins)`. The same head serves a
    regression, where `values` are targets, and a value-based agent, where they are bootstrapped returns.

    Args:
        minimum: value of the first bin.
        maximum: value of the last bin, above `minimum`.
        num_bins: bins at equal distances, at least 2. Lyle et al. 2023 give no number; 51 is C51's.
        encoding: from values to distributions, `two_hot` or `hl_gauss`.

    Raises:
        ValueError: if a bound is not a finite number, they do not ascend, or there are fewer than two bins.

    Example:
        >>> import tensorflow as tf, tfplastic as tp
        >>> head = tp.networks.CategoricalHead(-1.0, 1.0, num_bins=5)
        >>> network = tp.networks.mlp((3, head.num_bins), hidden=(8,), input_shape=(4,))
        >>> logits = network(tf.zeros([2, 4]))
        >>> head.values(logits).shape, head.loss(logits, tf.zeros([2, 3])).shape
        (TensorShape([2, 3]), TensorShape([2, 3]))
    """

    minimum: float
    maximum: float
    num_bins: int = 51
    encoding: Encoding = two_hot

    def __post_init__(self) -> None:
        check_integer("num_bins", self.num_bins, minimum=2)
        for name in ("minimum", "maximum"):
            check_finite(name, getattr(self, name))
        if not self.minimum < self.maximum:
            raise ValueError(
                f"`maximum` must be above the minimum {self.minimum!r}. Received: {self.maximum!r}"
            )
        check_makes("encoding", self.encoding, tf.Tensor, "two_hot")
        check_fits_in_memory("num_bins", self.num_bins, 8 * self.num_bins)

    @property
    def support(self) -> tf.Tensor:
        """`[num_bins] float32`, the centers of the bins."""
        return tf.constant(np.linspace(self.minimum, self.maximum, self.num_bins), tf.float32)

    def loss(self, logits: Any, values: Any) -> tf.Tensor:
        """Returns `categorical_cross_entropy` of logits `[..., num_bins]` and values `[...]`, `[...]`."""
        return categorical_cross_entropy(logits, values, self.support, self.encoding)

    def values(self, logits: Any) -> tf.Tensor:
        """Returns `expected_value` of logits `[..., num_bins]`; `[...] float32`."""
        return expected_value(logits, self.support)


def _as_floats(name: str, values: Any) -> tf.Tensor:
    """Returns `values` as a tensor; raises `ValueError` if it is neither a number nor an array of numbers."""
    try:
        tensor = tf.convert_to_tensor(values)
        is_number = tensor.dtype.is_floating or tensor.dtype.is_integer
    except (TypeError, ValueError):
        is_number = False
    if not is_number:
        raise ValueError(f"`{name}` must be floats. Received: {shown(values)}")
    return tensor


def _check_support(support: Any, equally_spaced: bool = False) -> tf.Tensor:
    """Returns `support` as a tensor; checks its entries where they are known while the program is traced."""
    support = _as_floats("support", support)
    if not support.dtype.is_floating or support.shape.rank != 1 or (support.shape[0] or 0) < 2:
        received = f"{support.dtype.name} of shape {support.shape}"
        raise ValueError(f"`support` must be floats of shape [bins], at least two. Received: {received}")
    known = tf.get_static_value(support)
    if known is not None:
        gaps = np.diff(np.asarray(known, np.float64))
        rounding = 4 * float(np.finfo(known.dtype).eps) * np.abs(known).max()
        if not np.all(gaps > 0) or (equally_spaced and np.ptp(gaps) > rounding):
            rule = "must ascend in equal steps" if equally_spaced else "must ascend"
            raise ValueError(f"`support` {rule}. Received: {known.tolist()}")
    return support
