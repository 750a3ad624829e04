"""The contract of every mitigation. A new one is a row of the table."""

import functools
import inspect
from typing import Any, NamedTuple

import gin
import numpy as np
import pytest
import tensorflow as tf

from tests.mitigations.small_run import NUM_STEPS, PROGRAMS, SmallRun, network, same_bits
from tfplastic import mitigations
from tfplastic._keras import tf_variable
from tfplastic.mitigations import Mitigation

ALL = {f"{layer}/{role}" for layer in ("hidden1", "hidden2", "output") for role in ("kernel", "bias")}
ALL |= {f"{layer}_norm/{role}" for layer in ("hidden1", "hidden2") for role in ("gamma", "beta")}
HEAD = {"output/kernel", "output/bias"}
HIDDEN = ALL - {"output/bias"}  # whatever belongs to hidden units: a reader's kernel too


class Row(NamedTuple):
    """A mitigation of the table.

    Attributes:
        arguments: arguments of the constructor, with which it does all that it can.
        zero_strength: further arguments with which it does nothing; None if it knows no strength.
        weights: weights that `after_update` changes.
        slots: the weights whose slots it zeroes.
        draws: whether it depends on its key.
        period: the period that it has by default.
        silent: whether units have to be silent for it to act.
        is_built_first: whether it acts only where weights have moved since it was built.
        penalty_of: the weights that its penalty has a gradient for; empty without a penalty.
        zero_at_start: whether penalty and gradient are 0 at the weights that training starts with.
    """

    arguments: dict[str, Any]
    zero_strength: dict[str, Any] | None
    weights: set[str]
    slots: set[str]
    draws: bool
    period: int | None = None
    silent: bool = False
    is_built_first: bool = False
    penalty_of: set[str] = set()
    zero_at_start: bool = False


