"""A small run by hand that calls mitigations where the training loop does, in four kinds of program."""

import functools
import inspect

import numpy as np
import tensorflow as tf

from tfplastic import networks, seeds
from tfplastic._keras import keras
from tfplastic._tf.random import fold_in
from tfplastic.mitigations import StepContext
from tfplastic.mitigations._weights.trainable import trainable_weights
from tfplastic.mitigations.build_all import build_all, own_weights
from tfplastic.mitigations.network_resets._frozen_heads import FrozenHeads
from tfplastic.optimizers import adam, slots
from tfplastic.tasks import DataBatches, TaskLoss
from tfplastic.training.step_parts.weight_history import WeightHistory

NUM_STEPS, PERIOD = 6, 2
PROGRAMS = ("eager", "graph", "loop", "xla")


def network(norm: str | None = "layer"):
    return networks.mlp(3, (6, 5), input_shape=(4,), norm=norm)


class SmallRun:
    """A classifier of noise and its mitigations, each of which acts after every second step, a boundary.

    Args:
        mitigations: already constructed; they are built here.
        model: a small MLP by default.
        optimizer: Adam by default.
        seed: seed of the mitigations' keys.
    """

    def __init__(self, mitigations=(), model=None, optimizer=None, seed=0):
        self.network = self.model = network() if model is None else model
        for mitigation in mitigations:
            self.model = mitigation.extend_network(self.model)
        self.optimizer = adam(0.01, epsilon=1e-3) if optimizer is None else optimizer
        self.slots = functools.partial(slots, self.optimizer)
        self.mitigations = list(mitigations)
        build_all(self.mitigations, self.model, self.optimizer, seed)
        self.own_weights = own_weights(self.mitigations)
        most = max((each.history for each in self.mitigations), default=0)
        self.history = WeightHistory(self.model.trainable_variables, most)
        self.keys = [tf.constant(seeds.derive(seed, "mitigation", n)) for n in range(len(self.mitigations))]
        generator = np.random.default_rng(0)
        self.inputs = tf.constant(generator.normal(size=(NUM_STEPS, 8, 4)), tf.float32)
        self.labels = tf.constant(generator.integers(0, 3, size=(NUM_STEPS, 8)))
        self.losses = []

    def train(self, program="eager"):
        """Takes the steps and returns itself."""
        if program in ("eager", "graph"):
            step = self._step if program == "eager" else tf.function(self._step, autograph=False)
            self.losses += [float(step(tf.constant(n, tf.int64))) for n in range(1, NUM_STEPS + 1)]
            return self
        compiled = tf.function(self._loop, autograph=False, jit_compile=program == "xla")
        self.losses.append(float(compiled()))
        return self

    def act(self, mitigation, seed=0, is_built=False):
        """Builds a mitigation that played no part in the training, calls it once and returns itself."""
        if not is_built:
            self.build(mitigation, seed)
        key, step = tf.constant(seeds.derive(seed, "act")), tf.constant(NUM_STEPS, tf.int64)
        context = self._context(mitigation, self._differentiate(step)[2]) if mitigation.reads else None
        mitigation.after_update(step, self.model, self.slots, key, context)
        return self

    def build(self, mitigation, seed=0):
        """Builds a mitigation for the network, which it may extend."""
        self.model = mitigation.extend_network(self.model)
        mitigation.make_trainable(self.model, seed)
        mitigation.build(self.model, self.optimizer, seed)

    def penalty_and_gradients(self, mitigation):
        """A mitigation's penalty in the last step, and its gradients by all weights and by its own."""
        parts, step = {}, tf.constant(NUM_STEPS, tf.int64)
        weights = [*self.model.trainable_variables, *mitigation.trainable_variables]
        with tf.GradientTape() as tape:
            tape.watch(weights)
            self._task_loss(step, parts)
            penalty = mitigation.penalty(self.model.trainable_variables, self._context(mitigation, parts))
        return penalty, tape.gradient(penalty, weights)

    def weights(self):
        """{'layer/role': value} of the trainable weights."""
        return {str(each): each.variable.numpy() for each in trainable_weights(self.model)}

    def slot_values(self):
        """{'layer/role': {slot: value}}."""
        return {
            str(each): {name: slot.numpy() for name, slot in self.slots(each.variable).items()}
            for each in trainable_weights(self.model)
        }

    def variables(self):
        """All variables of the network, without what extends it, and of the optimizer."""
        return [*self.network.variables, *self.optimizer.variables]

    def everything(self):
        """The values of all `variables`."""
        return [each.numpy() for each in self.variables()]

    def _loop(self):
        def body(step, loss):
            return step + 1, self._step(step)

        start = (tf.constant(1, tf.int64), tf.zeros([]))
        return tf.while_loop(lambda step, _: step <= NUM_STEPS, body, start)[1]

    def _step(self, step):
        variables = self.model.trainable_variables
        loss, gradients, parts = self._differentiate(step)
        for mitigation in self.mitigations:
            if mitigation.transforms_gradients:
                gradients = mitigation.transform_gradients(gradients, variables)
        self.history.note()
        trained = [*variables, *self.own_weights]
        self.optimizer.apply_gradients(zip([*gradients, *parts["own"]], trained, strict=True))
        tf.cond(step % PERIOD == 0, lambda: self._after_update(step, parts), lambda: tf.constant(False))
        return loss

    def _differentiate(self, step):
        """The loss with its penalties, its gradients, and the parts of the step's context."""
        parts = {}
        variables = self.model.trainable_variables
        with tf.GradientTape() as tape:
            loss = self._task_loss(step, parts)
            for mitigation in self.mitigations:
                if mitigation.adds_penalty:
                    loss += mitigation.penalty(variables, self._context(mitigation, parts))
        gradients = tape.gradient(loss, [*variables, *self.own_weights])
        gradients, parts["own"] = gradients[: len(variables)], gradients[len(variables) :]
        parts["gradients"] = lambda: gradients
        return loss, gradients, parts

    def _task_loss(self, step, parts):
        """The loss without penalties, whose parts of the step's context are put into `parts`."""
        inputs, labels, activations = self.inputs[step - 1], self.labels[step - 1], {}
        other = step % NUM_STEPS
        parts |= {"batch": lambda: (inputs, labels), "step": lambda: step}
        parts |= {"activations": lambda: activations, "at_boundary": lambda: step % PERIOD == 0}
        parts |= {"further_batch": lambda: (self.inputs[other], self.labels[other])}
        data = DataBatches(tf.constant(NUM_STEPS), lambda n: (self.inputs[n], self.labels[n]))
        parts["data"] = lambda: data
        logits, given = inputs, {}
        for layer in self.model.layers:
            if isinstance(layer, keras.layers.InputLayer):
                continue
            if isinstance(layer, FrozenHeads):
                logits = layer([logits, given[layer.old.layers[1].name]])
                continue
            given[layer.name] = features = logits
            logits = layer(logits, training=True) if _knows_training(layer) else layer(logits)
            if "relu" in layer.name:
                activations[layer.name] = logits
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        parts |= {"features": lambda: features, "loss": lambda: loss}
        return loss

    def _context(self, mitigation, parts):
        return StepContext(mitigation, parts, self.model, loss_of, self.history.older)

    def _after_update(self, step, parts):
        for mitigation, key in zip(self.mitigations, self.keys, strict=True):
            if mitigation.acts_after_update:
                own_key = fold_in(key, step)
                context = self._context(mitigation, parts)
                mitigation.after_update(step, self.model, self.slots, own_key, context)
        return tf.constant(True)


def loss_of(model, batch, training=False):
    """The loss of another batch, as tasks have it."""
    inputs, labels = batch
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model(inputs, training=training))
    return TaskLoss(tf.reduce_mean(losses), losses, {})


def _knows_training(layer):
    return "training" in inspect.signature(layer.call).parameters


def same_bits(first, second):
    """Whether two sequences of arrays are equal to the last bit, signs of zeros included."""
    pairs = zip(first, second, strict=True)
    return all(one.shape == other.shape and one.tobytes() == other.tobytes() for one, other in pairs)
