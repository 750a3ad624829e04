"""One of the networks that the diagnostics of a run look at."""

from collections.abc import Collection, Mapping
from typing import Any

from absl import logging

from tfplastic.diagnostics import Snapshot, measure
from tfplastic.diagnostics.declaration.quantity import QuantityFn
from tfplastic.diagnostics.diagnose import measure_available
from tfplastic.diagnostics.quantities.shared.convergence import ConvergenceWarnings
from tfplastic.diagnostics.reporting.writing import charts, write
from tfplastic.writers import Writer


class MeasuredNetwork:
    """The measured quantities of a network, and the tags under which they are written.

    Args:
        quantities: by name.
        leaves_out: names of quantities that are left out from then on if they do not suit the network, with a
            warning that says why; of another it is an error.
        prefix: prefix of tags, `<prefix>/<quantity>/<layer>`.
        category: category of its charts on TensorBoard's page.
        whose: words at the end of the warnings.

    Attributes:
        snapshot: snapshot of the network, given before the first measurement.
    """

    snapshot: Snapshot

    def __init__(
        self,
        quantities: Mapping[str, QuantityFn],
        leaves_out: Collection[str],
        prefix: str = "diagnostics",
        category: str = "Diagnostics",
        whose: str = "",
    ):
        self._quantities = dict(quantities)
        self._leaves_out = frozenset(leaves_out)
        self._prefix, self._category, self._whose = prefix, category, whose
        self._warnings = ConvergenceWarnings()

    def __len__(self) -> int:
        return len(self._quantities)

    def charts(self) -> dict[str, dict[str, str]]:
        """Returns charts for `Writer.layout`; empty without quantities."""
        return charts(self._quantities, self._prefix, self._category) if self._quantities else {}

    def measure(self, step: int, names: Collection[str], writer: Writer) -> None:
        """Measures the quantities of `names` with the present weights, and writes them.

        Args:
            step: gradient steps done.
            names: names of the quantities that are due.
            writer: writer of the values.
        """
        due = {name: each for name, each in self._quantities.items() if name in names}
        if due:
            self.snapshot.refresh()
            write(writer, step, self._values(due), self._prefix)
            self._warnings.tell(self.snapshot, f"Step {step:,}{self._whose}")

    def _values(self, due: Mapping[str, QuantityFn]) -> Mapping[str, Mapping[str, Any]]:
        required = {name: each for name, each in due.items() if name not in self._leaves_out}
        if len(required) == len(due):
            return measure(self.snapshot, due)
        possible = {name: each for name, each in due.items() if name in self._leaves_out}
        values, left_out = measure_available(self.snapshot, possible)
        if required:
            values = {**values, **measure(self.snapshot, required)}
        for name, reason in left_out.items():
            logging.warning("%s%s is not measured: %s", name, self._whose, reason)
            del self._quantities[name]
        return values