ALL_BUT_NORMS = {each for each in ALL if not each.endswith(("gamma", "beta"))}
KERNELS = {each for each in ALL if each.endswith("kernel")}
BELOW_HEAD = ALL - HEAD
HIDDEN_KERNELS = {"hidden1/kernel", "hidden2/kernel"}
TABLE = {
    "DASH": Row({"reset_slots": True}, {"floor": 1.0, "reset_slots": False}, ALL, ALL, draws=False),
    "FIRE": Row({"reset_slots": True}, None, KERNELS, KERNELS, draws=False),
    # Right after it is built, the present weights are the older ones, unless training has moved them.
    "CChain": Row(
        {"first": 1.0, "warm_up": 3, "window": 4},
        {"first": 0.0, "share": 0.0},
        set(),
        set(),
        False,
        penalty_of=ALL,
        zero_at_start=True,
    ),
    "InFeR": Row({"num_heads": 3}, {"coefficient": 0.0}, set(), set(), True, penalty_of=BELOW_HEAD),
    "L2ER": Row({}, {"step_size": 0.0, "decay": 0.0}, BELOW_HEAD, set(), False, 1, penalty_of=ALL),
    "GradientClipping": Row({"max_norm": 0.01}, {"max_norm": 1e30}, set(), set(), False),
    # Right after it is built weights have their norms, and biases alone change.
    "NormalizeAndProject": Row({}, None, {"hidden1/bias", "hidden2/bias"}, set(), False, period=1),
    "ParsevalRegularization": Row(
        {"coefficient": 0.1}, {"coefficient": 0.0}, set(), set(), False, penalty_of=HIDDEN_KERNELS
    ),
    "SpectralRegularization": Row(
        {"coefficient": 0.1}, {"coefficient": 0.0}, set(), set(), True, penalty_of=ALL
    ),
    "WassersteinInit": Row(
        {"coefficient": 0.1}, {"coefficient": 0.0}, set(), set(), False, penalty_of=ALL, zero_at_start=True
    ),
    "WeightClipping": Row({"kappa": 0.01}, {"kappa": 1e30}, ALL, set(), False, period=1),
    # Every unit is replaced, and gives its mean to the biases of its readers.
    "ContinualBackprop": Row({"rate": 1.0, "maturity": 0}, {"rate": 0.0}, ALL, HIDDEN, draws=True, period=1),
    "GraMa": Row({"threshold": 1e3}, {"max_fraction": 0.0}, HIDDEN, HIDDEN, draws=True, period=1_000),
    "HareAndTortoise": Row(
        {"reset_period": 2, "decay": 0.5},
        {"decay": 0.0},
        ALL,
        set(),
        draws=False,
        period=1,
        is_built_first=True,
    ),
    "L2Init": Row(
        {"coefficient": 0.1},
        {"coefficient": 0.0},
        set(),
        set(),
        False,
        penalty_of=ALL_BUT_NORMS,
        zero_at_start=True,
    ),
    "ResampledInit": Row(
        {"coefficient": 0.1}, {"coefficient": 0.0}, set(), set(), True, penalty_of=ALL_BUT_NORMS
    ),
    "PartialResets": Row(
        {"strength": 0.5, "reset_period": 2}, {"strength": 0.0}, KERNELS, set(), draws=True, period=1
    ),
    # With such a threshold every unit is reset.
    "ReDo": Row({"threshold": 1e3}, {"max_units": 0}, HIDDEN, HIDDEN, draws=True, period=1_000),
    "PlasticityInjection": Row({"after": 2}, {"after": 1_000_000}, HEAD, HEAD, draws=True, period=2),
    "ResetLastLayer": Row({}, {"num_layers": 0}, HEAD, HEAD, draws=True),
    "ResetNetwork": Row({}, None, ALL, ALL, draws=True),
    "ResetOptimizerState": Row({}, None, set(), ALL, draws=False),
    "SelfNormalizedResets": Row(
        {"max_threshold": 8, "min_threshold": 8}, None, HIDDEN, HIDDEN, draws=True, period=1, silent=True
    ),
    "ShrinkAndPerturb": Row({"reset_slots": True}, {"shrink": 1.0, "perturb": 0.0}, ALL, ALL, draws=True),
    "WeightDecay": Row({"coefficient": 0.1}, {"coefficient": 0.0}, set(), set(), False, penalty_of=ALL),
}
WITH_STRENGTH = {name: row for name, row in TABLE.items() if row.zero_strength is not None}
# Reset together, all units of two layers leave a network that gives 0 and has no gradient.
TWO_UNITS = {"ContinualBackprop": {"rate": 0.4}, "GraMa": {"max_fraction": 0.4}, "ReDo": {"max_units": 2}}
REPLACING = {name: row for name, row in TABLE.items() if row.weights and row.slots}
WITHOUT = {"FIRE", "NormalizeAndProject", "ResetNetwork", "ResetOptimizerState", "SelfNormalizedResets"}
WITH_OWN_WEIGHTS = {"InFeR"}
# They observe all steps, or act once.
WITHOUT_PERIOD = {"HareAndTortoise", "PartialResets", "PlasticityInjection", "SelfNormalizedResets"}
EVERY_ROW = pytest.mark.parametrize(("name", "row"), TABLE.items(), ids=TABLE)
# One that acts after updates and draws, one with a penalty, one that transforms gradients. Four programs of
# each are compiled; those of all others in `make test-slow`.
IN_ALL_PROGRAMS = {"ReDo", "ResampledInit", "GradientClipping"}


def make(name, row, **more) -> Mitigation:
    return getattr(mitigations, name)(**{**row.arguments, **more})


def has_period(name):
    return "period" in inspect.signature(getattr(mitigations, name)).parameters


def small_run(name, row, *arguments, **more):
    """A run whose hidden units give 0 at first if the mitigation acts on those alone."""
    training = SmallRun([make(name, row)], *arguments, **more)
    return silenced(training) if row.silent else training


def silenced(training, count=None):
    """The run with hidden units that all give 0, or the first ones of each layer."""
    for number in (1, 2):
        names = {layer.name: layer for layer in training.model.layers}
        norm = names.get(f"hidden{number}_norm")
        offset = names[f"hidden{number}"].bias if norm is None else norm.beta
        offset[:count].assign(tf.fill(offset[:count].shape, -1e3))
    return training


