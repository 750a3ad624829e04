import numpy as np
import pytest
import tensorflow as tf

from tests.optimizers.problems import SHAPES, gradients
from tfplastic._keras import is_legacy, keras
from tfplastic.optimizers import ada_upgd, adam, adamo, adamw, centered_rmsprop, muon, obgd, sgd, slots, upgd

TABLE = {
    "our adam": (adam, {"momentum", "velocity"}),
    "our adam, a count by entry": (
        lambda: adam(per_entry_steps=True),
        {"momentum", "velocity", "steps"},
    ),
    "our adamw": (adamw, {"momentum", "velocity"}),
    "our upgd": (upgd, {"utility"}),
    "our ada_upgd": (ada_upgd, {"utility", "mean", "mean_square"}),
    "our obgd": (obgd, {"trace"}),
    "our muon": (muon, {"momentum", "velocity"}),
    "our adamo": (lambda: adamo(0.1), {"mean", "mean_square"}),
    "our centered_rmsprop": (centered_rmsprop, {"average_gradient", "increment", "velocity"}),
    "our sgd with momentum": (lambda: sgd(momentum=0.9), {"momentum"}),
    "Adam": (keras.optimizers.Adam, {"momentum", "velocity"}),
    "Adam, amsgrad": (
        lambda: keras.optimizers.Adam(amsgrad=True),
        {"momentum", "velocity", "velocity_hat"},
    ),
    "AdamW": (keras.optimizers.AdamW, {"momentum", "velocity"}),
    "RMSprop": (keras.optimizers.RMSprop, {"velocity"}),
    "RMSprop, momentum": (lambda: keras.optimizers.RMSprop(momentum=0.9), {"momentum", "velocity"}),
    "RMSprop, centered and momentum": (
        lambda: keras.optimizers.RMSprop(momentum=0.9, centered=True),
        {"average_gradient", "momentum", "velocity"},
    ),
    "SGD, momentum": (lambda: keras.optimizers.SGD(momentum=0.9), {"momentum"}),
    "Lion": (keras.optimizers.Lion, {"momentum"}),
    "Adam with a schedule": (
        lambda: keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)),
        {"momentum", "velocity"},
    ),
}
EVERY_ROW = pytest.mark.parametrize(("make", "names"), TABLE.values(), ids=TABLE)


@pytest.mark.skipif(not is_legacy(), reason="Keras 3 has no legacy optimizers")
@pytest.mark.parametrize(
    ("settings", "names"),
    [
        (("Adam", {"amsgrad": True}), {"m": "momentum", "v": "velocity", "vhat": "velocity_hat"}),
        (
            ("RMSprop", {"momentum": 0.9, "centered": True}),
            {"rms": "velocity", "momentum": "momentum", "mg": "average_gradient"},
        ),
        (("SGD", {"momentum": 0.9}), {"momentum": "momentum"}),
        (("SGD", {}), {}),
    ],
)
def test_of_legacy_optimizers(settings, names):
    name, options = settings
    variables, optimizer = weights(), getattr(keras.optimizers.legacy, name)(**options)
    if names:
        with pytest.raises(ValueError, match="`variable` must be a weight that the .* was built for"):
            slots(optimizer, variables[0])
    take_steps(optimizer, variables, gradients(2))
    for variable in variables:
        found = slots(optimizer, variable)
        assert set(found) == set(names.values())
        assert all(found[names[each]] is optimizer.get_slot(variable, each) for each in names)


@pytest.mark.skipif(not is_legacy(), reason="Keras 3 has no legacy optimizers")
def test_slots_of_other_kinds_of_legacy_optimizers_are_refused():
    variables, optimizer = weights(), keras.optimizers.legacy.Adagrad()
    take_steps(optimizer, variables, gradients(1))
    with pytest.raises(ValueError, match="Received: a Adagrad with 'accumulator'"):
        slots(optimizer, variables[0])


