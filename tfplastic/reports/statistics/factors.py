"""Kinds of the parts of arms' names, in the paper's terms."""

import re
from collections.abc import Iterable, Sequence

from tfplastic.reports.paper import ARCHITECTURES, INTERVENTIONS, paper_numbers
from tfplastic.reports.runs import Runs

_ENVIRONMENTS = ("easy", "hard", "sparse", "true_label", "random_label", "sparse_reward")
_WIDTH, _NUMBER = re.compile(r"x\d+(\.\d+)?"), re.compile(r"\d+(\.\d+)?")


def factors_of(arms: Iterable[str]) -> tuple[str, ...]:
    """Returns the kinds of the name parts of arms: 'data', 'architecture', ...; 'part1', ... if unknown.

    A part is of the kind that at least half of its values have in the paper's terms. Empty where names have
    different numbers of parts.

    Example:
        >>> from tfplastic.reports.statistics.factors import factors_of
        >>> factors_of(['cifar10-mlp-none', 'cifar10-mlp-ours', 'mnist-cnn-none'])
        ('data', 'architecture', 'intervention')
    """
    parts = [arm.rpartition("/")[2].split("-") for arm in arms]
    if len({len(each) for each in parts}) != 1:
        return ()
    words = {
        "data": {"cifar10", "mnist"},
        "architecture": set(ARCHITECTURES),
        "intervention": set(INTERVENTIONS),
        "environment": set(_ENVIRONMENTS),
        "game": set(paper_numbers(7)["data"]),
    }
    has_widths = any(all(_WIDTH.fullmatch(value) for value in values) for values in zip(*parts, strict=True))
    found: list[str] = []
    for index, values in enumerate(zip(*parts, strict=True), 1):
        distinct = set(values)
        name = f"part{index}"
        if all(_WIDTH.fullmatch(value) for value in distinct):
            name = "width"
        elif all(_NUMBER.fullmatch(value) for value in distinct):
            name = "target_period" if has_widths else "width" if len(distinct) > 1 else name
        for factor, known in words.items():
            if factor not in found and 2 * len(distinct & known) >= len(distinct):
                name = factor
        found.append(name)
    return tuple(found)


def chosen_factors(
    runs: Runs, factors: Sequence[str] | None, needed: Sequence[str], otherwise: Sequence[str]
) -> Sequence[str]:
    """Returns the factors of a figure: the given ones, else those of the arms' names if these suffice.

    Args:
        runs: runs that the figure shows.
        factors: factors that the caller gives.
        needed: factors without which it cannot be drawn.
        otherwise: factors where the names do not say enough.
    """
    if factors is not None:
        return factors
    found = factors_of(runs.arms)
    return found if set(needed) <= set(found) else otherwise