@functools.cache
def first_run(name):
    """Everything after a run with the mitigation of a row."""
    return small_run(name, TABLE[name]).train().everything()


@functools.cache
def without(silent=False):
    """Everything after a run without mitigations, with hidden units that give 0 or as they are."""
    return (silenced(SmallRun()) if silent else SmallRun()).train().everything()


def at_the_end(training):
    """The run without mitigations, moved to after its last step."""
    for variable, value in zip(training.variables(), without(), strict=True):
        variable.assign(value)
    return training


def test_the_table_has_every_public_mitigation():
    public = [getattr(mitigations, name) for name in mitigations.__all__]
    classes = [each for each in public if inspect.isclass(each) and issubclass(each, Mitigation)]
    assert sorted(TABLE) == sorted(each.__name__ for each in classes if each is not Mitigation)


@EVERY_ROW
def test_it_does_something(name, row):
    assert not same_bits(first_run(name), without(row.silent))


def test_all_but_these_know_a_zero_strength():
    assert TABLE.keys() - WITH_STRENGTH.keys() == WITHOUT


@pytest.mark.parametrize(("name", "row"), WITH_STRENGTH.items(), ids=WITH_STRENGTH)
def test_at_zero_strength_it_does_nothing_bit_for_bit(name, row):
    mitigation = make(name, row, **row.zero_strength)
    assert same_bits(SmallRun([mitigation]).train().everything(), without())


@EVERY_ROW
def test_it_acts_on_these_weights_and_their_slots_together_and_on_no_other(name, row):
    training, mitigation = SmallRun(), make(name, row)
    if row.is_built_first:
        training.build(mitigation)
    at_the_end(training)
    if row.silent:
        silenced(training)
    weights, slots = training.weights(), training.slot_values()
    assert set(weights) == ALL and all(slot.any() for each in slots.values() for slot in each.values())
    training.act(mitigation, is_built=row.is_built_first)
    changed = {each for each, value in training.weights().items() if not same_bits([value], [weights[each]])}
    assert changed == row.weights
    for each, values in training.slot_values().items():
        assert set(values) == {"momentum", "velocity"}
        for slot, value in values.items():
            if each in row.slots:
                assert not value.any()
            else:
                assert same_bits([value], [slots[each][slot]])


@pytest.mark.parametrize(("name", "row"), REPLACING.items(), ids=REPLACING)
def test_entries_that_it_replaces_move_in_the_next_step(name, row):
    training, step = at_the_end(SmallRun()), tf.constant(NUM_STEPS, tf.int64)
    if row.silent:
        silenced(training, 2)
    before = training.weights()
    replaced = training.act(make(name, row, **TWO_UNITS.get(name, {}))).weights()
    gradients = dict(zip(replaced, training._differentiate(step)[1], strict=True))
    training._step(step)
    after = training.weights()
    where = {
        each: (replaced[each] != before[each]) & (np.abs(gradients[each]) > 1e-4) for each in row.weights
    }
    assert any(each.any() for each in where.values())
    for each, entries in where.items():
        assert (after[each] != replaced[each])[entries].all()


@EVERY_ROW
def test_its_penalty_has_a_gradient_for_every_weight_of_every_layer_that_it_is_of(name, row):
    mitigation = make(name, row)
    training = SmallRun([mitigation])
    if not mitigation.adds_penalty:
        assert not row.penalty_of
        return
    at_start, gradients = training.penalty_and_gradients(mitigation)
    if row.zero_at_start:
        assert at_start == 0 and not any(each.numpy().any() for each in gradients if each is not None)
    remembers = mitigation.history or mitigation.trainable_variables
    penalty, gradients = (training.train() if remembers else at_the_end(training)).penalty_and_gradients(
        mitigation
    )
    assert penalty > 0
    has_gradient = [each is not None and each.numpy().any() for each in gradients]
    names = list(training.weights())
    assert {each for each, has in zip(names, has_gradient, strict=False) if has} == row.penalty_of
    assert all(has_gradient[len(names) :])  # its own weights


