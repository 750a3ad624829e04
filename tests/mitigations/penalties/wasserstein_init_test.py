import numpy as np
import pytest

from tests.mitigations.small_run import SmallRun
from tests.mitigations.ten_steps import KINDS, assert_as_by_hand, plus
from tfplastic.mitigations import WassersteinInit


def slope(weight, start, reduction):
    """The gradient of one tensor's distance: each entry is drawn to the initial one of its rank."""
    found, order = np.zeros(weight.size), np.argsort(weight.ravel(), kind="stable")
    found[order] = 2 * (np.sort(weight.ravel()) - np.sort(start.ravel()))
    return found.reshape(weight.shape) / (weight.size if reduction == "mean" else 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reduction", ["sum", pytest.param("mean", marks=pytest.mark.slow)])
def test_ten_steps(kind, reduction):
    penalty = plus(
        lambda weights, start, _: [0.5 * slope(w, s, reduction) for w, s in zip(weights, start, strict=True)]
    )
    assert_as_by_hand(kind, [WassersteinInit(0.5, reduction)], penalty)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_permutation_of_the_start_costs_nothing_and_a_shift_its_square(reduction):
    training = SmallRun()
    init = WassersteinInit(1.0, reduction, weights="kernels")
    init.build(training.model, None, 0)
    variables = training.model.trainable_variables
    draw = np.random.default_rng(0)
    for each in variables:
        each.assign(draw.permutation(each.numpy().ravel()).reshape(each.shape))
    assert float(init.penalty(variables)) == 0
    for each in variables:
        each.assign_add(np.full(each.shape, 2.0))
    sizes = [each.numpy().size for each in variables if "kernel" in each.name]
    expected = 4 * (len(sizes) if reduction == "mean" else sum(sizes))
    np.testing.assert_allclose(init.penalty(variables), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"coefficient": -1.0}, "`coefficient` must be a finite number of at least 0. Received: -1.0"),
        ({"reduction": "max"}, "`reduction` must be one of 'mean', 'sum'. Received: 'max'"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError) as error:
        WassersteinInit(**arguments)
    assert str(error.value) == message
