"""The PyTorch libraries in curvature.py, as their users run them: curvlinops, PyHessian, hessian-eigenthings.

The driver starts it, in the peers' environment; `curvature_blocks.py` says how they talk.
"""

from typing import Any

import numpy as np
import torch

from benchmarks.curvature_blocks import NUM_EIGENVALUES, TOLERANCE, serve, settings
from benchmarks.curvature_problem import Problem
from benchmarks.peers.curvature_arpack import largest
from benchmarks.peers.curvature_torch import TorchContender

_SEED = 0


class Curvlinops(TorchContender):
    """curvlinops' `HessianLinearOperator`, its `fast_lanczos`, and SciPy's ARPACK, as it documents."""

    def __init__(self, problem: Problem, vectors: np.ndarray):
        super().__init__(problem, vectors)
        from curvlinops import HessianLinearOperator

        data = [(self.x, self.y)]
        self._operator = HessianLinearOperator(self.model, self.criterion, self.params, data)

    def block(self, vectors: list[Any]) -> torch.Tensor:
        return torch.stack(vectors, dim=1)

    def last(self, block: Any) -> torch.Tensor:
        return block[:, -1]

    def hvp(self) -> torch.Tensor:
        return self._operator @ self.vector

    def matmat(self, block: torch.Tensor) -> torch.Tensor:
        return self._operator @ block

    def start(self) -> torch.Tensor:
        torch.manual_seed(_SEED)
        return torch.randn(self.problem.size, device=self.device)  # as `fast_lanczos` draws it

    def density(self, num_steps: int) -> tuple[np.ndarray, np.ndarray]:
        from curvlinops.papyan2020traces.spectrum import fast_lanczos

        torch.manual_seed(_SEED)
        nodes, vectors = fast_lanczos(self._operator, num_steps)
        return nodes.cpu().numpy(), vectors[0].square().cpu().numpy()

    def top(self) -> Any:
        values, found = largest(self.problem.size, self._operator.to_scipy().matvec)
        return values, [torch.from_numpy(vector) for vector in found]


class PyHessian(TorchContender):
    """PyHessian's class `hessian`, made again, with its gradient, for each task but `hvp_retained`."""

    def hvp(self) -> Any:
        from pyhessian import hessian_vector_product

        made = self._hessian()
        return self._flat(hessian_vector_product(made.gradsH, made.params, self.split(self.vector)))

    def hvp_retained(self) -> Any:
        from pyhessian import hessian_vector_product

        if not hasattr(self, "_kept"):
            self._kept = self._hessian()
        return self._flat(
            hessian_vector_product(self._kept.gradsH, self._kept.params, self.split(self.vector))
        )

    def start(self) -> torch.Tensor:
        torch.manual_seed(_SEED)
        signs = [torch.randint_like(parameter, high=2) * 2 - 1 for parameter in self.params]
        return self._flat(signs)  # as `density` draws it

    def density(self, num_steps: int) -> tuple[np.ndarray, np.ndarray]:
        made = self._hessian()
        torch.manual_seed(_SEED)
        nodes, weights = made.density(iter=num_steps, n_v=1)
        return np.array(nodes[0]), np.real(np.array(weights[0]))

    def top(self) -> Any:
        made = self._hessian()
        torch.manual_seed(_SEED)
        values, found = made.eigenvalues(tol=TOLERANCE, top_n=NUM_EIGENVALUES)
        return np.array(values), [self._flat(parts) for parts in found]

    def _hessian(self) -> Any:
        from pyhessian import hessian

        self.model.zero_grad(set_to_none=True)  # its constructor adds to what is there
        return hessian(self.model, self.criterion, (self.x, self.y), cuda=self.device.type == "cuda")

    def _flat(self, parts: Any) -> torch.Tensor:
        return torch.cat([part.detach().reshape(-1) for part in parts])


class HessianEigenthings(TorchContender):
    """hessian-eigenthings' `HessianOperator`, `spectral_density` and `lanczos`.

    Its `lanczos` makes a given number of steps, here the least multiple of 5 that meets the
    tolerance, found out before anything is timed.
    """

    def __init__(self, problem: Problem, vectors: np.ndarray):
        super().__init__(problem, vectors)
        from hessian_eigenthings import HessianOperator, supervised_loss

        self._operator = HessianOperator(self.model, [(self.x, self.y)], supervised_loss(self.criterion))
        self._num_steps = 0

    def hvp(self) -> torch.Tensor:
        return self._operator.matvec(self.vector)

    def start(self) -> torch.Tensor:
        signs = torch.Generator(device="cpu").manual_seed(_SEED)
        from hessian_eigenthings.linalg import SingleDeviceBackend

        empty = torch.empty(self.problem.size, device=self.device)
        return SingleDeviceBackend().rademacher_like(empty, generator=signs)

    def density(self, num_steps: int) -> tuple[np.ndarray, np.ndarray]:
        from hessian_eigenthings import spectral_density

        result = spectral_density(self._operator, num_runs=1, lanczos_steps=num_steps, seed=_SEED)
        return result.raw_eigenvalues[0].cpu().numpy(), result.raw_weights[0].cpu().numpy()

    def top(self) -> Any:
        if not self._num_steps:
            self._num_steps = next(n for n in range(15, 105, 5) if self._lanczos(n).converged.all())
        result = self._lanczos(self._num_steps)
        return result.eigenvalues.cpu().numpy(), list(result.eigenvectors)

    def _lanczos(self, num_steps: int) -> Any:
        from hessian_eigenthings import lanczos

        options = {"reorthogonalize": True, "which": "LA", "seed": _SEED}
        return lanczos(self._operator, k=NUM_EIGENVALUES, max_iter=num_steps, tol=TOLERANCE, **options)


_KINDS = {
    "curvlinops": (Curvlinops, "curvlinops-for-pytorch"),
    "pyhessian": (PyHessian, "pyhessian"),
    "hessian-eigenthings": (HessianEigenthings, "hessian-eigenthings"),
}

if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.backends.cudnn.allow_tf32 = False
    kind, package = _KINDS[settings()["kind"]]
    serve(kind, (package, "torch", "numpy", "scipy"))
