"""Which layer and quantity first was not finite: in the graph, under XLA, and on the host."""

import re
import sys
from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf

import tfplastic as tp
from tests.training import loop_test
from tests.training.graph_loop_test import run
from tests.training.loop_test import read_status
from tests.training.regression_task import RegressionTask
from tfplastic import _checkpoint_files
from tfplastic._keras import keras
from tfplastic.mitigations import Mitigation
from tfplastic.training import Loop, NonFiniteLossError, TrainConfig

XLA_IS_SLOW = ["graph", pytest.param("xla", marks=pytest.mark.slow)]
AT = 13


class Root(keras.layers.Layer):
    """x + sqrt(scale): at scale 0 its output is finite and the gradient of `scale` is not."""

    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
        self.spare = self.add_weight(name="spare", shape=(), initializer="ones")  # nothing reads it

    def call(self, inputs):
        return inputs + tf.sqrt(self.scale)


def network(num_outputs, *, input_shape, seed):
    def dense(units, activation, name):
        initializer = keras.initializers.GlorotUniform(tp.seeds.derive_integer(seed, name))
        return keras.layers.Dense(units, activation, kernel_initializer=initializer, name=name)

    layers = [keras.layers.InputLayer(input_shape), keras.layers.Flatten(), dense(6, "relu", "hidden")]
    return keras.Sequential([*layers, Root(name="root"), dense(num_outputs, None, "output")])


class Sabotage(Mitigation):
    """After gradient step `at` it assigns one value to all of a weight."""

    def __init__(self, layer, weight, value, at=AT, period=1):
        self.layer, self.weight, self.value, self.at, self.period = layer, weight, value, at, period

    def after_update(self, step, model, slots, key, context):
        weight = getattr(model.get_layer(self.layer), self.weight)
        bad = tf.fill(weight.shape, tf.constant(self.value, weight.dtype))
        weight.assign(tf.where(step == self.at, bad, tf.convert_to_tensor(weight)))


class Steep(Mitigation):
    """From gradient step `at` + 1 on the gradient of the last bias is infinite."""

    period = 1

    def build(self, model, optimizer, seed):
        self.factor = tf.Variable(1.0, trainable=False)

    def transform_gradients(self, gradients, variables):
        return [*gradients[:-1], gradients[-1] * self.factor]

    def after_update(self, step, model, slots, key, context):
        self.factor.assign(tf.where(step == AT, np.inf, self.factor))

    @property
    def state(self):
        return {"factor": self.factor}


class PoisonedBatch(NamedTuple):
    images: Any
    labels: Any


class PoisonedTask(tp.tasks.RandomLabelTask):
    """One image of the batch of gradient step `AT` + 1 is NaN."""

    def next(self, state, key):
        batch, state = super().next(state, key)
        bad = tf.where(state.total_steps == AT + 1, np.nan, 1.0)
        return PoisonedBatch(batch.images * tf.cast(bad, tf.float32), batch.labels), state


def make_loop(program, mitigations=(), kind: Any = tp.tasks.RandomLabelTask, seed=0, **config) -> Any:
    task = kind("digits", network, num_examples=32, steps_per_task=50, batch_size=8)
    settings: Any = (
        dict(log_period=100, evaluation_period=100, checkpoint_period=100, compiler=program) | config
    )
    optimizer = keras.optimizers.SGD(0.01)
    return Loop(TrainConfig(task, optimizer, 30, seed=seed, mitigations=mitigations, **settings))


def message_of(path, loop, run=run):
    with pytest.raises(NonFiniteLossError) as error:
        run(path, loop)
    status = read_status(path)
    assert status["state"] == "failed" and status["error"] == f"NonFiniteLossError: {error.value}"
    assert "\n" not in str(error.value)
    return str(error.value)


# After AT steps all is finite; the message is about the step after that, or the mitigation's own.
KINDS = {
    "output": (
        [Sabotage("hidden", "kernel", 3e38)],
        "the first was the output of layer 'hidden' at gradient",
    ),
    "later output": ([Sabotage("output", "kernel", -3e38)], "the first was the output of layer 'output' at"),
    "gradient": (
        [Sabotage("root", "scale", 0.0)],
        "the first was the gradient of 'scale' of layer 'root' at",
    ),
}


