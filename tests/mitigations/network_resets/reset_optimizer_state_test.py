import pytest
import tensorflow as tf

from tests.mitigations.small_run import SmallRun, same_bits
from tfplastic.mitigations import ReDo, ResetNetwork, ResetOptimizerState
from tfplastic.optimizers import ada_upgd, adam, centered_rmsprop, sgd, trac, upgd

OPTIMIZERS = {
    "adam": lambda: adam(0.01),
    "tuned adam": lambda: adam(1e-3, beta_2=0.9, epsilon=1e-9, epsilon_root=1e-3, bias_correction="means"),
    "centered_rmsprop": centered_rmsprop,
    "sgd": lambda: sgd(0.1, momentum=0.9),
}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_the_next_updates_are_those_of_a_new_optimizer(make):
    used = SmallRun(optimizer=make()).train().act(ResetOptimizerState())
    new = SmallRun(optimizer=make(), model=used.model)
    weights = used.model.get_weights()
    after = used.train().model.get_weights()
    used.model.set_weights(weights)
    assert same_bits(new.train().model.get_weights(), after)


def test_the_weights_stay():
    training = SmallRun().train()
    before = training.model.get_weights()
    assert same_bits(training.act(ResetOptimizerState()).model.get_weights(), before)


@pytest.mark.parametrize("reset_step", [True, False])
def test_the_count_of_steps_goes_on_if_asked(reset_step):
    training = SmallRun().train().act(ResetOptimizerState(reset_step=reset_step))
    assert int(training.optimizer.iterations.numpy()) == (0 if reset_step else 6)
    assert not any(value.any() for slots in training.slot_values().values() for value in slots.values())


def test_a_new_optimizer_is_left_as_it_is():
    training = SmallRun()
    before = training.everything()
    assert same_bits(training.act(ResetOptimizerState()).everything(), before)


def test_the_learning_rate_stays():
    training = SmallRun().train()
    training.optimizer.learning_rate.assign(tf.constant(0.125))
    training.act(ResetOptimizerState())
    assert float(training.optimizer.learning_rate.numpy()) == 0.125


@pytest.mark.parametrize("per_entry_steps", [False, True])
def test_adam_rel_keeps_the_means_and_counts_again(per_entry_steps):
    training = SmallRun(optimizer=adam(0.01, per_entry_steps=per_entry_steps)).train()
    before = training.slot_values()
    after = training.act(ResetOptimizerState(reset_slots=False)).slot_values()
    assert int(training.optimizer.iterations.numpy()) == 0
    for weight, slots in after.items():
        for name, value in slots.items():
            assert not value.any() if name == "steps" else (value == before[weight][name]).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda reset: ResetOptimizerState(reset_step=reset),
        lambda reset: ResetNetwork(reset_step=reset),
        lambda reset: ReDo(reset_step=reset),
    ],
)
def test_the_count_of_steps_stays_where_noise_goes_by_it(make):
    for optimizer in (upgd(), ada_upgd(), trac(upgd())):
        SmallRun([make(False)], optimizer=optimizer)
        with pytest.raises(ValueError) as error:
            SmallRun([make(True)], optimizer=optimizer)
        name = type(optimizer).__name__
        assert str(error.value) == (
            f"`reset_step` must be False with {name}, whose noise goes by the count of steps. Received: True"
        )
    SmallRun([make(True)], optimizer=upgd(noise_scale=0.0))


def test_one_of_both_is_reset():
    message = "^`reset_slots` must be True without `reset_step`. Received: False$"
    with pytest.raises(ValueError, match=message):
        ResetOptimizerState(reset_step=False, reset_slots=False)
