"""A published number, and how ours is computed from runs."""

import dataclasses
from collections.abc import Callable, Sequence

from tfplastic.reports.reproduction.result import Claim
from tfplastic.reports.runs import Runs


@dataclasses.dataclass(frozen=True)
class Judged:
    """Our result.

    Attributes:
        ours: the number next to the target, in words; '' without runs.
        claims: statements of the source with our measurement, the one that the check is about first.
    """

    ours: str
    claims: Sequence[Claim]


@dataclasses.dataclass(frozen=True)
class Row:
    """A check.

    Attributes:
        name: its name for `make published`, and the folder of its runs.
        title: subject.
        source: paper, and how sure the target is.
        target: published number with the tolerance, or shape.
        experiment: gin file of its runs.
        judge: computes our result from runs, as many as there are.
        remarks: sentences on differences from the source and on causes.
    """

    name: str
    title: str
    source: str
    target: str
    experiment: str
    judge: Callable[[Runs], Judged]
    remarks: Sequence[str] = ()
