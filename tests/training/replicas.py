"""Trains small models on one device and on two logical ones, and prints how far apart they end.

A process of its own, because logical devices are configured before TensorFlow starts:

    python -m tests.training.replicas [ROW ...]
"""

import json
import sys
from typing import Any

import numpy as np
import tensorflow as tf

from tfplastic import callbacks, diagnostics, layers, mitigations, optimizers
from tfplastic._keras import keras
from tfplastic.training import PlasticModel

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.normal(size=(24, 6, 6, 2)).astype(np.float32)
TARGETS = IMAGES[:, 0, 0, :1] * 2
REGULARIZED = {"kernel_regularizer": keras.regularizers.L2(0.1)}


def two_replicas():
    """A strategy for the whole process: TensorFlow numbers the sums of a second one from the start again."""
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def mlp():
    parts = [keras.layers.Flatten(), keras.layers.Dense(4, "relu", **REGULARIZED), keras.layers.Dense(1)]
    return keras.Sequential([keras.Input((6, 6, 2)), *parts])


def every_layer():
    kernel = keras.initializers.GlorotUniform(seed=1)
    return keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            layers.SpectralConv2D(4, 3, kernel_initializer=kernel, activation="relu"),  # [4, 4, 4]
            layers.ActivationMonitor(momentum=0.5),
            keras.layers.Reshape((16, 4)),
            layers.ClassToken(),
            layers.PositionEmbedding(),
            keras.layers.Dense(12),  # queries, keys and values
            layers.SelfAttention(num_heads=2),
            layers.RMSNormalization(),
            layers.SteppedDropout(0.3, seed=3),
            keras.layers.Flatten(),
            layers.SpectralDense(3, kernel_initializer=kernel, activation="tanh"),
            keras.layers.Dense(1, use_bias=False),
            layers.SharedBias(),
        ]
    )


def with_a_head():
    head = [keras.layers.Dense(3, "relu", name="head"), keras.layers.Dense(1)]
    return keras.Sequential(
        [keras.Input((6, 6, 2)), keras.layers.Flatten(), keras.layers.Dense(4, "relu"), *head]
    )


def layers_with_a_state():
    kernel = keras.initializers.GlorotUniform(seed=1)
    return keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            keras.layers.Flatten(),
            layers.SpectralDense(4, kernel_initializer=kernel, activation="relu"),
            layers.ActivationMonitor(momentum=0.5),
            layers.SteppedDropout(0.3, seed=3),
            keras.layers.Dense(1),
        ]
    )


def every_mitigation():
    return [
        mitigations.WeightDecay(0.01),
        mitigations.ShrinkAndPerturb(period=3, reset_slots=True),
        mitigations.ResetOptimizerState(period=4),
        mitigations.ResetLastLayer(period=5),
    ]


def every_other_mitigation():
    """The rest of those that read nothing of the step."""
    return [
        mitigations.L2Init(0.01),
        mitigations.WassersteinInit(0.01),
        mitigations.SpectralRegularization(0.01),
        mitigations.ParsevalRegularization(1e-4),
        mitigations.GradientClipping(1.0),
        mitigations.WeightClipping(2.0),
        mitigations.NormalizeAndProject(),
        mitigations.FIRE(period=3),
        mitigations.ResetNetwork(period=5),
    ]


def hare():
    return mitigations.HareAndTortoise(reset_period=4, decay=0.5)


def injection():
    return mitigations.PlasticityInjection(after=2, head="head")


def sgd():
    return optimizers.sgd(0.01, momentum=0.9, max_gradient_norm=0.5)


def adam():
    return optimizers.adam(0.01, max_gradient_norm=0.5)


