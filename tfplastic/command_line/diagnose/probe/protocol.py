"""The probe that the flags ask for."""

import dataclasses
from typing import Any

import tensorflow as tf

from tfplastic.command_line.diagnose.keras_files.named_loss import shape_text
from tfplastic.command_line.diagnose.probe.options import NUM_INPUTS, SETTINGS, Options, parse_value_range
from tfplastic.configuration.errors import UsageError
from tfplastic.networks import CategoricalHead
from tfplastic.probing import (
    Classification,
    Head,
    Probe,
    RandomLabels,
    RandomNetworkTargets,
    Regression,
    SineTargets,
    Targets,
    TwoHot,
)

TARGETS: dict[str, type[Targets]] = {
    "sine": SineTargets,
    "random_network": RandomNetworkTargets,
    "random_labels": RandomLabels,
}


def make_probe(given: Options, own: Any, model: Any, inputs: Any) -> Probe:
    """Returns a probe by the flags, else by the run's own probe, else by `Probe`'s defaults.

    Args:
        given: the flags.
        own: the probe of the run; None where there is none.
        model: model to probe, for the shape of its outputs.
        inputs: all that there are, a nest of arrays `[n, ...]`.

    Raises:
        UsageError: the outputs do not fit `--value_range` or its absence.
    """
    probe = own if isinstance(own, Probe) else Probe()
    settings = {name: getattr(given, name) for name in SETTINGS if getattr(given, name) is not None}
    targets = probe.targets if given.targets is None else TARGETS[given.targets]()
    outputs = model(tf.nest.map_structure(lambda each: each[:1], inputs)).shape
    head = _head(given, probe.head, isinstance(targets, RandomLabels), outputs)
    count = min(num_inputs(given, own), len(tf.nest.flatten(inputs)[0]))
    return dataclasses.replace(probe, **{**settings, "targets": targets, "head": head, "num_inputs": count})


def num_inputs(given: Options, own: Any) -> int:
    """Returns the number of inputs, by the flags or by the probe of the run, if it has one."""
    return given.num_inputs or getattr(own, "num_inputs", None) or NUM_INPUTS


def _head(given: Options, own: Head, takes_labels: bool, outputs: Any) -> Head:
    shape = shape_text(outputs[1:])
    if given.value_range is not None:
        if len(outputs) != 3:
            rule = "goes with a network whose outputs are of shape [examples, outputs, bins]"
            raise UsageError(f"--value_range {rule}. Received: {shape}")
        return TwoHot(head=CategoricalHead(*parse_value_range(given.value_range), num_bins=outputs[2]))
    if takes_labels:
        return own if isinstance(own, Classification) else Classification()
    if isinstance(own, Classification):
        own = Regression()
    if isinstance(own, Regression) and len(outputs) == 3:
        rule = f"must be given for outputs of shape {shape}, logits over bins of values"
        raise UsageError(f"--value_range {rule}")
    return own
