"""The subject of `bin/diagnose spectrum`, wherever it came from."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Subject:
    """A Hessian and its name.

    Attributes:
        hessian: the operator.
        name: for the table and the figure, such as 'boxing, gradient step 12,500'.
        num_examples: examples that the loss is the mean over.
        step: gradient step of the checkpoint; None for a Keras file, which does not say.
    """

    hessian: Any
    name: str
    num_examples: int
    step: int | None
