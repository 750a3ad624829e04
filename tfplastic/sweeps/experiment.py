"""An experiment: which gin files make the arms of a grid, and with which seeds each is run."""

import dataclasses
import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

import gin

from tfplastic._checks import check_integer

_NAME = re.compile(r"[A-Za-z0-9_.+]+(-[A-Za-z0-9_.+]+)*")
_NAME_RULE = "letters, digits, '_', '.', '+' and single '-' between them"


@dataclasses.dataclass(frozen=True)
class Arm:
    """Settings that the runs of one arm share.

    Attributes:
        name: unique in its experiment, the beginning of its run directories' names.
        files: gin files, in the order in which they are read.
        bindings: gin statements that are read after all files.
    """

    name: str
    files: tuple[str, ...]
    bindings: tuple[str, ...]


@gin.register("sweep", module="tfplastic.sweeps")
class Experiment:
    """A grid of arms and seeds, as configured by a gin file of `bin/sweep`.

    Args:
        base: gin files that every run reads first.
        arms: {name of an arm: entries to read after `base`}: gin files, and gin statements, which are
            recognized by their `=`. A list of such dictionaries is a grid: each combination of one entry from
            each is an arm, named by their names joined by `-`.
        seeds: root seeds; each arm is run with each of them.

    Attributes:
        arms: the arms, in the order in which they are written.
        seeds: the seeds.

    Raises:
        ValueError: if one of them is malformed, or a name or a seed occurs twice.

    Example:
        >>> from tfplastic import sweeps
        >>> networks = {'mlp': ['mlp.gin'], 'cnn': ['cnn.gin']}
        >>> adams = {'default': [], 'slow': ['adam.learning_rate = 1e-4']}
        >>> experiment = sweeps.Experiment(['base.gin'], [networks, adams], [0, 1])
        >>> [arm.name for arm in experiment.arms]
        ['mlp-default', 'mlp-slow', 'cnn-default', 'cnn-slow']
        >>> experiment.arms[1].files, experiment.arms[1].bindings
        (('base.gin', 'mlp.gin'), ('adam.learning_rate = 1e-4',))
    """

    def __init__(
        self,
        base: Sequence[str],
        arms: Mapping[str, Sequence[str]] | Sequence[Mapping[str, Sequence[str]]],
        seeds: Sequence[int],
    ):
        _check_strings("base", base)
        self.seeds = _check_seeds(seeds)
        axes = [arms] if isinstance(arms, Mapping) else arms
        if not isinstance(axes, list | tuple) or not axes:
            raise ValueError(f"`arms` must be a dictionary, or a list of some. Received: {arms!r}")
        combinations = itertools.product(*(_check_axis(axis).items() for axis in axes))
        self.arms = tuple(_arm(base, combination) for combination in combinations)
        names = [arm.name for arm in self.arms]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"`arms` must have names that differ. Received: {name!r} twice")


def _arm(base: Sequence[str], combination: Sequence[tuple[str, Sequence[str]]]) -> Arm:
    entries = [*base, *(entry for _, entries in combination for entry in entries)]
    return Arm(
        "-".join(name for name, _ in combination),
        tuple(entry for entry in entries if "=" not in entry),
        tuple(entry for entry in entries if "=" in entry),
    )


def _check_axis(axis: Any) -> Mapping[str, Sequence[str]]:
    if not isinstance(axis, Mapping) or not axis:
        raise ValueError(f"`arms` must be a dictionary with entries, or a list of some. Received: {axis!r}")
    for name, entries in axis.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"`arms` must have names of {_NAME_RULE}. Received: {name!r}")
        _check_strings(f"arms[{name!r}]", entries)
    return axis


def _check_strings(name: str, value: Any) -> None:
    if not isinstance(value, list | tuple) or not all(isinstance(entry, str) and entry for entry in value):
        raise ValueError(f"`{name}` must be a list of gin files or statements. Received: {value!r}")


def _check_seeds(seeds: Any) -> tuple[int, ...]:
    if not isinstance(seeds, list | tuple) or not seeds:
        raise ValueError(f"`seeds` must be a list of integers of at least 0. Received: {seeds!r}")
    checked = tuple(check_integer("seeds", seed) for seed in seeds)
    if len(set(checked)) < len(checked):
        raise ValueError(f"`seeds` must differ. Received: {seeds!r}")
    return checked
