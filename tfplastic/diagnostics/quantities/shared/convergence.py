"""Remarks on solvers that did not converge, which stay with a snapshot until its `refresh`."""

from absl import logging

from tfplastic.diagnostics.snapshot import Snapshot

_MOST_NAMES = 3  # in a line


def note_unconverged(snapshot: Snapshot, what: str, layer: str, advice: str) -> None:
    """Keeps that a value of `layer`, or of 'all', did not converge.

    Args:
        snapshot: snapshot that it was measured on.
        what: name of the value, which opens the line, such as 'Trace of the Hessian'.
        layer: layer of the value.
        advice: remedy; empty where the value converged, and then nothing is kept.
    """
    if advice:
        _kept(snapshot).setdefault(what, {})[layer] = advice


def convergence_remarks(snapshot: Snapshot) -> dict[str, str]:
    """Returns a line for each kind of value of which some have not converged since the last `refresh`.

    Returns:
        {kind of value: 'Trace of the Hessian: not converged for all, output. all: <advice>'}.
    """
    lines = {}
    for what, advice in _kept(snapshot).items():
        layers = list(advice)
        more = f" and {len(layers) - _MOST_NAMES} more" if len(layers) > _MOST_NAMES else ""
        names = ", ".join(layers[:_MOST_NAMES]) + more
        lines[what] = f"{what}: not converged for {names}. {layers[0]}: {advice[layers[0]]}"
    return lines


class ConvergenceWarnings:
    """Log of remarks over several measurements, each kind of value once."""

    def __init__(self):
        self._told: set[str] = set()

    def tell(self, snapshot: Snapshot, where: str) -> None:
        """Logs new remarks.

        Args:
            snapshot: just measured.
            where: beginning of the line, such as 'Step 100'.
        """
        for what, remark in convergence_remarks(snapshot).items():
            if what not in self._told:
                logging.warning("%s: %s", where, remark)
                self._told.add(what)


def _kept(snapshot: Snapshot) -> dict[str, dict[str, str]]:
    return snapshot.memoize("unconverged", dict)
