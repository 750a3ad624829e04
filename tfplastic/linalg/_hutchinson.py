"""Hutchinson's method: a mean over random probes, sampled up to a tolerance."""

from collections.abc import Callable

import numpy as np

from tfplastic.linalg._krylov import advice
from tfplastic.linalg._products import Products, rademacher
from tfplastic.linalg.estimate import Estimate

# Probes v `[k, n]` and products A v `[k, n]` -> samples `[k]` or `[k, n]`, float64.
Statistic = Callable[[np.ndarray, np.ndarray], np.ndarray]

# Fewer probes tell too little of their own spread for a decision to stop.
MINIMUM_PROBES = 16


def hutchinson(products: Products, statistic: Statistic, name: str, tol: float, seed: int) -> Estimate:
    """Estimates sum_i s(e_i, A e_i) over the unit vectors e_i, s being a quadratic form in its probe.

    For probes v of independent signs, E s(v, A v) is that sum. Probes are drawn until the norm of the
    standard error is at most `tol` times that of the value, checked after each block from `MINIMUM_PROBES`
    on, or until the budget is used up. A budget of at least n is spent on the unit vectors, and the value is
    exact.

    Returns:
        An `Estimate` whose value and standard error are arrays, `[]` or `[n]`.
    """
    if products.size <= products.budget:
        return _exact(products, statistic)
    count, mean, squares = 0, np.zeros(()), np.zeros(())
    converged = False
    while products.left and not converged:
        number = min(products.block_size, products.left)
        probes = rademacher(seed, name, count, number, products.size, products.dtype)
        samples = statistic(probes, products(probes, "probe", count))
        block_mean = samples.mean(axis=0)
        # Means and sums of squared deviations of two parts, joined (Chan, Golub and LeVeque 1983).
        shift = block_mean - mean
        squares = squares + ((samples - block_mean) ** 2).sum(axis=0)
        squares = squares + shift**2 * (count * number / (count + number))
        mean = mean + shift * (number / (count + number))
        count += number
        error = standard_error(squares, count)
        converged = is_met(mean, error, count, tol)
    advice = "" if converged else advice_on(mean, error, count, tol, products.done)
    return Estimate(mean, error, count, products.done, converged, advice)


def standard_error(squares: np.ndarray, count: int) -> np.ndarray:
    """Returns the standard error of a mean of `count` samples with sum of squared deviations `squares`."""
    return np.sqrt(squares / ((count - 1) * count)) if count > 1 else np.full_like(squares, np.nan)


def is_met(value: np.ndarray | float, error: np.ndarray | float, count: int, tol: float) -> bool:
    """Returns whether there are enough probes to judge by, and the standard error is within the tolerance."""
    return count >= MINIMUM_PROBES and bool(np.linalg.norm(error) <= tol * np.linalg.norm(value))


def advice_on(
    value: np.ndarray | float, error: np.ndarray | float, count: int, tol: float, num_products: int
) -> str:
    """Returns one line of advice where `is_met` says no."""
    if count < MINIMUM_PROBES:
        return advice.of_few_probes(count, MINIMUM_PROBES, num_products)
    size = float(np.linalg.norm(value))
    return advice.of_error(float(np.linalg.norm(error)) / size if size else np.inf, tol, num_products)


def _exact(products: Products, statistic: Statistic) -> Estimate:
    total = np.zeros(())
    for start in range(0, products.size, products.block_size):
        number = min(products.block_size, products.size - start)
        units = np.zeros((number, products.size), products.dtype)
        units[np.arange(number), start + np.arange(number)] = 1
        total = total + statistic(units, products(units, "unit vector", start)).sum(axis=0)
    return Estimate(total, np.zeros_like(total), 0, products.done, True)
