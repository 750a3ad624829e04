"""PyTorch in diagnostics_overhead.py: the quantities of plasticity codebases, by their published formulas.

The driver starts it, in the peers' environment; `diagnostics_blocks.py` says how they talk. Each task makes
one forward pass, recorded without hooks, and one decomposition a layer, whatever needs them; codebases that
make a pass and a decomposition for each metric take longer.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.diagnostics_blocks import Contender, Values, serve
from benchmarks.diagnostics_problem import BATCH_SIZE, DELTA, FLOORS, TAU, Network, Problem


class TorchContender(Contender):
    """Functions of features, parameters and gradients, in float32."""

    packages = ("torch", "numpy")

    def __init__(self, problem: Problem):
        super().__init__(problem)
        self._hidden, self._head = _layers(problem.network)
        with torch.no_grad():
            for parameter, weight in zip(self._parameters(), _arrays(problem.weights), strict=True):
                parameter.copy_(torch.from_numpy(weight))
        images = problem.images[:BATCH_SIZE].transpose(0, 3, 1, 2)
        self._images = torch.from_numpy(np.ascontiguousarray(images))
        self._labels = torch.from_numpy(problem.labels[:BATCH_SIZE]).long()
        features = [each.flatten(1) for each in self._features()]
        self._tasks: dict[str, Callable[[], Any]] = {
            "forward": self._features,
            **dict.fromkeys(FLOORS[1:], lambda: [torch.linalg.svdvals(each) for each in features]),
            "ranks": self._ranks,
            "dormant": self._dormant,
            "metrics": self._metrics,
            "together": self._together,
        }

    def block(self, task: str, repeats: int) -> Callable[[], Any]:
        return lambda: [self._tasks[task]() for _ in range(repeats)]

    def values(self, task: str) -> Values:
        return self._tasks[task]()

    def _parameters(self) -> list[nn.Parameter]:
        return [*self._hidden.parameters(), *self._head.parameters()]

    def _forward(self) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Activations of the hidden layers, `[batch, units, ...]`, and the outputs."""
        x = self._images / 255 if self.problem.network.is_q else self._images
        features = []
        for layer in self._hidden:
            x = layer(x)
            features.append(x)
        return features, self._head(x)

    def _features(self) -> list[torch.Tensor]:
        with torch.no_grad():
            return self._forward()[0]

    def _ranks(self) -> Values:
        return _by_layer(_rank_summaries, self._features())

    def _dormant(self) -> Values:
        return _by_layer(_dormant_check, self._features())

    def _metrics(self) -> Values:
        features, gradient_norm = self._backward()
        return {**_by_layer(_plasticine, features), **self._norms(gradient_norm)}

    def _together(self) -> Values:
        def everything(features: torch.Tensor) -> dict[str, float]:
            return {
                **_rank_summaries(features),
                **_dormant_check(features),
                "active_units": _active_units(features),
            }

        features, gradient_norm = self._backward()
        return {**_by_layer(everything, features), **self._norms(gradient_norm)}

    def _backward(self) -> tuple[list[torch.Tensor], float]:
        """Activations, and the norm of the loss's gradient."""
        features, outputs = self._forward()
        if self.problem.network.is_q:
            targets = nn.functional.one_hot(self._labels, outputs.shape[1])
            loss = 0.5 * (outputs - targets).square().sum(dim=1).mean()
        else:
            loss = nn.functional.cross_entropy(outputs, self._labels)
        gradients = torch.autograd.grad(loss, self._parameters())
        return [each.detach() for each in features], _norm(gradients)

    def _norms(self, gradient_norm: float) -> Values:
        with torch.no_grad():
            return {"weight_norm": [_norm(self._parameters())], "gradient_norm": [gradient_norm]}


