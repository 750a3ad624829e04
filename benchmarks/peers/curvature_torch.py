"""Plain PyTorch in curvature.py: double backward by loops, and torch.func's forward over reverse.

The driver starts it, in the peers' environment; `curvature_blocks.py` says how they talk.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.func import functional_call, grad, jvp, vmap

from benchmarks.curvature_blocks import Contender, ritz, serve, settings
from benchmarks.curvature_problem import CONVOLUTION_STRIDES, Problem
from benchmarks.peers.curvature_arpack import largest


class TorchContender(Contender):
    """The problem in PyTorch; its native vectors are flat, in the order of `Module.parameters()`."""

    def __init__(self, problem: Problem, vectors: np.ndarray):
        super().__init__(problem, vectors)
        self.device = torch.device("cuda" if settings()["device"] == "gpu" else "cpu")
        layers = []
        for kernel in problem.weights[::2]:
            if kernel.ndim == 4:
                height, width, channels, filters = kernel.shape
                stride = CONVOLUTION_STRIDES[len(layers) // 2]
                layers += [nn.Conv2d(channels, filters, (height, width), stride), nn.ReLU()]
            else:
                layers += [nn.Linear(*kernel.shape), nn.ReLU()]
        first = next(index for index, layer in enumerate(layers) if isinstance(layer, nn.Linear))
        layers.insert(first, nn.Flatten())
        self.model = nn.Sequential(*layers[:-1]).to(self.device)
        self.params = list(self.model.parameters())
        with torch.no_grad():
            for parameter, weight in zip(self.params, self._arrays(problem.weights), strict=True):
                parameter.copy_(torch.from_numpy(weight))
        x = problem.x.transpose(0, 3, 1, 2) if problem.x.ndim == 4 else problem.x
        self.x = torch.from_numpy(np.ascontiguousarray(x)).to(self.device)
        self.y = torch.from_numpy(problem.y).to(self.device)
        self.criterion = nn.CrossEntropyLoss() if problem.y.dtype.kind == "i" else nn.MSELoss()

    def to_native(self, vector: np.ndarray) -> torch.Tensor:
        arrays = self._arrays(self.problem.split(vector))
        return torch.from_numpy(np.concatenate([array.ravel() for array in arrays])).to(self.device)

    def from_native(self, vector: Any) -> np.ndarray:
        # Where each entry came from says where it goes.
        places = self._arrays(self.problem.split(np.arange(self.problem.size)))
        result = np.empty(self.problem.size, np.float32)
        result[np.concatenate([place.ravel() for place in places])] = torch.as_tensor(vector).cpu().numpy()
        return result

    def block(self, vectors: list[Any]) -> torch.Tensor:
        return torch.stack(vectors)

    def last(self, block: Any) -> torch.Tensor:
        return block[-1]

    def wait(self, result: Any) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def split(self, vector: torch.Tensor) -> list[torch.Tensor]:
        """Cuts a native vector into tensors of the parameters' shapes."""
        parts = vector.split([parameter.numel() for parameter in self.params])
        return [part.view_as(parameter) for part, parameter in zip(parts, self.params, strict=True)]

    def loss(self) -> torch.Tensor:
        return self.criterion(self.model(self.x), self.y)

    def _arrays(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        """Arrays of the shapes of the problem's weights, as PyTorch lays them out."""
        result, channels = [], None
        for array in arrays:
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


class DoubleBackward(TorchContender):
    """Gradients of gradients; a Lanczos loop that does not reorthogonalize; ARPACK through SciPy."""

    def __init__(self, problem: Problem, vectors: np.ndarray):
        super().__init__(problem, vectors)
        self._start = torch.randn(problem.size, generator=torch.Generator().manual_seed(0)).to(self.device)

    def gradient(self) -> Any:
        return torch.autograd.grad(self.loss(), self.params)

    def hvp(self) -> torch.Tensor:
        return self._product(self._recorded(), self.vector)

    def hvp_retained(self) -> torch.Tensor:
        return self._product(self._graph, self.vector)

    def matmat(self, block: torch.Tensor) -> torch.Tensor:
        graph = self._recorded()
        return torch.stack([self._product(graph, vector) for vector in block])

    def start(self) -> torch.Tensor:
        return self._start

    def density(self, num_steps: int) -> tuple[np.ndarray, np.ndarray]:
        graph = self._recorded()
        alpha, beta = [], []
        previous, vector = torch.zeros_like(self._start), self._start / self._start.norm()
        for _ in range(num_steps):
            rest = self._product(graph, vector)
            if beta:
                rest.sub_(previous, alpha=beta[-1])
            alpha.append(torch.dot(rest, vector).item())
            rest.sub_(vector, alpha=alpha[-1])
            beta.append(rest.norm().item())
            previous, vector = vector, rest.div_(beta[-1])
        return ritz(alpha, beta[:-1])

    def top(self) -> Any:
        graph = self._recorded()

        def product(vector: np.ndarray) -> np.ndarray:
            return self._product(graph, torch.from_numpy(vector.ravel()).to(self.device)).cpu().numpy()

        values, found = largest(self.problem.size, product)
        return values, [torch.from_numpy(vector) for vector in found]

    @property
    def _graph(self) -> Any:
        if not hasattr(self, "_kept"):
            self._kept = self._recorded()
        return self._kept

    def _recorded(self) -> Any:
        return torch.autograd.grad(self.loss(), self.params, create_graph=True)

    def _product(self, graph: Any, vector: torch.Tensor) -> torch.Tensor:
        parts = torch.autograd.grad(graph, self.params, self.split(vector), retain_graph=True)
        return torch.cat([part.reshape(-1) for part in parts])


class Reorthogonalized(DoubleBackward):
    """Full reorthogonalization instead: classical Gram-Schmidt, done twice, as matrix-vector products."""

    def task(self, name: str, num_steps: int) -> Callable[[], Any] | None:
        return super().task(name, num_steps) if name == "density" else None

    def density(self, num_steps: int) -> tuple[np.ndarray, np.ndarray]:
        graph = self._recorded()
        alpha, beta = [], []
        basis = torch.empty(num_steps, len(self._start), device=self.device)
        vector = self._start / self._start.norm()
        for step in range(num_steps):
            basis[step] = vector
            vector = self._product(graph, vector)
            alpha.append(torch.dot(vector, basis[step]).item())
            for _ in range(2):
                vector = torch.addmv(vector, basis[: step + 1].T, basis[: step + 1] @ vector, alpha=-1)
            beta.append(vector.norm().item())
            vector = vector / beta[-1]
        return ritz(alpha, beta[:-1])


class ForwardOverReverse(TorchContender):
    """torch.func: `jvp` of `grad`, and `vmap` of that; eager, or compiled."""

    def __init__(self, problem: Problem, vectors: np.ndarray):
        super().__init__(problem, vectors)
        values = {name: value.detach() for name, value in self.model.named_parameters()}
        is_regression = self.y.is_floating_point()

        def loss(parameters: dict[str, torch.Tensor]) -> torch.Tensor:
            outputs = functional_call(self.model, parameters, (self.x,))
            # PyTorch's own mean squared error makes `jvp` of `grad` fail behind convolutions (2.13).
            return (outputs - self.y).square().mean() if is_regression else self.criterion(outputs, self.y)

        def product(vector: torch.Tensor) -> torch.Tensor:
            tangents = dict(zip(values, self.split(vector), strict=True))
            parts = jvp(grad(loss), (values,), (tangents,))[1]
            return torch.cat([parts[name].reshape(-1) for name in values])

        self._product, self.matmat = product, vmap(product)
        if settings()["compile"]:
            self._product = torch.compile(self._product, dynamic=False)
            self.matmat = torch.compile(self.matmat, dynamic=False)

    def hvp(self) -> torch.Tensor:
        return self._product(self.vector)


_KINDS = {
    "double-backward": DoubleBackward,
    "reorthogonalized": Reorthogonalized,
    "forward-over-reverse": ForwardOverReverse,
}

if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.backends.cudnn.allow_tf32 = False
    serve(_KINDS[settings()["kind"]], ("torch", "numpy", "scipy"))
