"""Mitigations together: all of them, and each two choices of them in one of a few combinations."""

import itertools

import numpy as np
import pytest

from tests.mitigations.combinations import pairs_of_all, pairwise
from tests.mitigations.small_run import SmallRun, network, same_bits
from tfplastic import mitigations, optimizers
from tfplastic.mitigations import ResetLastLayer, ResetOptimizerState, ShrinkAndPerturb, WeightDecay
from tfplastic.mitigations.compatibility import is_excluded
from tfplastic.optimizers import adam, centered_rmsprop, sgd

CHOICES = {
    "reset": [None, ResetLastLayer, lambda: ResetLastLayer(num_layers=2)],
    "shrink": [None, ShrinkAndPerturb, lambda: ShrinkAndPerturb(weights="kernels", reset_slots=True)],
    "decay": [None, WeightDecay, lambda: WeightDecay(1e-2, weights="kernels")],
    "optimizer_state": [None, ResetOptimizerState, lambda: ResetOptimizerState(reset_step=False)],
    "norm": [None, "layer", "batch", "rms"],
    "optimizer": [
        lambda: adam(0.01),
        lambda: adam(0.01, beta_2=0.9, epsilon=1e-9, epsilon_root=1e-3, bias_correction="means"),
        centered_rmsprop,
        lambda: sgd(0.1, momentum=0.9),
    ],
    "program": ["eager", "loop"],
}
NEWER = {
    "units": [
        None,
        lambda: mitigations.ReDo(2, 0.3),
        lambda: mitigations.GraMa(2, 0.3),
        lambda: mitigations.ContinualBackprop(0.2, 1),
        lambda: mitigations.SelfNormalizedResets(max_threshold=16, min_threshold=8),
        lambda: mitigations.PartialResets(0.1, reset_period=2),
    ],
    "penalty": [
        None,
        lambda: mitigations.L2Init(0.1),
        lambda: mitigations.SpectralRegularization(0.01),
        lambda: mitigations.ParsevalRegularization(0.01),
        lambda: mitigations.InFeR(0.01, num_heads=2),
        lambda: mitigations.CChain(1.0, warm_up=3, window=3),
        lambda: mitigations.L2ER(0.01),
    ],
    "weights": [
        None,
        lambda: mitigations.WeightClipping(2.0),
        lambda: mitigations.NormalizeAndProject(),
        lambda: mitigations.DASH(),
        lambda: mitigations.FIRE(),
        lambda: mitigations.HareAndTortoise(reset_period=2),
        lambda: mitigations.ShrinkAndPerturb(2, noise="normal", shrinks="older"),
    ],
    "optimizer": [
        lambda: adam(0.01, per_entry_steps=True),
        lambda: optimizers.adamw(0.01),
        lambda: optimizers.muon(0.01),
        lambda: optimizers.upgd(0.01),
        lambda: optimizers.trac(adam(0.01)),
        lambda: optimizers.obgd(0.1, trace_decay=0.5),
        lambda: optimizers.adamo(0.1, 0.01),
    ],
    "norm": [None, "layer", "batch"],
    "program": ["eager"],
}
MITIGATIONS = ("reset", "shrink", "decay", "optimizer_state")
COMBINATIONS = pairwise(CHOICES)


def run(reset, shrink, decay, optimizer_state, norm, optimizer, program):
    made = [make() for make in (reset, shrink, decay, optimizer_state) if make]
    return SmallRun(made, network(norm), optimizer()).train(program)


@pytest.mark.slow
@pytest.mark.parametrize("choice", pairwise(NEWER))
def test_newer_methods_and_optimizers_train_together(choice):
    kinds = ("penalty", "weights", "units")  # in the order of their turns
    made = [choice[kind]() for kind in kinds if choice[kind]]
    if len(made) > 1 and is_excluded(*map(type, made[-2:])):
        made.pop()
    training = SmallRun(made, network(choice["norm"]), choice["optimizer"]()).train(choice["program"])
    assert np.isfinite(training.losses).all()
    assert all(np.isfinite(value).all() for value in training.everything())
    for each in made:
        assert all(np.isfinite(value.numpy()).all() for value in each.state.values())


def test_every_two_choices_meet_in_at_most_20_combinations():
    indices = {kind: list(range(len(options))) for kind, options in CHOICES.items()}
    combinations = pairwise(indices)
    assert len(combinations) == len(COMBINATIONS) <= 20
    met = {tuple(sorted(pair)) for each in combinations for pair in itertools.combinations(each.items(), 2)}
    assert met == pairs_of_all(CHOICES)


def test_the_combinations_are_the_same_every_time():
    assert pairwise(CHOICES) == COMBINATIONS != pairwise(CHOICES, seed=1)


@pytest.mark.parametrize("choice", COMBINATIONS, ids=range(len(COMBINATIONS)))
def test_combinations_train(choice):
    training = run(**choice)
    assert np.isfinite(training.losses).all()
    assert all(np.isfinite(value).all() for value in training.everything())


def test_all_together_train_and_each_of_them_counts():
    everything = {kind: options[1] for kind, options in CHOICES.items() if kind in MITIGATIONS}
    setting = {"norm": "layer", "optimizer": CHOICES["optimizer"][1], "program": "eager"}
    together = run(**everything, **setting)
    assert np.isfinite(together.losses).all() and len(together.mitigations) == 4
    for kind in MITIGATIONS:
        without = run(**{**everything, kind: None}, **setting)
        assert not same_bits(without.everything(), together.everything()), kind
