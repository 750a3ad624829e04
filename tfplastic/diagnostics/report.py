"""A table of quantities by layer, its summary in words, and the reasons for missing values."""

import shutil
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from tfplastic.diagnostics.reporting import summary as summaries
from tfplastic.diagnostics.reporting import tables
from tfplastic.diagnostics.reporting.tables import WHOLE, Section

_OTHERS = "others"


class Report:
    """The values of quantities, by layer, as tables, one for each kind of quantity, and in words.

    Printed, it is the `summary` and the tables of the layers that stand out; `show(all=True)` prints all of
    them. Quantities of the network as a whole, 'all', have a table of their own.

    In the table '-' means that a quantity says nothing of a layer, such as of its units if it has no
    nonlinearity; 'NaN' that it should but cannot, with the number of a footnote that says why; '[30]' or
    '[16, 16]' an array of that shape, which is in `arrays`.

    Args:
        values: {quantity: {layer name: value}}, as from `measure`; a value is a number or an array.
        reasons: {layer name: why quantities of its units are NaN}.
        left_out: {quantity: why it was not computed}, and {layer name: why it has no units or features}.
        kinds: {quantity: the kind under whose title it is printed}; others come last, as 'others'.
        remarks: lines about the whole measurement, such as terms that the loss leaves out, or a solver that
            did not converge and its remedy; printed last.
        layers: names in the order in which they are printed; others follow in that of `values`, 'all' last.
        faults: lines about arguments that do not go together, so that quantities are left out; they end the
            summary.

    Attributes:
        arrays: {quantity: {layer name: array}}: the values that are not numbers, `[k]` or `[k, k]`.
        reasons: the given reasons.
        left_out: the given left-out quantities.
        remarks: the given remarks.

    Example:
        >>> from tfplastic import diagnostics
        >>> diagnostics.Report({'dead_units': {'hidden1': 0.25, 'hidden2': 0.0}, 'sharpness': {'all': 12.5}})
        1 of 2 layers stands out, the worst first:
          hidden1: 25 % of its units are dead.
        <BLANKLINE>
        others   dead_units
        hidden1        0.25
        <BLANKLINE>
                    all
        sharpness  12.5
        <BLANKLINE>
        `report.show(all=True)` prints every layer.
    """

    def __init__(
        self,
        values: Mapping[str, Mapping[str, Any]],
        reasons: Mapping[str, str] | None = None,
        left_out: Mapping[str, str] | None = None,
        kinds: Mapping[str, str] | None = None,
        layers: Sequence[str] = (),
        remarks: Sequence[str] = (),
        faults: Sequence[str] = (),
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
        self._faults = list(faults)
        self._kinds = {quantity: (kinds or {}).get(quantity, _OTHERS) for quantity in values}
        self._every_layer = set(layers)
        self._layers = _ordered(layers, [layer for by_layer in values.values() for layer in by_layer])

    def to_dict(self) -> dict[str, dict[str, float]]:
        """Returns the numbers: {quantity: {layer name: number}}. `arrays` is the rest."""
        return {quantity: dict(by_layer) for quantity, by_layer in self._numbers.items()}

    def to_pandas(self) -> Any:
        """Returns the numbers as a `pandas.DataFrame` of float64: rows are layers, columns quantities.

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
        """Returns the tables and footnotes as text.

        Args:
            width: characters in a line, at least 40; None: the width of the terminal, 80 if there is none.
                Wider tables continue below. Names of layers of more than half of it are broken.
        """
        width = shutil.get_terminal_size().columns if width is None else width
        return tables.text(self._sections(), self._notes(), max(width, 40))

    def summary(self) -> str:
        """Returns the findings in words: at most ten lines, the worst layers first.

        A layer stands out if at least 10 % of its units are dead, 20 % dormant or saturated, 30 % without
        gradient or 50 % linear on the batch; if its features or weights have an `srank` below a quarter of
        the highest possible; if its gradient is zero, or 100 times above or below the median layer's; or if
        something in it is not finite. The bounds are ours, meant for a first look.

        Example:
            >>> from tfplastic import diagnostics
            >>> report = diagnostics.Report({'dead_units': {'hidden1': 0.4, 'hidden2': 1.0}})
            >>> print(report.summary())
            2 of 2 layers stand out, the worst first:
              hidden2: all of its units are dead.
              hidden1: 40 % of its units are dead.
        """
        absent = {name: reason for name, reason in self.left_out.items() if name not in self._every_layer}
        return "\n".join(summaries.lines(self._notable(), self._named_layers(), absent, self._faults))

    def show(self, all: bool = False, width: int | None = None) -> None:
        """Prints the summary and the tables.

        Args:
            all: whether of every layer, with all footnotes; otherwise of those that stand out.
            width: see `to_text`.
        """
        text = f"{self.summary()}\n\n{self.to_text(width)}" if all else self._brief(width)
        sys.stdout.write(f"{_printable(text)}\n")

    def __repr__(self) -> str:
        return _printable(self._brief(None))

    def _repr_html_(self) -> str:
        html = tables.html(self._sections(), self._notes())
        return tables.html_with_summary(self.summary(), html)

    def _brief(self, width: int | None) -> str:
        """Returns the summary, and the tables of the layers that it names."""
        width = shutil.get_terminal_size().columns if width is None else width
        layers = list(self._notable())[: summaries.MOST_LAYERS]
        notes = self._reason_notes(layers)
        text = tables.text(self._sections(layers), notes, max(width, 40))
        hidden = len(self._named_layers()) - len(layers)
        last = ["`report.show(all=True)` prints every layer."] if hidden or self._notes() else []
        return "\n\n".join(part for part in [self.summary(), text, *self.remarks, *last] if part)

    def _notable(self) -> dict[str, list[summaries.Note]]:
        return summaries.notes(self._numbers, self.arrays, self.reasons)

    def _named_layers(self) -> list[str]:
        return [layer for layer in self._layers if layer != WHOLE]

    def _sections(self, chosen: Collection[str] | None = None) -> list[Section]:
        """Returns the tables, of all layers or of the `chosen` ones and the whole."""
        kinds = list(dict.fromkeys(self._kinds.values()))
        kinds.sort(key=lambda kind: kind == _OTHERS)
        sections, of_whole = [], []
        for kind in kinds:
            quantities = [quantity for quantity, own in self._kinds.items() if own == kind]
            of_whole += [each for each in quantities if self._named(each) == {WHOLE}]
            quantities = [each for each in quantities if self._named(each) != {WHOLE}]
            layers = [
                layer
                for layer in self._layers
                if (chosen is None or layer in chosen) and any(self._has(each, layer) for each in quantities)
            ]
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
        """Returns the number of each layer's reason; equal ones share theirs."""
        numbers = {reason: number for number, reason in enumerate(dict.fromkeys(self.reasons.values()), 1)}
        return {layer: numbers[reason] for layer, reason in self.reasons.items()}

    def _reason_notes(self, chosen: Collection[str]) -> list[str]:
        notes = []
        for number, reason in enumerate(dict.fromkeys(self.reasons.values()), start=1):
            layers = [layer for layer, own in self.reasons.items() if own == reason and layer in chosen]
            if layers:
                notes.append(f"({number}) {', '.join(layers)}: {reason}")
        return notes

    def _notes(self) -> list[str]:
        notes = self._reason_notes(self.reasons)
        values = [value for by_layer in self._numbers.values() for value in by_layer.items()]
        if any(np.isnan(value) for layer, value in values if layer not in self.reasons):
            notes.append("NaN without a number: not defined for this layer; see the quantity's docstring.")
        if self.arrays:
            notes.append("[...]: an array of that shape, which is in `arrays`.")
        for reason in dict.fromkeys(self.left_out.values()):
            quantities = [quantity for quantity, own in self.left_out.items() if own == reason]
            notes.append(f"Left out: {', '.join(quantities)}: {reason}")
        return notes + self.remarks


def _ordered(first: Sequence[str], names: Sequence[str]) -> list[str]:
    """Returns the distinct `names` in the order of `first`; 'name:1' after 'name'; 'all' last."""
    place = {name: number for number, name in enumerate(first)}
    distinct = list(dict.fromkeys(names))

    def key(name: str) -> tuple[bool, int]:
        return name == WHOLE, place.get(name, place.get(name.rpartition(":")[0], len(place)))

    return sorted(distinct, key=key)


def _short(value: float) -> str:
    """Formats three digits, or all of an integer that is not long."""
    if np.isfinite(value) and (value == round(value) or abs(value) >= 1000) and abs(value) < 1e6:
        return f"{value:.0f}"
    return f"{value:.3g}"


def _printable(text: str) -> str:
    """Returns the text, escaped outside of the terminal's encoding, so that printing never fails."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