def weights():
    make = tf.Variable if is_legacy() else keras.Variable
    return [make(tf.zeros(shape), name=f"weight{index}") for index, shape in enumerate(SHAPES)]


def built(make, variables):
    optimizer = make()
    optimizer.build(variables)
    return optimizer


def take_steps(optimizer, variables, steps):
    for step in steps:
        optimizer.apply_gradients(zip([tf.constant(each) for each in step], variables, strict=True))


@EVERY_ROW
def test_names_and_shapes_and_zeros_at_first(make, names):
    variables = weights()
    optimizer = built(make, variables)
    for variable in variables:
        found = slots(optimizer, variable)
        assert set(found) == names
        for slot in found.values():
            assert isinstance(slot, tf.Variable)
            assert slot.shape == variable.shape
            assert not slot.numpy().any()


@EVERY_ROW
def test_they_are_all_that_the_optimizer_owns_but_its_step_and_learning_rate(make, names):
    variables = weights()
    optimizer = built(make, variables)
    take_steps(optimizer, variables, gradients(3))
    found = [slot for variable in variables for slot in slots(optimizer, variable).values()]
    assert len({id(slot) for slot in found}) == len(found)
    owned = [each.numpy() for each in optimizer.variables if len(each.shape) > 0]
    assert len(owned) == len(found)
    by_bytes = sorted(slot.numpy().tobytes() for slot in found)
    assert by_bytes == sorted(each.tobytes() for each in owned)


@EVERY_ROW
def test_zero_slots_and_step_make_the_next_update_that_of_a_new_optimizer(make, names):
    used, fresh = weights(), weights()
    optimizer = built(make, used)
    take_steps(optimizer, used, gradients(5))
    for variable, start in zip(used, fresh, strict=True):
        start.assign(variable)
        for slot in slots(optimizer, variable).values():
            assert slot.numpy().any()
            slot.assign(tf.zeros_like(slot))
    optimizer.iterations.assign(0)
    take_steps(optimizer, used, gradients(2, seed=1))
    take_steps(built(make, fresh), fresh, gradients(2, seed=1))
    for one, other in zip(used, fresh, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_moments_of_adam_have_their_names():
    variables = weights()
    optimizer = built(lambda: keras.optimizers.Adam(beta_1=0.5, beta_2=0.75), variables)
    step = next(gradients(1))
    take_steps(optimizer, variables, [step])
    for variable, gradient in zip(variables, step, strict=True):
        found = slots(optimizer, variable)
        np.testing.assert_allclose(found["momentum"], 0.5 * gradient, rtol=1e-6)
        np.testing.assert_allclose(found["velocity"], 0.25 * gradient**2, rtol=1e-6)


def test_an_optimizer_without_memory_has_no_slots_that_matter():
    variables = weights()
    optimizer = built(sgd, variables)
    take_steps(optimizer, variables, gradients(3))
    assert not any(slot.numpy().any() for slot in slots(optimizer, variables[0]).values())


def test_a_weight_the_optimizer_was_not_built_for():
    optimizer = built(adam, weights())
    with pytest.raises(ValueError) as error:
        slots(optimizer, weights()[0])
    expected = "`variable` must be a weight that the Adam was built for. Received: 'weight0"
    assert str(error.value).startswith(expected)
    with pytest.raises(ValueError, match="`variable` must be a weight that the Adam was built for"):
        slots(adam(), weights()[0])


@pytest.mark.parametrize(
    "make", [keras.optimizers.Adagrad, lambda: keras.optimizers.Adam(use_ema=True)], ids=["Adagrad", "EMA"]
)
def test_variables_that_are_no_slots_starting_at_zero(make):
    variables = weights()
    with pytest.raises(ValueError) as error:
        slots(built(make, variables), variables[0])
    message = str(error.value)
    assert message.startswith("`optimizer` must remember of a weight nothing but average_gradient, ")
    assert "Received: a Ada" in message and "\n" not in message