@EVERY_ROW
def test_the_optimizer_trains_its_own_weights(name, row):
    mitigation = make(name, row)
    training = SmallRun([mitigation])
    before = [tf_variable(each).numpy() for each in mitigation.trainable_variables]
    assert bool(before) == (name in WITH_OWN_WEIGHTS)
    training._step(tf.constant(1, tf.int64))
    after = [tf_variable(each).numpy() for each in mitigation.trainable_variables]
    assert not any((one == other).any() for one, other in zip(before, after, strict=True))
    state = {id(each) for each in mitigation.state.values()}
    assert {id(tf_variable(each)) for each in mitigation.trainable_variables} <= state


@EVERY_ROW
def test_its_copies_share_no_memory_with_the_weights(name, row):
    mitigation = make(name, row)
    training = SmallRun([mitigation])
    before = [each.numpy() for each in mitigation.state.values()]
    for each in training.model.trainable_variables:
        each.assign_add(tf.ones(each.shape))
    assert same_bits([each.numpy() for each in mitigation.state.values()], before)


@EVERY_ROW
def test_same_seed_same_bits_and_other_seed_other_bits_if_it_draws(name, row):
    first = first_run(name)
    assert same_bits(small_run(name, row, seed=1).train().everything(), first) != row.draws
    if row.draws:  # the others have the same bits whatever the seed
        assert same_bits(small_run(name, row).train().everything(), first)


@pytest.mark.parametrize(
    ("name", "row"),
    [
        pytest.param(name, row, id=name, marks=() if name in IN_ALL_PROGRAMS else pytest.mark.slow)
        for name, row in TABLE.items()
    ],
)
def test_each_kind_of_program_does_the_same(name, row):
    # Without a norm, because a graph rounds layer normalization differently than eager execution does.
    eager, graph, loop, xla = (
        small_run(name, row, network(norm=None)).train(program).everything() for program in PROGRAMS
    )
    assert same_bits(graph, eager) and same_bits(loop, eager)
    for one, other in zip(xla, eager, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * np.abs(other).max())


@EVERY_ROW
def test_what_it_remembers_is_in_its_state(name, row):
    training, made = SmallRun(), []

    def remember(next_creator, **arguments):
        made.append(next_creator(**arguments))
        return made[-1]

    mitigation = make(name, row)
    model = mitigation.extend_network(training.model)
    with tf.variable_creator_scope(remember):
        mitigation.make_trainable(model, seed=0)
        mitigation.build(model, training.optimizer, seed=0)
    assert {id(each) for each in made} == {id(each) for each in mitigation.state.values()}


@EVERY_ROW
def test_its_class_says_where_it_acts(name, row):
    mitigation = make(name, row)
    assert mitigation.acts_after_update == bool(row.weights | row.slots)
    assert mitigation.acts_after_update == (has_period(name) or name in WITHOUT_PERIOD)
    assert mitigation.adds_penalty == ("penalty" in vars(type(mitigation)))
    assert mitigation.transforms_gradients == ("transform_gradients" in vars(type(mitigation)))


@EVERY_ROW
def test_gin_knows_its_arguments(name, row):
    try:
        bindings = {**row.arguments, **({"period": 7} if has_period(name) else {})}
        gin.parse_config([f"tfplastic.mitigations.{name}.{key} = {bindings[key]!r}" for key in bindings])
        configured = gin.get_configurable(f"tfplastic.mitigations.{name}")()
        assert type(configured).__name__ == name
        assert configured.period == bindings.get("period", row.period)
    finally:
        gin.clear_config()


@EVERY_ROW
def test_a_period_below_1_is_refused(name, row):
    if not has_period(name):
        with pytest.raises(TypeError):
            make(name, row, period=1)
        return
    default = inspect.signature(getattr(mitigations, name)).parameters["period"].default
    assert default == row.period and make(name, row).period == default
    assert make(name, row, period=1).period == 1
    with pytest.raises(ValueError) as error:
        make(name, row, period=0)
    assert str(error.value) == "`period` must be an integer of at least 1. Received: 0"
