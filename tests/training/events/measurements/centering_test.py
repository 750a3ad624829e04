import numpy as np
import pytest

from tfplastic.training.events.measurements.centering import uncentered_warning

PIXELS = np.linspace(0, 1, 256, dtype=np.float32)  # mean .5, standard deviation .29


@pytest.mark.parametrize(
    "inputs", [PIXELS, {"a": -PIXELS, "b": np.zeros(3)}, (PIXELS * 255).astype(np.uint8)]
)
def test_a_network_that_fails_on_uncentered_inputs_is_warned_of(inputs):
    warning = uncentered_warning({"final_loss": 0.45, "target_variance": 0.5}, inputs)
    start = "a fresh network ends the probe at 0.9 b and its inputs are not centered (mean "
    assert warning.startswith(start)
    assert warning.endswith("pixel_range = (-1.0, 1.0)")


@pytest.mark.parametrize(
    ("final_loss", "inputs"),
    [
        (0.35, PIXELS),  # at 0.7 b it learns
        (0.45, 2 * PIXELS - 1),
        (0.45, np.where(PIXELS > 0.8, 1, 0.0)),  # mostly black, as MNIST is: mean .2, standard deviation .4
        (0.45, np.zeros(5)),
        (0.45, np.ones((3, 2))),  # constant: centring would not help
        (float("nan"), PIXELS),
        (0.45, np.array([["a word"]])),
    ],
)
def test_others_are_not(final_loss, inputs):
    assert uncentered_warning({"final_loss": final_loss, "target_variance": 0.5}, inputs) == ""
    assert uncentered_warning({"final_loss": 9.0}, PIXELS) == ""  # another kind of probe