@pytest.mark.parametrize(  # graph_loop_test.py has an output under XLA
    ("kind", "program"),
    [
        ("output", "graph"),
        ("gradient", "graph"),
        ("gradient", "xla"),
        pytest.param("output", "xla", marks=pytest.mark.slow),
        pytest.param("later output", "graph", marks=pytest.mark.slow),
        pytest.param("later output", "xla", marks=pytest.mark.slow),
    ],
)
def test_output_or_gradient_of_a_layer(tmp_path, program, kind):
    mitigations, expected = KINDS[kind]
    message = message_of(tmp_path, make_loop(program, mitigations))
    assert f"{expected}" in message and f"at gradient step {AT + 1}. " in message
    assert message.endswith("Lower the learning rate, and start again in another run directory")


@pytest.mark.parametrize("program", XLA_IS_SLOW)
def test_the_batch(tmp_path, program):
    message = message_of(tmp_path, make_loop(program, kind=PoisonedTask, checkpoint_period=10))
    source = f"bin/train ... --init_from={tmp_path}@10 --run_dir=NEW"
    # The ReLU makes 0 of NaN, so that the loss may be finite: the gradient is not, and then the weights.
    assert re.match(r"The (loss is not finite at|gradient is not finite by) gradient step \d+", message)
    assert message.endswith(
        "; the first was 'images' of the batch at gradient step 14. "
        f"Continue from its last checkpoint with a lower learning rate: {source}"
    )
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [
        "shared",
        "step_000000000010",
    ]


@pytest.mark.parametrize("program", XLA_IS_SLOW)
def test_an_update(tmp_path, program, monkeypatch):
    looked = []
    newest_good = _checkpoint_files.newest_good
    monkeypatch.setattr(
        _checkpoint_files, "newest_good", lambda *given: looked.append(given) or newest_good(*given)
    )
    monkeypatch.setattr(sys, "argv", ["/usr/bin/tfplastic-train"])
    message = message_of(tmp_path, make_loop(program, [Steep()], checkpoint_period=5))
    actor = "as the optimizer or a mitigation changed it at gradient step 14"
    assert f"; the first was the weight 'bias' of layer 'output', {actor}. " in message
    assert message.endswith(f": tfplastic-train ... --init_from={tmp_path}@10 --run_dir=NEW")
    assert len(looked) == 2  # to resume from, and to explain: it reads all files of the checkpoint


@pytest.mark.parametrize("program", XLA_IS_SLOW)
def test_a_mitigation_between_steps(tmp_path, program):
    mitigations = [Sabotage("output", "bias", np.nan, at=20, period=10)]
    message = message_of(tmp_path, make_loop(program, mitigations, checkpoint_period=11))
    expected = "the weight 'bias' of layer 'output', as a mitigation changed it at gradient step 20. "
    assert f"The loss is not finite at gradient step 21; the first was {expected}" in message


@pytest.mark.parametrize("program", XLA_IS_SLOW)
def test_weights_that_no_loss_shows(tmp_path, program):
    loop = make_loop(program, [Sabotage("root", "spare", np.inf)], checkpoint_period=10)
    message = message_of(tmp_path, loop)
    assert message.startswith(
        "The weights are not finite by gradient step 20, though the loss is; the first was the"
    )
    assert (
        "weight 'spare' of layer 'root', as the optimizer or a mitigation changed it at gradient step 13"
        in message
    )
    assert f"--init_from={tmp_path}@10 " in message  # The checkpoint of step 20 was not written.


def test_a_gradient_of_the_last_step_is_found_though_no_loss_follows(tmp_path):
    loop = make_loop("graph", [Sabotage("root", "scale", 0.0, at=29)])
    message = message_of(tmp_path, loop)
    assert message.startswith(
        "The gradient is not finite by gradient step 30, though the loss is; the first was"
    )
    assert "the gradient of 'scale' of layer 'root' at gradient step 30. " in message


