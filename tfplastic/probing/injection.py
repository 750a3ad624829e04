"""Plasticity injection as a test: does a network learn faster with a fresh head?"""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from tfplastic import seeds
from tfplastic._checks import check_positive_integer, check_seed
from tfplastic._data.examples import check_batch
from tfplastic._keras import keras
from tfplastic.mitigations import PlasticityInjection
from tfplastic.optimizers import slots
from tfplastic.optimizers.any_keras import build_optimizer
from tfplastic.training import PlasticModel


@dataclasses.dataclass(frozen=True)
class InjectionResult:
    """Losses of a network that is trained with and without plasticity injection, on the same batches.

    Attributes:
        loss_before: loss of all examples before training, which is the same with and without.
        without: loss of all examples after training without injection.
        with_injection: `[num_draws] float64`, the same with injection, for each draw of the new head.
    """

    loss_before: float
    without: float
    with_injection: np.ndarray

    @property
    def improvement(self) -> float:
        """Mean of `without - with_injection` over draws; NaN if a loss is not finite."""
        return float(np.mean(self.without - self.with_injection))

    @property
    def improves(self) -> bool:
        """Whether the loss is lower with injection for every draw: the head had lost plasticity."""
        return bool((self.with_injection < self.without).all())

    def __repr__(self) -> str:
        numbers = ", ".join(f"{each:.4g}" for each in self.with_injection)
        verdict = "the head had lost plasticity" if self.improves else "no loss of plasticity in the head"
        after = f"{self.without:.4g} without, {numbers} with injection"
        return f"<InjectionResult loss {self.loss_before:.4g} before; after training {after}: {verdict}>"


def measure_injection(
    model: Any,
    inputs: Any,
    targets: Any,
    loss: Any,
    optimizer: Any,
    *,
    head: str | None = None,
    num_steps: int = 1_000,
    batch_size: int = 32,
    num_draws: int = 3,
    seed: int = 0,
) -> InjectionResult:
    """Measures whether plasticity injection lowers the loss that training reaches.

    Nikishin et al. 2023, "Deep reinforcement learning with plasticity injection": the injection changes
    neither the outputs nor the number of trained weights, so that learning that improves by it shows that the
    head had lost plasticity. Copies of the network are trained on the same batches, one as it is and one for
    each draw of a new head, all with a new optimizer.

    Args:
        model: a Sequential or functional model of the Keras in use, built. It is not changed.
        inputs: array `[examples, ...]`.
        targets: array `[examples, ...]`.
        loss: a Keras loss, its name, or a function `(targets, outputs)`.
        optimizer: a Keras optimizer, whose settings are copied, not its slots.
        head: name of the first layer of the head; None as in `mitigations.PlasticityInjection`. Of a linear
            head alone the test is of no use: with plain gradient descent both learn alike.
        num_steps: gradient steps of each training.
        batch_size: examples per gradient step.
        num_draws: number of new heads.
        seed: root seed of heads and batches. Same seed, same numbers.

    Returns:
        Losses with and without injection; `print` it.

    Raises:
        ValueError: an argument is outside its range, or `model` has no such head.
        TypeError: `model` is not a model of the Keras in use.

    Example:
        >>> import numpy as np, tensorflow as tf, tfplastic as tp
        >>> model = tp.networks.mlp(1, hidden=(8, 8), input_shape=(3,))
        >>> x = np.random.default_rng(0).normal(size=[64, 3]).astype(np.float32)
        >>> y = np.abs(x).sum(axis=1, keepdims=True)
        >>> _ = model.get_layer('hidden2').bias.assign([-100.0] * 8)  # no unit of the layer is active
        >>> tp.probing.measure_injection(
        ...     model, x, y, 'mse', tp.optimizers.adam(1e-2), head='hidden2', num_steps=20, num_draws=1
        ... ).improves
        True
    """
    check_batch("data", (inputs, targets))
    check_positive_integer("num_draws", num_draws)
    seed = check_seed("seed", seed)
    x, y = (tf.convert_to_tensor(each) for each in (inputs, targets))
    places = _places(len(x), check_positive_integer("num_steps", num_steps), batch_size, seed)
    batches = tf.data.Dataset.from_tensor_slices(places).map(
        lambda each: (tf.gather(x, each), tf.gather(y, each))
    )
    before, found = 0.0, []
    for draw in (None, *range(num_draws)):
        key = None if draw is None else tf.constant(seeds.derive(seed, "injection", draw))
        trained = _copy(model, head, loss, optimizer, key)
        if draw is None:
            before = _loss(trained, x, y)
        trained.fit(batches, verbose=0)
        found.append(_loss(trained, x, y))
    return InjectionResult(before, found[0], np.array(found[1:]))


def _places(examples: int, num_steps: int, batch_size: Any, seed: int) -> np.ndarray:
    """Returns the places of each batch's examples, `[num_steps, batch_size]`: epochs in random orders."""
    if check_positive_integer("batch_size", batch_size) > examples:
        raise ValueError(f"`batch_size` must be at most {examples}, the examples. Received: {batch_size}")
    generator, per_epoch = seeds.generator(seeds.derive(seed, "injection_batches")), examples // batch_size
    epochs = [generator.permutation(examples) for _ in range(-(-num_steps // per_epoch))]
    whole = [each[: per_epoch * batch_size].reshape(per_epoch, batch_size) for each in epochs]
    return np.concatenate(whole)[:num_steps]


def _copy(model: Any, head: str | None, loss: Any, optimizer: Any, key: tf.Tensor | None) -> Any:
    """Returns a copy of a model with frozen heads, compiled; with an injection if there is a key for it."""
    PlasticModel(model)  # refuses others
    injection = PlasticityInjection(1, head=head)
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    extended = injection.extend_network(copy)
    own = type(optimizer).from_config(optimizer.get_config())
    build_optimizer(own, extended.trainable_variables)
    if key is not None:
        injection.build(extended, own, 0)
        injection.after_update(tf.constant(1, tf.int64), extended, lambda each: slots(own, each), key)
    trained = PlasticModel(extended)
    trained.compile(own, loss)
    return trained


def _loss(model: Any, x: tf.Tensor, y: tf.Tensor) -> float:
    return float(np.ravel(model.evaluate(x, y, verbose=0))[0])
