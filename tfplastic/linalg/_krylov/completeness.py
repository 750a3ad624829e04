"""The chance that Ritz values have missed an eigenvalue, from the newest chain of a basis."""

import numpy as np

from tfplastic.linalg._krylov.space import KrylovSpace

# Of a random start vector to hide an eigenvalue that is reported as not there.
MISS_PROBABILITY = 1e-3
_PLACES = (0.3, 0.5, 0.7, 0.85, 0.95)  # of a bound between the newest chain and the last value wanted


def num_complete(space: KrylovSpace, values: np.ndarray, slack: np.ndarray, which: str) -> tuple[int, bool]:
    """Counts the first Ritz values that are the first eigenvalues, within `slack`, but for a small chance.

    Let A' be A on the complement of the basis up to the newest chain, whose start r is random there. The
    chain's polynomial p of degree j satisfies |p(A') r| = beta_1 ... beta_j, so an eigenvector of A' whose
    eigenvalue is b or above has at most the part beta_1 ... beta_j / p(b) in r, and a random r has so little
    with a probability of at most sqrt(2 n / pi) times that. Where all of A' is below b, and R is the part of
    A times the basis that lies outside of the basis, A has no more eigenvalues above tau > b than H + R^T R /
    (tau - b) has (Haynsworth's inertia of A - tau).

    Args:
        space: the basis.
        values: `[k]`, Ritz values of the whole basis, those wanted first.
        slack: `[k]`, how far an eigenvalue may be above its value.
        which: 'LA', 'SA' or 'LM'.

    Returns:
        The number, and whether R stands in the way, not the chain's length.
    """
    if space.is_whole:
        return len(values), False
    if not space.is_pure:
        return 0, False
    sign = -1.0 if which == "SA" else 1.0
    both = which == "LM"
    limits = (
        (np.abs(values) if both else sign * values) + slack + np.finfo(np.float64).tiny
    )  # of a zero matrix
    start = space.start
    inner, chain = sign * space.matrix[:start, :start], sign * space.matrix[start:, start:]
    nodes = np.linalg.eigvalsh(chain)
    top = float(np.abs(nodes).max() if both else nodes.max())
    is_blocked = False
    for number in range(len(values), 0, -1):
        limit = float(limits[number - 1])
        if start == 0 and number > 1 or top >= limit:
            continue
        places = _PLACES if start else (1.0,)
        bounds = (top + place * (limit - top) for place in places)
        bound = next((each for each in bounds if _chance(space, nodes, each, both) <= MISS_PROBABILITY), None)
        if bound is None:
            continue
        shift = space.outside / (limit - bound) if start else space.outside
        most = np.linalg.eigvalsh(inner + shift)
        if both:  # as many above as the one has, as many below as the other
            least = np.linalg.eigvalsh(inner - shift)
            most = np.sort(np.concatenate([most[most > 0], -least[least < 0]]))
        most = most[::-1][:number]
        if np.all(most <= limits[: len(most)]):
            return number, False
        is_blocked = is_blocked or number == len(values)
    return 0, is_blocked


def _chance(space: KrylovSpace, nodes: np.ndarray, bound: float, both: bool) -> float:
    """Returns the chance that the start has so little of an eigenvector beyond `bound`."""
    if min(space.betas) <= 0:
        return 0.0
    size = space.size - space.start
    sides = [bound - nodes, bound + nodes] if both else [bound - nodes]
    return sum(
        float(np.exp(np.sum(np.log(space.betas)) - np.sum(np.log(side))) * np.sqrt(2 * size / np.pi))
        for side in sides
        if side.min() > 0
    )
