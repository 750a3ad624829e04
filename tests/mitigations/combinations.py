"""A covering set: few combinations of choices in which every two choices meet."""

import itertools
import random


def pairwise(choices, seed=0, candidates=50):
    """Combinations, one choice of each kind, so that every pair of choices of two kinds is in one of them.

    Greedy: each combination is, among some random ones that hold a pair still missing, the one with the most
    pairs still missing.

    Args:
        choices: {kind: list of choices}.
        seed: same seed, same combinations.
        candidates: number of random ones tried for each.
    """
    generator = random.Random(seed)
    missing = pairs_of_all(choices)
    combinations = []
    while missing:
        tried = []
        for _ in range(candidates):
            combination = {kind: generator.randrange(len(options)) for kind, options in choices.items()}
            combination |= dict(generator.choice(sorted(missing)))
            tried.append(combination)
        best = max(tried, key=lambda combination: len(_pairs(combination) & missing))
        missing -= _pairs(best)
        combinations.append(best)
    return [{kind: choices[kind][index] for kind, index in each.items()} for each in combinations]


def pairs_of_all(choices):
    """Every pair of choices of two kinds, as ((kind, index), (kind, index))."""
    single = {kind: [(kind, index) for index in range(len(options))] for kind, options in choices.items()}
    return {
        tuple(sorted(pair))
        for one, other in itertools.combinations(single, 2)
        for pair in itertools.product(single[one], single[other])
    }


def _pairs(combination):
    return {tuple(sorted(pair)) for pair in itertools.combinations(combination.items(), 2)}
