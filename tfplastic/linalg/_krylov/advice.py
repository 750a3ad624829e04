"""Advice, in one line, for a solver that did not converge."""

import math
from collections.abc import Sequence


def of_residuals(above: Sequence[int], first_missing: int, tol: float, needed: float, products: int) -> str:
    """Returns the line for eigenvalues whose residuals are too large.

    Args:
        above: places of the eigenvalues.
        first_missing: place from which on eigenvalues may be missing.
        tol: the tolerance.
        needed: the largest relative residual.
        products: made, as many as were allowed.
    """
    which = ", ".join(map(str, above[:5])) + ", ..." * (len(above) > 5)
    return (
        f"Residuals of values[{which}] are above `tol`, {tol:g}, and eigenvalues may be missing among"
        f" values[{first_missing}:], after {products} products. {_more('max_steps', needed)}"
    )


def of_missing(first_missing: int, products: int) -> str:
    """Returns the line for eigenvalues that may be preceded by one that was not found."""
    return (
        f"Eigenvalues may be missing among values[{first_missing}:] after {products} products. Raise"
        " `max_steps`."
    )


def of_error(relative_error: float, tol: float, products: int) -> str:
    """Returns the line for an estimate whose standard error is too large.

    Args:
        relative_error: the standard error divided by the value; infinite where that is 0.
        tol: the tolerance.
        products: made, as many as were allowed.
    """
    return (
        f"The standard error is {relative_error:.2g} of the value, above `tol`, {tol:g}, after {products}"
        f" products. {_more('max_products', relative_error)}"
    )


def of_few_probes(probes: int, least: int, products: int) -> str:
    """Returns the line for an estimate of so few probes that their spread says little."""
    return (
        f"{probes} probes were made with {products} products, and fewer than {least} do not determine the"
        " standard error. Raise `max_products`."
    )


def _more(budget: str, needed: float) -> str:
    if not 0 < needed < math.inf:
        return f"Raise `{budget}`."
    unit = 10.0 ** (math.floor(math.log10(needed)) - 1)  # two digits, rounded up
    return f"Raise `{budget}`, or `tol` to {math.ceil(needed / unit) * unit:.2g} or more."
