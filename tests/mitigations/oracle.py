"""A run of the loop and the same run by hand in float64, with gradient descent with momentum."""

import functools
from typing import Any

import numpy as np
import tensorflow as tf

import tfplastic as tp
from tests.mitigations.numpy_network import loss_and_gradients, outputs
from tests.training.graph_loop_test import run
from tfplastic.mitigations._weights.trainable import trainable_weights
from tfplastic.mitigations.fresh import WeightReinitializer
from tfplastic.training import Loop, TrainConfig

RATE, MOMENTUM = 0.05, 0.9
NETWORKS = {
    "dense": functools.partial(tp.networks.mlp, hidden=(16, 8)),
    "convolutional": functools.partial(
        tp.networks.cnn, filters=(6, 4), kernel_sizes=(3, 3), strides=(1, 1), padding="valid", hidden=(8,)
    ),
}


def key_of(name, number, *more):
    key = tf.constant(tp.seeds.derive(0, name, *more))
    return tf.random.experimental.stateless_fold_in(key, number, alg="philox")


class Oracle:
    """The run by hand, next to the loop's own: a mitigation's test acts between its steps.

    Args:
        mitigation: built by the loop.
        steps: number of gradient steps.
        network: name in `NETWORKS`.
        compiler: compiler of the loop.
        silent: units of the first hidden layer that never fire.
        steps_per_task: gradient steps between new labels.

    Attributes:
        weights: float64 arrays, kernels each with its bias, of the run by hand.
        momenta: slots of the optimizer.
        hidden: values of the hidden layers in the last step, before its update, `[values, units]`.
        gradients: gradients of the last step.
    """

    def __init__(self, mitigation, steps, network, compiler="graph", silent=(), steps_per_task=2):
        settings: Any = dict(log_period=50, evaluation_period=50, checkpoint_period=50, compiler=compiler)
        task = tp.tasks.RandomLabelTask(
            "digits", NETWORKS[network], num_examples=64, steps_per_task=steps_per_task, batch_size=8
        )
        optimizer = tp.optimizers.sgd(RATE, MOMENTUM)
        self.loop: Any = Loop(TrainConfig(task, optimizer, steps, mitigations=[mitigation], **settings))
        variables: Any = self.loop.task.model.trainable_variables
        variables[1].assign(np.where(np.isin(np.arange(variables[1].shape[0]), silent), -1e3, variables[1]))
        self.weights: Any = [each.numpy().astype(np.float64) for each in variables]
        self.momenta = [np.zeros_like(each) for each in self.weights]
        self.num_steps, self.hidden, self.gradients = steps, [], []

    @property
    def layers(self):
        """The numbers of the hidden layers."""
        return range(len(self.weights) // 2 - 1)

    def steps(self):
        """Takes the gradient steps by hand; yields the number of each, after its update."""
        task = self.loop.task
        state = task.initial_state()
        for number in range(1, self.num_steps + 1):
            batch, state = task.next(state, key_of("step", number))
            x, labels = batch.images.numpy().astype(np.float64), batch.labels.numpy()
            self.hidden = [h.reshape(-1, h.shape[-1]) for h in outputs(self.weights, x)[:-1]]
            self.gradients = loss_and_gradients(self.weights, x, labels)[1]
            pairs = zip(self.momenta, self.gradients, strict=True)
            self.momenta = [MOMENTUM * momentum - RATE * gradient for momentum, gradient in pairs]
            self.weights = [w + momentum for w, momentum in zip(self.weights, self.momenta, strict=True)]
            yield number

    def key(self, step):
        """The mitigation's key after a gradient step."""
        return key_of("mitigation", step, 0)

    def fresh(self, step, initializer=None, kernels=True):
        """The draws of the hidden kernels, or of all weights, after a gradient step."""
        weights = trainable_weights(self.loop.task.model)
        if kernels:
            weights = [each for each in weights if each.is_kernel][:-1]
        drawn = WeightReinitializer(weights, initializer).draw(self.key(step))
        return [each.numpy().astype(np.float64) for each in drawn]

    def outgoing(self, layer):
        """The next kernel as `[units, entries]`: the weights of each unit's output, at all positions."""
        kernel, units = self.weights[2 * layer + 2], len(self.weights[2 * layer + 1])
        by_unit = kernel if kernel.ndim == 4 else kernel.reshape(-1, units, kernel.shape[-1])
        return np.moveaxis(by_unit, -2, 0).reshape(units, -1)

    def incoming(self, values):
        """Numbers of a hidden kernel's shape as `[entries, units]`."""
        return values.reshape(-1, values.shape[-1])

    def reset(self, chosen, fresh):
        """Resets the units `chosen[layer]`, with momenta of 0."""
        for layer, which in enumerate(chosen):
            for values, new in ((self.weights, fresh[layer]), (self.momenta, np.zeros_like(fresh[layer]))):
                values[2 * layer][..., which] = new[..., which]
                values[2 * layer + 1][which] = 0
        for layer, which in enumerate(chosen):
            for values in (self.weights, self.momenta):
                kernel = values[2 * layer + 2]
                rows = kernel if kernel.ndim == 4 else kernel.reshape(-1, len(which), kernel.shape[-1])
                rows[..., which, :] = 0  # a view

    def check(self, path, rtol=1e-3, atol=2e-5):
        """Runs the loop and compares its weights and slots with those by hand."""
        run(path, self.loop)
        model, optimizer = self.loop.task.model, self.loop.config.optimizer
        for number, variable in enumerate(model.trainable_variables):
            expected = self.weights[number]
            np.testing.assert_allclose(variable, expected, rtol, atol, err_msg=variable.name)
            (slot,) = tp.optimizers.slots(optimizer, variable).values()
            np.testing.assert_allclose(slot, self.momenta[number], rtol, atol, err_msg=variable.name)
