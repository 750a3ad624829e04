"""Diagnostics of the Brownian twin of a run's network."""

from collections.abc import Mapping

from tfplastic.diagnostics import Snapshot
from tfplastic.diagnostics.declaration.quantity import QuantityFn, needs_of
from tfplastic.diagnostics.objectives import Objective
from tfplastic.training.brownian_twin import BrownianTwin

PREFIX = "brownian_twin"
"""Prefix of the twin's tags, in place of `diagnostics` for the network itself."""
_NO_LOSS = "the task's loss is that of its own network (train.diagnostics_loss gives one of any network)"
_NO_OPTIMIZER = "it has no optimizer"


def quantities_of_twin(
    quantities: Mapping[str, QuantityFn], loss: Objective | None
) -> tuple[dict[str, QuantityFn], dict[str, str]]:
    """Splits a run's quantities into those of its twin and {quantity: reason} for the others.

    Those of the next update are not among them, and those of a loss only if the diagnostics have one that is
    not the task's.

    Args:
        quantities: quantities of the network, by name.
        loss: `train.diagnostics_loss`.

    Returns:
        {name: quantity}, and {name: why there is none}.
    """
    reasons = {"optimizer": _NO_OPTIMIZER} | ({"loss": _NO_LOSS} if loss is None else {})
    found, left_out = {}, {}
    for name, quantity in quantities.items():
        missing = [reason for need, reason in reasons.items() if need in needs_of(quantity)]
        if missing:
            left_out[name] = missing[0]
        else:
            found[name] = quantity
    return found, left_out


def warnings(left_out: Mapping[str, str]) -> list[str]:
    """Returns a line for each reason why there are quantities of the network that there are not of its twin.

    Args:
        left_out: {name: reason}, from `quantities_of_twin`.
    """
    names: dict[str, list[str]] = {}
    for name, reason in left_out.items():
        names.setdefault(reason, []).append(name)
    return [
        f"Not measured of the Brownian twin: {', '.join(of_reason)}; {reason}."
        for reason, of_reason in names.items()
    ]


def snapshot_of_twin(twin: BrownianTwin, snapshot: Snapshot, loss: Objective | None) -> Snapshot:
    """Returns the twin on the inputs of the network's snapshot, compared with the start of both.

    Args:
        twin: built.
        snapshot: snapshot of the network.
        loss: `train.diagnostics_loss`.
    """
    given = () if loss is None else loss(twin.model, snapshot.inputs)
    return Snapshot(twin.model, snapshot.inputs, *given, reference=snapshot.reference)