def _rank_summaries(features: torch.Tensor) -> dict[str, float]:
    """Quantities of Dohare et al. 2024, of one layer's features."""
    matrix = features.flatten(1)
    values = torch.linalg.svdvals(matrix)
    shares = values / values.sum()
    entropy = -(shares * torch.where(shares > 0, shares, 1).log()).sum()
    tolerance = max(matrix.shape) * torch.finfo(values.dtype).eps
    return {
        "effective_rank": entropy.exp().item(),
        "approximate_rank": _least_count(values.square()),
        "srank": _least_count(values),
        "numerical_rank": (values > tolerance * values[0]).sum().item(),
    }


def _dormant_check(features: torch.Tensor) -> dict[str, float]:
    """Shares of units that score 0, and at most tau: Sokar et al. 2023."""
    scores = _scores(features)
    return {
        "dead_units": (scores == 0).float().mean().item(),
        "dormant_units": (scores <= TAU).float().mean().item(),
    }


def _plasticine(features: torch.Tensor) -> dict[str, float]:
    """Share of dormant and of active units, and the so-called stable rank there: srank."""
    return {
        "dormant_units": (_scores(features) <= TAU).float().mean().item(),
        "active_units": _active_units(features),
        "srank": _least_count(torch.linalg.svdvals(features.flatten(1))),
    }


def _scores(features: torch.Tensor) -> torch.Tensor:
    """E|h_i| over the mean of all units, with batch and positions under E."""
    means = features.abs().transpose(0, 1).flatten(1).mean(dim=1)
    return means / (means.mean() + 1e-9)


def _active_units(features: torch.Tensor) -> float:
    return (features != 0).float().mean().item()


def _least_count(values: torch.Tensor) -> int:
    """The least number of the descending `values` whose sum is 1 - delta of all."""
    sums = values.cumsum(dim=0) / values.sum()
    return int((sums < 1 - DELTA).sum().item()) + 1


def _norm(tensors: Any) -> float:
    return torch.stack([each.square().sum() for each in tensors]).sum().sqrt().item()


def _by_layer(function: Callable[[torch.Tensor], dict[str, float]], features: list[torch.Tensor]) -> Values:
    found = [function(each) for each in features]
    return {name: [each[name] for each in found] for name in found[0]}


def _layers(network: Network) -> tuple[nn.ModuleList, nn.Linear]:
    """The hidden layers, each with its ReLU, and the last one."""
    hidden = nn.ModuleList()
    height, width = network.image_shape[:2]
    for shape, stride in zip(network.shapes(), network.strides, strict=False):
        size, channels, filters = shape[0], shape[2], shape[3]
        padding = [0, 0, 0, 0]  # left, right, top, bottom
        if network.is_same:  # TensorFlow puts the odd pixel behind
            missing = [max((-(-each // stride) - 1) * stride + size - each, 0) for each in (width, height)]
            padding = [part for each in missing for part in (each // 2, each - each // 2)]
            height, width = -(-height // stride), -(-width // stride)
        pad = [nn.ZeroPad2d(tuple(padding))] if any(padding) else []
        hidden.append(nn.Sequential(*pad, nn.Conv2d(channels, filters, size, stride), nn.ReLU()))
    *dense, last = [shape for shape in network.shapes() if len(shape) == 2]
    for inputs, outputs in dense:
        hidden.append(nn.Sequential(nn.Flatten(), nn.Linear(inputs, outputs), nn.ReLU()))
    return hidden, nn.Linear(*last)


def _arrays(weights: list[np.ndarray]) -> list[np.ndarray]:
    """The problem's weights as PyTorch lays them out: channels before positions, outputs before inputs."""
    result, channels = [], None
    for array in weights:
        if array.ndim == 4:
            channels = array.shape[3]
            array = array.transpose(3, 2, 0, 1)
        elif array.ndim == 2 and channels is not None:  # what it takes is flattened in another order
            side = int((array.shape[0] // channels) ** 0.5)
            array = array.reshape(side, side, channels, -1).transpose(3, 2, 0, 1)
            array, channels = array.reshape(len(array), -1), None
        elif array.ndim == 2:
            array = array.T
        result.append(np.ascontiguousarray(array))
    return result


if __name__ == "__main__":
    torch.set_num_threads(1)
    serve(TorchContender)