ROWS: dict[str, tuple[Any, Any, Any, Any]] = {
    "state": (layers_with_a_state, sgd, every_mitigation, "mse"),
    "together": (every_layer, sgd, every_mitigation, "mse"),
    "layers": (every_layer, sgd, lambda: [], "mse"),
    "mitigations": (mlp, adam, every_mitigation, "mse"),
    "sum": (mlp, sgd, lambda: [], keras.losses.Huber(reduction="sum")),
    "rmsprop": (mlp, lambda: optimizers.centered_rmsprop(0.01), lambda: [], "mse"),
    "adam of Keras": (mlp, lambda: keras.optimizers.Adam(0.01), every_mitigation, "mse"),
    "epsilon inside": (mlp, lambda: optimizers.adam(0.01, epsilon_root=1e-3), lambda: [], "mae"),
    **{
        name: (mlp, make, lambda: [], "mse")
        for name, make in {
            "ada_upgd": lambda: optimizers.ada_upgd(0.01),
            "adamo": lambda: optimizers.adamo(0.1, 0.01),
            "adamw": lambda: optimizers.adamw(0.01),
            "muon": lambda: optimizers.muon(0.01),
            "obgd": lambda: optimizers.obgd(0.1, trace_decay=0.5),
            "trac": lambda: optimizers.trac(optimizers.adam(0.01)),
            "upgd": lambda: optimizers.upgd(0.01),
        }.items()
    },
    "other mitigations": (mlp, adam, every_other_mitigation, "mse"),
    "hare": (mlp, adam, lambda: [hare()], "mse"),
    "injection": (with_a_head, adam, lambda: [injection()], "mse"),
    "hare and injection": (with_a_head, adam, lambda: [hare(), injection()], "mse"),
    **{
        type(each).__name__: (mlp, adam, lambda each=each: [each], "mse")  # one run after another
        for each in every_mitigation()
    },
}


def trained(strategy, network, optimizer, mitigation, loss):
    """All weights and optimizer slots after five steps, and the metrics of `fit`."""
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = PlasticModel(network())
        model.compile(optimizer(), loss, mitigations=mitigation(), seed=1)
    history = model.fit(IMAGES, TARGETS, batch_size=4, epochs=1, shuffle=False, verbose=0).history
    if model._mitigations and any(each.evaluation_weights for each in model._mitigations):
        history["evaluation"] = [model.evaluate(IMAGES, TARGETS, batch_size=4, verbose=0)]
    slots: Any = model.optimizer.variables
    slots = slots() if callable(slots) else slots
    assert len(history["loss"]) == 1 and model.gradient_steps == 6
    return [np.asarray(each) for each in [*model.get_weights(), *slots]], history


def differences(mirrored, rows):
    """{row: the largest difference of a weight, slot or reported mean}."""
    found = {}
    for row in rows:
        one, reported = trained(tf.distribute.get_strategy(), *ROWS[row])
        two, of_two = trained(mirrored, *ROWS[row])
        assert reported.keys() == of_two.keys() and len(one) == len(two)
        weights = max(float(np.abs(a - b).max()) for a, b in zip(one, two, strict=True))
        means = max(abs(reported[name][0] - of_two[name][0]) for name in reported)
        found[row] = max(weights, means)
    return found


def refusals(mirrored):
    """The lines about limits of replicas."""
    reads, keeps = mitigations.ReDo(period=2), mitigations.CChain()
    refused = ({"step_statistics": [diagnostics.dead_units]}, {"jit_compile": True})
    refused += ({"mitigations": [reads]}, {"mitigations": [keeps]})
    with mirrored.scope():
        plain, model = mlp(), PlasticModel(mlp())
        plain.compile("sgd", "mse")
    lines = [line_of(model.compile, "sgd", "mse", **each) for each in refused]
    rule = callbacks.Threshold(diagnostics.dead_units, above=-1.0)
    alarm = callbacks.PlasticityAlarm(IMAGES, rule=rule, action=mitigations.ReDo())
    return lines + [
        line_of(plain.fit, IMAGES, TARGETS, callbacks=[each], verbose=0)
        for each in (callbacks.ApplyMitigation(reads), alarm)
    ]


def line_of(function, *args, **kwargs):
    try:
        function(*args, **kwargs)
    except ValueError as error:
        return str(error)
    return ""


if __name__ == "__main__":
    replicas = two_replicas()
    found = {"differences": differences(replicas, sys.argv[1:] or ROWS), "refusals": refusals(replicas)}
    print(json.dumps(found))