def host_loop(mitigations=(), **task):
    return loop_test.make_loop(RegressionTask(**task), mitigations=mitigations)


def test_a_task_on_the_host(tmp_path):
    message = message_of(tmp_path / "batch", host_loop(bad_step=11), loop_test.run)
    assert "step 11; the first was the batch at gradient step 11. Continue from its last" in message
    assert message.endswith(f"--init_from={tmp_path / 'batch'}@9 --run_dir=NEW")
    loop = host_loop([Sabotage("hidden", "kernel", 3e38, at=10)])
    message = message_of(tmp_path / "output", loop, loop_test.run)
    assert "step 11; the first was the output of layer 'hidden' at gradient step 11. " in message
    loop = host_loop([Sabotage("output", "bias", np.nan, at=10)])
    message = message_of(tmp_path / "weight", loop, loop_test.run)
    assert "step 11; the first was the weight 'bias' of layer 'output' at gradient step 11. " in message


def test_a_gradient_of_a_task_on_the_host(tmp_path):
    class Kinked(RegressionTask):
        def loss(self, model, batch, training=False):
            output = super().loss(model, batch, training)
            kernel = model.get_layer("hidden").kernel  # at 0 its root has an infinite derivative
            return output._replace(loss=output.loss + tf.sqrt(tf.abs(kernel[0, 0])))

    loop = loop_test.make_loop(Kinked(), mitigations=[Sabotage("hidden", "kernel", 0.0, at=10)])
    message = message_of(tmp_path, loop, loop_test.run)
    assert message.startswith(
        "The gradient is not finite by gradient step 11, though the loss is; the first was"
    )
    assert "the gradient of 'kernel' of layer 'hidden' at gradient step 11. " in message


class Burst(Mitigation):
    """A penalty that reads the context; from gradient step `AT` + 1 on it is infinite."""

    reads = ("further_batch", "step")

    def penalty(self, variables, context):
        outputs = context.outputs_on(context.further_batch)
        return tf.reduce_sum(outputs**2) * tf.where(context.step > AT, np.inf, 0.0)


class Kink(Burst):
    """The same, of which the penalty stays 0 and only its gradient is not finite."""

    def penalty(self, variables, context):
        late = tf.cast(context.step > AT, tf.float32)
        distance = tf.reduce_sum((variables[-1] - tf.stop_gradient(variables[-1])) ** 2)
        return tf.sqrt(distance * late + (1 - late))


class Growth(Mitigation):
    """A penalty that reads nothing, infinite for weights that are not all small."""

    def __init__(self, factor):
        self.factor = factor

    def penalty(self, variables, context):
        return self.factor * tf.reduce_sum(variables[-1] ** 2)


@pytest.mark.parametrize(
    ("mitigations", "first"),
    [
        ([Burst()], "the penalty of Burst"),
        pytest.param([Growth(1.0), Burst()], "the penalty of Burst", marks=pytest.mark.slow),
        ([Kink()], "the gradient of 'bias' of layer 'output'"),
    ],
)
def test_a_penalty_that_reads_the_context_is_named(tmp_path, mitigations, first):
    message = message_of(tmp_path, make_loop("graph", mitigations))
    assert f"; the first was {first} at gradient step {AT + 1}. " in message


def test_a_penalty_that_reads_nothing_is_named(tmp_path):
    message = message_of(tmp_path, make_loop("graph", [Growth(np.inf), tp.mitigations.WeightDecay()]))
    assert "; the first was the penalty of Growth at gradient step 1. " in message


class Leap(Mitigation):
    """A penalty that reads the step, infinite from the third one on."""

    reads = ("step", "outputs")

    def penalty(self, variables, context):
        late = tf.where(context.step > 2, np.inf, 0.0)
        return tf.reduce_sum(context.outputs**2) * late + 0.0 * tf.reduce_sum(variables[-1])


def test_a_penalty_is_named_where_batches_come_from_the_host(tmp_path):
    loop = loop_test.make_loop(mitigations=[Leap()])
    message = message_of(tmp_path, loop, loop_test.run)
    assert "; the first was the penalty of Leap at gradient step 3. " in message
