"""What many quantities are at once: a table of layers and quantities, and what is not in it and why."""

import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfplastic.diagnostics import _report_tables
from tfplastic.diagnostics._report_tables import WHOLE, Section

_OTHERS = "others"


class Report:
    """The values of quantities, by layer; printed it is a table for each kind of quantity.

    Quantities of the network as a whole, 'all', have a table of their own.

    In the table '-' means that a quantity says nothing of a layer, such as of its units if it has no
    nonlinearity; 'NaN' that it should but cannot, with the number of a footnote that says why; '[30]' or
    '[16, 16]' an array of that shape, which is in `arrays`.

    Args:
        values: {quantity: {layer name: value}}, as from `measure`; a value is a number or an array.
        reasons: {layer name: why quantities of its units are NaN}.
        left_out: {quantity: why it was not computed}.
        kinds: {quantity: the kind under whose title it is printed}; others come last, as 'others'.
        remarks: lines about how all of it was measured, such as what the loss leaves out; printed last.
        layers: names in the order in which they are printed; others follow in that of `values`, 'all' last.

    Attributes:
        arrays: {quantity: {layer name: array}}: the values that are no numbers, `[k]` or `[k, k]`.
        reasons: as given.
        left_out: as given.
        remarks: as given.

    Example:
        >>> from tfplastic import diagnostics
        >>> diagnostics.Report({'dead_units': {'hidden1': 0.25, 'hidden2': 0.0}, 'sharpness': {'all': 12.5}})
        others   dead_units
        hidden1        0.25
        hidden2           0
        <BLANKLINE>
                    all
        sharpness  12.5
    """

    def __init__(
        self,
        values: Mapping[str, Mapping[str, Any]],
        reasons: Mapping[str, str] | None = None,
        left_out: Mapping[str, str] | None = None,
        kinds: Mapping[str, str] | None = None,
        layers: Sequence[str] = (),
        remarks: Sequence[str] = (),
    ):
        self._numbers: dict[str, dict[str, float]] = {}
        self.arrays: dict[str, dict[str, np.ndarray]] = {}
        for quantity, by_layer in values.items():
            numbers = {layer: float(value) for layer, value in by_layer.items() if np.ndim(value) == 0}
            arrays = {layer: np.asarray(value) for layer, value in by_layer.items() if np.ndim(value)}
            if numbers or not arrays:
                self._numbers[quantity] = numbers
            if arrays:
                self.arrays[quantity] = arrays
        self.reasons = dict(reasons or {})
        self.left_out = dict(left_out or {})
        self.remarks = list(remarks)
        self._kinds = {quantity: (kinds or {}).get(quantity, _OTHERS) for quantity in values}
        self._layers = _ordered(layers, [layer for by_layer in values.values() for layer in by_layer])

    def to_dict(self) -> dict[str, dict[str, float]]:
        """The numbers: {quantity: {layer name: number}}. `arrays` is the rest."""
        return {quantity: dict(by_layer) for quantity, by_layer in self._numbers.items()}

    def to_pandas(self) -> Any:
        """The numbers as a `pandas.DataFrame` of float64: rows are layers, columns quantities.

        NaN both where a quantity says nothing of a layer and where it is NaN.

        Raises:
            ImportError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise ImportError("`to_pandas` needs pandas: pip install pandas") from None

        named = {layer for by_layer in self._numbers.values() for layer in by_layer}
        index = [layer for layer in self._layers if layer in named]
        columns = {
            quantity: [by_layer.get(layer, np.nan) for layer in index]
            for quantity, by_layer in self._numbers.items()
        }
        return pd.DataFrame(columns, index=pd.Index(index, name="layer"), dtype=np.float64)

    def to_text(self, width: int | None = None) -> str:
        """The tables and footnotes as text.

        Args:
            width: characters in a line, at least 40; None: those of the terminal, 80 if there is none.
                Tables that are wider go on below. Names of layers of more than half of it are broken.
        """
        width = shutil.get_terminal_size().columns if width is None else width
        return _report_tables.text(self._sections(), self._notes(), max(width, 40))

    def __repr__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        return _report_tables.html(self._sections(), self._notes())

    def _sections(self) -> list[Section]:
        kinds = list(dict.fromkeys(self._kinds.values()))
        kinds.sort(key=lambda kind: kind == _OTHERS)
        sections, of_whole = [], []
        for kind in kinds:
            quantities = [quantity for quantity, own in self._kinds.items() if own == kind]
            of_whole += [each for each in quantities if self._named(each) == {WHOLE}]
            quantities = [each for each in quantities if self._named(each) != {WHOLE}]
            layers = [layer for layer in self._layers if any(self._has(each, layer) for each in quantities)]
            rows = [[self._cell(each, layer) for each in quantities] for layer in layers]
            sections.append(Section(kind, quantities, layers, rows))
        sections.append(Section("", [WHOLE], of_whole, [[self._cell(each, WHOLE)] for each in of_whole]))
        return [section for section in sections if section.layers]

    def _named(self, quantity: str) -> set[str]:
        return {*self._numbers.get(quantity, {}), *self.arrays.get(quantity, {})}

    def _has(self, quantity: str, layer: str) -> bool:
        return layer in self._named(quantity)

    def _cell(self, quantity: str, layer: str) -> str:
        if layer in self.arrays.get(quantity, {}):
            return str(list(self.arrays[quantity][layer].shape))
        if not self._has(quantity, layer):
            return "-"
        value = self._numbers[quantity][layer]
        if not np.isnan(value):
            return _short(value)
        return f"NaN ({self._footnotes()[layer]})" if layer in self.reasons else "NaN"

    def _footnotes(self) -> dict[str, int]:
        """The number of each layer's reason; equal ones share theirs."""
        numbers = {reason: number for number, reason in enumerate(dict.fromkeys(self.reasons.values()), 1)}
        return {layer: numbers[reason] for layer, reason in self.reasons.items()}

    def _notes(self) -> list[str]:
        notes = []
        for number, reason in enumerate(dict.fromkeys(self.reasons.values()), start=1):
            layers = [layer for layer, own in self.reasons.items() if own == reason]
            notes.append(f"({number}) {', '.join(layers)}: {reason}")
        values = [value for by_layer in self._numbers.values() for value in by_layer.items()]
        if any(np.isnan(value) for layer, value in values if layer not in self.reasons):
            notes.append("NaN without a number: not defined there, as the quantity's docstring says.")
        if self.arrays:
            notes.append("[...]: an array of that shape, which is in `arrays`.")
        for reason in dict.fromkeys(self.left_out.values()):
            quantities = [quantity for quantity, own in self.left_out.items() if own == reason]
            notes.append(f"Left out: {', '.join(quantities)}: {reason}")
        return notes + self.remarks


def _ordered(first: Sequence[str], names: Sequence[str]) -> list[str]:
    """The distinct `names`, in the order of `first`; calls such as 'name:1' after 'name'; 'all' last."""
    place = {name: number for number, name in enumerate(first)}
    distinct = list(dict.fromkeys(names))

    def key(name: str) -> tuple[bool, int]:
        return name == WHOLE, place.get(name, place.get(name.rpartition(":")[0], len(place)))

    return sorted(distinct, key=key)


def _short(value: float) -> str:
    """Three digits, or all of an integer that is not long."""
    if np.isfinite(value) and (value == round(value) or abs(value) >= 1000) and abs(value) < 1e6:
        return f"{value:.0f}"
    return f"{value:.3g}"
