"""A report in words, in at most ten lines: the layers that stand out, the worst first."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

WHOLE = "all"
MOST_LAYERS = 7  # that have a line
_MOST_NOTES = 3  # of a layer in its line
_LONGEST_NAME = 48  # characters

# The least fractions of units that stand out, how much they weigh, and what is said of them.
_FRACTIONS = {
    "dead_units": (0.1, 1.0, "{} of its units are dead"),
    "dormant_units": (0.2, 0.9, "{} of its units are dormant"),
    "saturated_units": (0.2, 0.8, "{} of its units are saturated"),
    "dormant_gradients": (0.3, 0.7, "{} of its units have almost no gradient"),
    "linearized_units": (0.5, 0.5, "{} of its units are linear on this batch"),
}
# Ranks below a quarter of the highest possible: the array that shows it, the weight, and the words.
_RANKS = {
    "feature_srank": ("feature_singular_values", 0.8, "its features use {} of {} directions"),
    "weight_srank": ("weight_singular_values", 0.5, "its weights use {} of {} directions"),
}
_LOW_RANK = 0.25
_LEAST_RANK = 8  # of the highest possible: below, a quarter of it is no direction or one
_FAR = 100.0  # times the median of the layers
_FEWEST_LAYERS = 4  # that have a median


class Note(NamedTuple):
    """A thing about a layer that stands out.

    Attributes:
        layer: its name.
        severity: above 0; the worst layer has the largest.
        text: in words.
    """

    layer: str
    severity: float
    text: str


def notes(
    numbers: Mapping[str, Mapping[str, float]],
    arrays: Mapping[str, Mapping[str, Any]],
    reasons: Mapping[str, str],
) -> dict[str, list[Note]]:
    """Returns the findings, {layer name: notes}, the worst layer first and in each the worst note.

    Args:
        numbers: {quantity: {layer name: number}}, as in a report.
        arrays: {quantity: {layer name: array}}.
        reasons: {layer name: why quantities of its units are NaN}; these layers are not taken for broken.
    """
    by_layer: dict[str, list[Note]] = {}
    rules: list[Callable[[], Iterator[Note]]] = [
        lambda: _not_finite(numbers, reasons),
        lambda: _fractions(numbers),
        lambda: _low_ranks(numbers, arrays),
        lambda: _gradients(numbers.get("gradient_norm", {})),
    ]
    for rule in rules:
        for note in rule():
            if note.layer != WHOLE:
                by_layer.setdefault(note.layer, []).append(note)
    for found in by_layer.values():
        found.sort(key=lambda note: -note.severity)
    return dict(sorted(by_layer.items(), key=lambda item: -item[1][0].severity))


def lines(
    found: Mapping[str, list[Note]],
    names: Collection[str],
    left_out: Mapping[str, str],
    faults: Sequence[str] = (),
) -> list[str]:
    """Returns the summary, at most ten lines.

    Args:
        found: result of `notes`.
        names: all that were looked at, layers and parts of layers.
        left_out: {quantity: why it was not computed}.
        faults: sentences about problems, in the line on left-out quantities.
    """
    num_layers = len({_layer_of(name, names) for name in names})
    if not found:
        text = [f"Nothing stands out in {_count(num_layers, 'layer')}."]
    else:
        num_found = len({_layer_of(name, names) for name in found})
        verb = "stands" if num_found == 1 else "stand"
        text = [f"{num_found} of {_count(num_layers, 'layer')} {verb} out, the worst first:"]
    for layer, own in list(found.items())[:MOST_LAYERS]:
        text.append(f"  {shortened(layer)}: {'; '.join(note.text for note in own[:_MOST_NOTES])}.")
    if len(found) > MOST_LAYERS:
        others = [shortened(layer) for layer in list(found)[MOST_LAYERS:]]
        more = f", and {len(others) - 2} more" if len(others) > 2 else ""
        text.append(f"  Then {', '.join(others[:2])}{more}.")
    if left_out:
        count = _count(len(left_out), "quantity", "quantities")
        text.append(" ".join([f"Left out: {count}, see `left_out`.", *faults]))
    return text


def _layer_of(name: str, names: Collection[str]) -> str:
    """Returns the layer that a name counts for: 'rnn' for its cell, 'rnn/cell/kernel' and another call."""
    parts = name.split("/")
    above = ("/".join(parts[:length]) for length in range(1, len(parts) + 1))
    return next((each for each in above if each in names), name).partition(":")[0]


def shortened(name: str) -> str:
    """Returns a name that fits into a line: the middle of a long one is left out."""
    half = (_LONGEST_NAME - 3) // 2
    return name if len(name) <= _LONGEST_NAME else f"{name[:half]}...{name[-half:]}"


def _not_finite(numbers: Mapping[str, Mapping[str, float]], reasons: Mapping[str, str]) -> Iterator[Note]:
    for quantity, thing in (
        ("dead_units", "activations"),
        ("weight_norm", "weights"),
        ("gradient_norm", "gradients"),
    ):
        for layer, value in numbers.get(quantity, {}).items():
            if not np.isfinite(value) and not (quantity == "dead_units" and layer in reasons):
                yield Note(layer, 2.0, f"some of its {thing} are NaN or infinite")


def _fractions(numbers: Mapping[str, Mapping[str, float]]) -> Iterator[Note]:
    dead, norms = numbers.get("dead_units", {}), numbers.get("gradient_norm", {})
    for quantity, (least, weight, words) in _FRACTIONS.items():
        for layer, value in numbers.get(quantity, {}).items():
            is_known = quantity == "dormant_units" and value <= dead.get(layer, 0.0)  # dead ones are dormant
            is_known |= quantity == "dormant_gradients" and norms.get(layer) == 0
            if value >= least and not is_known:
                yield Note(layer, weight * value, words.format(_percent(value)))


def _low_ranks(
    numbers: Mapping[str, Mapping[str, float]], arrays: Mapping[str, Mapping[str, Any]]
) -> Iterator[Note]:
    for quantity, (spectrum, weight, words) in _RANKS.items():
        for layer, value in numbers.get(quantity, {}).items():
            highest = len(arrays.get(spectrum, {}).get(layer, ()))
            if highest >= _LEAST_RANK and value < _LOW_RANK * highest:
                severity = weight * (1 - value / (_LOW_RANK * highest))
                yield Note(layer, severity, words.format(f"{value:.0f}", highest))


def _gradients(norms: Mapping[str, float]) -> Iterator[Note]:
    """Yields notes on layers whose gradient is zero, or far from the others'."""
    of_layers = {layer: value for layer, value in norms.items() if layer != WHOLE and np.isfinite(value)}
    median = float(np.median(list(of_layers.values()))) if of_layers else 0.0
    for layer, value in of_layers.items():
        if value == 0:
            yield Note(layer, 1.0, "no gradient reaches it")
        elif len(of_layers) >= _FEWEST_LAYERS and median > 0:
            if value > _FAR * median:
                yield Note(layer, 0.4, f"its gradient is {value / median:,.0f} times the median layer's")
            elif value * _FAR < median:
                yield Note(layer, 0.4, f"its gradient is 1/{median / value:,.0f} of the median layer's")


def _percent(fraction: float) -> str:
    if fraction == 1:
        return "all"
    return f"{min(fraction, 0.99):.0%}".replace("%", " %")


def _count(number: int, noun: str, plural: str = "") -> str:
    return f"{number} {noun if number == 1 else plural or noun + 's'}"
