"""The output layers of networks, some with networks inside."""

import pytest

from tfplastic._keras import keras
from tfplastic.diagnostics.reading.output_layers import kernel_layers, output_layers


def dense(name, units=3):
    return keras.layers.Dense(units, name=name)


def sequential(*layers, name):
    return keras.Sequential([keras.Input((4,)), *layers], name=name)


def two_heads():
    inputs = keras.Input((4,))
    z = dense("shared", 4)(inputs)
    actor = sequential(dense("actor_hidden"), keras.layers.ReLU(), dense("actor_out"), name="actor")
    critic = sequential(dense("critic_hidden"), dense("critic_out"), name="critic")
    return keras.Model(inputs, [actor(z), critic(z)])


def nested_with_two_outputs():
    inputs = keras.Input((4,))
    z = dense("encoder_out", 4)(inputs)
    inner = keras.Input((4,))
    heads = keras.Model(inner, [dense("one")(inner), dense("other")(dense("hidden")(inner))], name="heads")
    return keras.Model(inputs, heads(z))


def one_after_another():
    inputs = keras.Input((4,))
    encoder = sequential(dense("encoder_hidden"), dense("encoder_out", 4), name="encoder")
    return keras.Model(inputs, sequential(dense("hidden"), dense("out"), name="head")(encoder(inputs)))


def recurrent():
    return keras.Sequential([keras.Input((4, 2)), dense("hidden"), keras.layers.GRU(3, name="recurrent")])


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (two_heads, ["actor_out", "critic_out"]),
        (nested_with_two_outputs, ["one", "other"]),
        (one_after_another, ["out"]),
        (recurrent, ["gru_cell"]),
    ],
)
def test_they_are_found_inside_of_nested_networks_too(make, expected):
    model = make()
    found = [each.name for each in output_layers(model, kernel_layers(model))]
    assert sorted(found) == expected


def test_frozen_layers_count():
    model = two_heads()
    model.get_layer("critic").trainable = False
    assert [each.name for each in output_layers(model, kernel_layers(model))] == ["actor_out", "critic_out"]
    assert [each.name for each in kernel_layers(model)][0] == "shared"
