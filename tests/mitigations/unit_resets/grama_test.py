"""GraMa against its rule in float64."""

import numpy as np
import pytest

from tests.mitigations.oracle import NETWORKS, Oracle
from tests.mitigations.small_run import SmallRun, network
from tfplastic.mitigations import GraMa

PERIOD = 4


@pytest.mark.parametrize(("name", "fraction"), list(zip(NETWORKS, (1.0, 0.3), strict=True)))
def test_the_rule(tmp_path, name, fraction):
    threshold = 0.6
    oracle = Oracle(GraMa(PERIOD, threshold, fraction), 12, name, silent=(3, 5))
    numbers, capped = [], 0
    for step in oracle.steps():
        if step % PERIOD:
            continue
        chosen = []
        for layer in oracle.layers:
            gradient = np.abs(oracle.incoming(oracle.gradients[2 * layer])).mean(axis=0)
            low = np.flatnonzero(gradient / gradient.mean() <= threshold)
            least = low[np.argsort(gradient[low], kind="stable")][: int(fraction * len(gradient))]
            capped += len(least) < len(low)
            chosen.append(np.isin(np.arange(len(gradient)), least))
        oracle.reset(chosen, oracle.fresh(step))
        numbers.append([which.sum() for which in chosen])
    assert np.all(np.sum(numbers, axis=0) >= 2) and (capped > 0) == (fraction < 1)
    oracle.check(tmp_path)


def test_small_outgoing_weights():
    training = SmallRun(model=network(norm=None)).train().act(GraMa(threshold=1e3, outgoing_scale=0.01))
    kernel = training.model.layers[-1].kernel.numpy()
    assert 0 < np.abs(kernel).max() < 0.02


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"threshold": -1.0}, "`threshold` must be a finite number of at least 0. Received: -1.0"),
        ({"max_fraction": 1.5}, "`max_fraction` must be a number in [0, 1]. Received: 1.5"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError) as error:
        GraMa(**arguments)
    assert str(error.value) == message
