import functools
from typing import Any

import gin
import pytest
import tensorflow as tf
import tf_keras as keras_2

from tests.diagnostics import models
from tfplastic import diagnostics


@pytest.fixture
def snapshot():
    model, inputs = models.mlp(keras_2), tf.constant([[1.0, 2.0], [3.0, 0.0]])
    return diagnostics.Snapshot(model, inputs, loss=models.mean_square)


@pytest.fixture
def clean_gin():
    yield
    gin.clear_config()


def test_names_and_order(snapshot):
    quantities = (
        diagnostics.weight_norm,
        functools.partial(functools.partial(diagnostics.dormant_units), tau=0.1),
        diagnostics.dead_units,
    )
    result = diagnostics.measure(snapshot, quantities)
    assert list(result) == ["weight_norm", "dormant_units", "dead_units"]
    assert result["dormant_units"] == diagnostics.dormant_units(snapshot, tau=0.1) == {"hidden": 0.75}
    assert result["dead_units"] == {"hidden": 0.5}
    assert diagnostics.measure(snapshot, ()) == {}


def test_a_mapping_gives_names(snapshot):
    quantities = {
        "strict": functools.partial(diagnostics.dormant_units, tau=0),
        "lax": functools.partial(diagnostics.dormant_units, tau=0.1),
    }
    assert diagnostics.measure(snapshot, quantities) == {"strict": {"hidden": 0.5}, "lax": {"hidden": 0.75}}


def test_from_gin(snapshot, clean_gin):
    @gin.configurable(module="tests.diagnostics")
    def settings(quantities=()):
        return quantities

    gin.parse_config("""
        settings.quantities = (@dead_units, @weight_norm, @gradient_norm, @sharpness, @dormant_units)
        dormant_units.tau = 0.1
        sharpness.max_steps = 7
    """)
    result = diagnostics.measure(snapshot, settings())
    assert list(result) == ["dead_units", "weight_norm", "gradient_norm", "sharpness", "dormant_units"]
    assert result["dormant_units"] == {"hidden": 0.75}
    assert result["sharpness"] == diagnostics.sharpness(snapshot, max_steps=7)
    assert diagnostics.dormant_units(snapshot) == {"hidden": 0.5}  # direct use is unaffected
    with gin.unlock_config():
        gin.parse_config("""
            settings.quantities = {'strict': @strict/dormant_units, 'lax': @lax/dormant_units}
            strict/dormant_units.tau = 0
            lax/dormant_units.tau = 4
        """)
    assert diagnostics.measure(snapshot, settings()) == {"strict": {"hidden": 0.5}, "lax": {"hidden": 1.0}}


def test_errors(snapshot):
    twice = (diagnostics.dormant_units, functools.partial(diagnostics.dormant_units, tau=0.1))
    with pytest.raises(ValueError) as error:
        diagnostics.measure(snapshot, twice)
    assert str(error.value) == (
        "`quantities` must have distinct names, or be a mapping {name: function}. "
        "Received: dormant_units, dormant_units"
    )
    for received in (None, 1.0, [1.0], {"hidden": "much"}, {"hidden": None}, {"hidden": [[1.0], [1.0, 2.0]]}):
        with pytest.raises(TypeError, match=r"^`quantities` must return {layer name: number or array}\. Rec"):
            mine: Any = {"mine": lambda snapshot, received=received: received}
            diagnostics.measure(snapshot, mine)
    wrongs: list[Any] = ["dead_units", 1]
    for wrong in wrongs:
        with pytest.raises(TypeError, match=r"^`quantities` must hold functions of a snapshot. Received: "):
            diagnostics.measure(snapshot, [wrong])
