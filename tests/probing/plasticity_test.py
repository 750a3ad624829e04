"""The meaning of a verdict: untrained networks are as fresh ones, and random labels cost plasticity."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.probing import models
from tfplastic import probing
from tfplastic.probing._training.reinitialized import rebuild


def mlp(norm=False):
    layers = [keras.Input((8,))]
    for _ in range(2):
        layers.append(keras.layers.Dense(32, kernel_initializer="lecun_normal"))
        layers += [keras.layers.LayerNormalization()] if norm else []
        layers.append(keras.layers.ReLU())
    return keras.Sequential([*layers, keras.layers.Dense(4, kernel_initializer="lecun_normal")])


@pytest.mark.slow
def test_the_prediction_interval_holds_zero_for_most_untrained_networks():
    """95 % of 40 are 38; fewer than 34 would come once in 100 times."""
    held, x = 0, models.inputs(100, 8)
    for seed in range(8):
        probe = probing.Probe(num_targets=5, num_steps=100, batch_size=16, seed=seed)
        for number in range(5):
            model = rebuild(mlp(), 1_000 + 5 * seed + number, x[:1])
            low, high = probe.measure(model, x, keras.optimizers.Adam(1e-3)).loss_of_plasticity_interval
            held += low <= 0 <= high
    assert held >= 34


def memorize(model, optimizer, x, seed, tasks=25, steps=300):
    """Trains on random labels, drawn again for each task."""

    @tf.function
    def train(labels, places):
        for batch in places:
            with tf.GradientTape() as tape:
                logits = model(tf.gather(x, batch), training=True)
                wanted = tf.gather(labels, batch)
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(wanted, logits)
                loss = tf.reduce_mean(losses)
            gradients = tape.gradient(loss, model.trainable_variables)
            optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))

    generator = np.random.default_rng(seed)
    for _ in range(tasks):
        labels = generator.integers(4, size=len(x), dtype=np.int32)
        train(tf.constant(labels), tf.constant(generator.integers(len(x), size=(steps, 32), dtype=np.int32)))


SETTINGS: dict[bool, dict[str, Any]] = {False: {"epsilon": 1e-9}, True: {"epsilon": 0.03, "beta_2": 0.9}}
"""Losses of Adam, without and with LayerNorm."""


@pytest.mark.slow
def test_random_labels_cost_plasticity():
    """With a learning rate at which default Adam kills units; a network with LayerNorm keeps closer."""
    x = models.inputs(100, 8)
    for seed in range(3):
        losses = {}
        for norm, settings in SETTINGS.items():
            model = rebuild(mlp(norm), seed, x[:1])
            memorize(model, keras.optimizers.Adam(1e-2, **settings), x, seed)
            probe = probing.Probe(num_targets=5, num_steps=200, batch_size=16)
            result = probe.measure(model, x, keras.optimizers.Adam(1e-2, **settings))
            losses[norm] = result.loss_of_plasticity
            if not norm:
                assert result.verdict == "lost", str(result)
        assert losses[True] < losses[False]
