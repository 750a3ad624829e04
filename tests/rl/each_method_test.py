"""Each mitigation on a classification MDP and on the Nature DQN, and its activations."""

import functools
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tfplastic as tp
from tests.contracts import mitigations_contract_test
from tests.rl import methods_together
from tests.training.graph_loop_test import run
from tfplastic import mitigations
from tfplastic.mitigations.penalties.l2_er import effective_rank

STEPS = 6
# With arguments by which each of them acts within six steps.
METHODS: dict[str, Any] = {
    "CChain": lambda: mitigations.CChain(warm_up=2, window=2),
    "ContinualBackprop": lambda: mitigations.ContinualBackprop(1.0, 0),
    "DASH": lambda: mitigations.DASH(2, max_batches=2),
    "FIRE": lambda: mitigations.FIRE(2),
    "GraMa": lambda: mitigations.GraMa(2, 1e3),
    "GradientClipping": lambda: mitigations.GradientClipping(1e-3),
    "HareAndTortoise": lambda: mitigations.HareAndTortoise(2, 0.5),
    "InFeR": lambda: mitigations.InFeR(num_heads=3),
    "L2ER": lambda: mitigations.L2ER(),
    "L2Init": lambda: mitigations.L2Init(0.1),
    "NormalizeAndProject": lambda: mitigations.NormalizeAndProject(),
    "ParsevalRegularization": lambda: mitigations.ParsevalRegularization(),
    "PartialResets": lambda: mitigations.PartialResets(0.1, 2),
    "PlasticityInjection": lambda: mitigations.PlasticityInjection(2),
    "ReDo": lambda: mitigations.ReDo(2, 1e3),
    "ResampledInit": lambda: mitigations.ResampledInit(0.1),
    "ResetLastLayer": lambda: mitigations.ResetLastLayer(2),
    "ResetNetwork": lambda: mitigations.ResetNetwork(2),
    "ResetOptimizerState": lambda: mitigations.ResetOptimizerState(2),
    # A unit that is silent on one batch is reset.
    "SelfNormalizedResets": lambda: mitigations.SelfNormalizedResets(max_threshold=4, min_threshold=4),
    "ShrinkAndPerturb": lambda: mitigations.ShrinkAndPerturb(2, noise="initial"),
    "SpectralRegularization": lambda: mitigations.SpectralRegularization(0.1),
    "WassersteinInit": lambda: mitigations.WassersteinInit(0.1),
    "WeightClipping": lambda: mitigations.WeightClipping(0.1),
    "WeightDecay": lambda: mitigations.WeightDecay(0.1),
}
RESET_EVERY_UNIT = {"ContinualBackprop", "GraMa", "ReDo"}


def make_loop(methods, kind="mdp", steps=STEPS) -> Any:
    network = functools.partial(tp.networks.nature_dqn, width=0.1, norm="layer")
    return methods_together.make_loop(methods, kind, "graph", network, steps)


def trained(loop):
    return [each.numpy() for each in loop.task.model.trainable_variables]


@pytest.fixture(scope="module")
def without(tmp_path_factory):
    """The weights after runs without mitigations, by the kind of task."""

    @functools.cache
    def of_kind(kind):
        return trained(run(tmp_path_factory.mktemp(kind), make_loop([], kind))[0])

    return of_kind


def test_every_mitigation_has_a_row():
    assert METHODS.keys() == mitigations_contract_test.TABLE.keys()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mdp", "nature_dqn"])
@pytest.mark.parametrize("name", METHODS)
def test_a_method_acts(tmp_path, without, name, kind):
    loop, code = run(tmp_path, make_loop([METHODS[name]()], kind))
    assert code == 0 and all(np.isfinite(each.numpy()).all() for each in loop.task.model.variables)
    pairs = zip(trained(loop), without(kind), strict=True)
    assert any((one != other).any() for one, other in pairs)
    # Each unit is new after the last step.
    assert loop.task.model.get_layer("output").kernel.numpy().any() == (name not in RESET_EVERY_UNIT)


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["crelu", "deep_fourier", "rational"])
def test_an_activation_on_the_nature_dqn(tmp_path, activation):
    network = functools.partial(tp.networks.nature_dqn, width=0.1, activation=activation)
    loop = methods_together.make_loop([], "nature_dqn", "graph", network, STEPS)
    before = trained(loop)
    _, code = run(tmp_path, loop)
    assert code == 0 and all(np.isfinite(each).all() for each in trained(loop))
    assert all((one != other).any() for one, other in zip(before, trained(loop), strict=True))


class NotedL2ER(mitigations.L2ER):
    """Keeps the mean effective rank of the hidden layers on the batch before and after its last ascent."""

    def build(self, model, optimizer, seed):
        super().build(model, optimizer, seed)
        self.ranks = tf.Variable([0.0, 0.0], trainable=False)

    def after_update(self, step, model, slots, key, context):
        before = self._rank(context)
        super().after_update(step, model, slots, key, context)
        self.ranks.assign([before, self._rank(context)])

    def _rank(self, context):
        layers = context.activations_on(context.batch).values()
        return tf.add_n([effective_rank(each) for each in layers]) / len(layers)

    @property
    def state(self):
        return {"ranks": self.ranks}


def with_features():
    return [
        mitigations.CChain(1.0, 0.1, warm_up=4, window=4),
        mitigations.InFeR(num_heads=3),
        NotedL2ER(1e-3),
    ]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return run(tmp_path_factory.mktemp("whole"), make_loop(with_features(), steps=methods_together.STEPS))[0]


def test_methods_of_features_and_outputs_on_an_mdp(whole):
    chain, infer, ascent = whole.config.mitigations
    assert (chain.state["losses"].numpy() > 0).all() and (chain.state["churns"].numpy() > 0).all()
    moved = [
        (infer.state[f"heads/{name}"].numpy() != infer.state[f"first_heads/{name}"].numpy()).any()
        for name in ("kernel", "bias")
    ]
    before, after = ascent.ranks.numpy()
    assert all(moved) and 1 < before < after


@pytest.mark.slow
def test_they_stop_and_resume_on_an_mdp(tmp_path, whole):
    methods_together.assert_resumes(
        tmp_path, lambda: make_loop(with_features(), steps=methods_together.STEPS), whole
    )
