"""The three networks of diagnostics_overhead.py with their data, as arrays that every framework reads."""

import dataclasses
import pathlib
from typing import Any

import numpy as np

BATCH_SIZE = 512
LEARNING_RATE = 1e-3
TAU = 0.025  # of dormant units
DELTA = 0.01  # what ranks leave out
TASKS = ("ranks", "dormant", "metrics", "together")
"""Tasks that are compared with peers.

- `ranks`: of the features of every hidden layer, the summaries in loss-of-plasticity (Dohare et al. 2024):
  effective rank, approximate ranks by squared and by plain singular values, numerical rank.
- `dormant`: the check in timoklein/redo (Sokar et al. 2023): dead and dormant units of every hidden layer.
- `metrics`: those of Plasticine: dormant units, share of active units and srank of every hidden layer, norms
  of all weights and of the loss's gradient.
- `together`: all of these in one go.
"""
FLOORS = ("forward", "spectra", "spectra_float32")
"""Necessary parts of the tasks, alone.

- `forward`: the activations of the hidden layers.
- `spectra`: singular values of activations that are there: ours from Gram matrices in float64, the peer's by
  its decomposition in float32.
- `spectra_float32`: ours from Gram matrices in float32, which lose singular values below about 1e-3 of the
  largest; the peer's as before.
"""

_EXAMPLES = 1024


@dataclasses.dataclass(frozen=True)
class Network:
    """A network with ReLU after each layer but the last.

    Attributes:
        image_shape: shape of an input.
        filters: channels of the convolutions.
        kernel_sizes: sizes of the convolutions' kernels.
        strides: strides of the convolutions.
        is_same: whether convolutions pad as `'same'` does in TensorFlow.
        hidden: units of the dense layers after them.
        outputs: units of the last layer.
        is_q: whether inputs are bytes, divided by 255 in the network, and the loss is squared.
    """

    image_shape: tuple[int, ...]
    filters: tuple[int, ...] = ()
    kernel_sizes: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    is_same: bool = True
    hidden: tuple[int, ...] = ()
    outputs: int = 10
    is_q: bool = False

    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the kernels, `[height, width, in, out]` or `[in, out]`."""
        height, width, channels = self.image_shape
        kernels: list[tuple[int, ...]] = []
        for filters, size, stride in zip(self.filters, self.kernel_sizes, self.strides, strict=True):
            kernels.append((size, size, channels, filters))
            height, width = (self._pixels(each, size, stride) for each in (height, width))
            channels = filters
        units = (height * width * channels, *self.hidden, self.outputs)
        return kernels + list(zip(units[:-1], units[1:], strict=True))

    def _pixels(self, pixels: int, size: int, stride: int) -> int:
        return -(-pixels // stride) if self.is_same else (pixels - size) // stride + 1


NETWORKS = {
    "mlp": Network((28, 28, 1), hidden=(512, 512)),
    "cnn": Network((32, 32, 3), (16, 16), (5, 3), (2, 2), hidden=(64,)),
    "nature": Network(
        (84, 84, 4), (32, 64, 64), (8, 4, 3), (4, 2, 1), is_same=False, hidden=(512,), outputs=18, is_q=True
    ),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """A network with weights and data.

    Attributes:
        network: its shape.
        images: `[examples, *image_shape]`, float32, or uint8 where the network divides by 255.
        labels: `[examples] int32`: classes of the cross-entropy; for a Q-network the output whose target is
            1, the others' being 0, in half the squared error, summed over outputs.
        weights: kernel and bias of each layer in turn, float32.
    """

    network: Network
    images: np.ndarray
    labels: np.ndarray
    weights: list[np.ndarray]


def make(name: str) -> Problem:
    """The problem of that name, the same at each call; weights as He et al. 2015 draw them, small biases.

    Images are noise around the mean of their class, which gives spectra outlying values, as trained networks
    have.
    """
    network, generator = NETWORKS[name], np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return generator.standard_normal(shape, np.float32)

    weights = []
    for shape in network.shapes():
        weights.append(normal(*shape) * np.float32(np.sqrt(2 / np.prod(shape[:-1]))))
        weights.append(normal(shape[-1]) * np.float32(0.01))
    labels = generator.integers(network.outputs, size=_EXAMPLES, dtype=np.int32)
    images = 0.5 * normal(network.outputs, *network.image_shape)[labels]
    images += normal(_EXAMPLES, *network.image_shape)
    if network.is_q:
        images = np.clip(128 + 48 * images, 0, 255).astype(np.uint8)
    return Problem(network, images, labels, weights)


def write(problem: Problem, path: pathlib.Path) -> None:
    """Writes the arrays of a problem for `read`."""
    arrays: dict[str, Any] = {f"weight_{index}": weight for index, weight in enumerate(problem.weights)}
    np.savez(path, **arrays, images=problem.images, labels=problem.labels)


def read(name: str, path: str) -> Problem:
    """The problem of that name from where `write` put it."""
    with np.load(path) as arrays:
        weights = [arrays[f"weight_{index}"] for index in range(len(arrays.files) - 2)]
        return Problem(NETWORKS[name], arrays["images"], arrays["labels"], weights)
