"""Diagnostics of a network and its Brownian twin: the same quantities at the same steps, and no trace."""

import functools

import numpy as np
import pytest
from absl import logging

from tests.training.graph_loop_test import make_loop, rows, run, weights
from tfplastic import diagnostics, mitigations, writers
from tfplastic.diagnostics import Snapshot
from tfplastic.training import BrownianTwin
from tfplastic.training.events.measurements.diagnostics import RunDiagnostics
from tfplastic.training.events.measurements.diagnostics_plan import DiagnosticsPlan

STEPS = [0, 5, 24]
QUANTITIES = {
    "dead_units": diagnostics.dead_units,
    "distance_from_init": diagnostics.distance_from_init,
    "sharpness": diagnostics.sharpness,
    "gradient_covariance": functools.partial(diagnostics.gradient_covariance, num_examples=6, num_clusters=2),
    "hessian_spectral_density": functools.partial(
        diagnostics.hessian_spectral_density, num_steps=8, num_points=20
    ),
}
ARRAYS = ("gradient_covariance", "hessian_spectral_density")


def looped(measures=True, **config):
    measuring = dict(
        diagnostics=QUANTITIES,
        diagnostics_periods=dict.fromkeys(ARRAYS, STEPS),
        diagnostics_loss=diagnostics.noisy_self_targets,
    )
    settings = {**(measuring if measures else {}), "total_steps": 24, **config}
    return make_loop(twin=BrownianTwin(), **settings)


def twin_of(loop):
    return loop.config.twin.model


def scalars(path, prefix):
    """{tag without its prefix: [(step, value as text), ...]}."""
    found = {}
    for row in rows(path)[1:]:
        step, tag, value = row.split(",")
        if tag.startswith(prefix):
            found.setdefault(tag.removeprefix(prefix), []).append((int(step), value))
    return found


def arrays(path, prefix):
    """{tag without its prefix and step: {key: array}} of C_k and spectra."""
    root = path / "arrays" / prefix
    files = [file for quantity in ARRAYS for file in (root / quantity).rglob("*.npz")]
    return {str(file.relative_to(root)): dict(np.load(file)) for file in files}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Directory and loop of a run that nothing interrupts."""
    path = tmp_path_factory.mktemp("whole")
    return path, run(path, looped())[0]


def test_a_run_with_measurements_of_both_is_the_run_without(tmp_path, whole):
    without, _ = run(tmp_path, looped(measures=False))
    np.testing.assert_array_equal(weights(whole[1]), weights(without))
    for one, other in zip(twin_of(whole[1]).variables, twin_of(without).variables, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_same_is_measured_of_both_at_the_same_steps(whole):
    path, _ = whole
    of_network, of_twin = scalars(path, "diagnostics/"), scalars(path, "brownian_twin/")
    assert list(of_network) == list(of_twin) and {tag.split("/")[0] for tag in of_twin} == {
        "dead_units",
        "distance_from_init",
        "sharpness",
    }
    steps = [[step for step, _ in series] for series in (*of_network.values(), *of_twin.values())]
    assert all(each == [0, 12, 24] for each in steps)
    files = arrays(path, "brownian_twin")
    assert set(files) == set(arrays(path, "diagnostics")) and len(files) == 15  # 3 layers and all, and all
    assert {int(file.rpartition("/")[2].removesuffix(".npz")) for file in files} == set(STEPS)


def test_both_begin_alike_and_part(whole):
    path, _ = whole
    of_network, of_twin = scalars(path, "diagnostics/"), scalars(path, "brownian_twin/")
    for tag, series in of_network.items():
        assert series[0] == of_twin[tag][0]
    assert of_network["sharpness/all"][1:] != of_twin["sharpness/all"][1:]
    assert float(of_twin["distance_from_init/all"][2][1]) > float(of_twin["distance_from_init/all"][1][1]) > 0
    beginnings = 0
    for file, values in arrays(path, "brownian_twin").items():
        same = [
            np.array_equal(each, arrays(path, "diagnostics")[file][key], equal_nan=True)
            for key, each in values.items()
        ]
        assert all(same) == file.endswith("/0.npz")
        beginnings += all(same)
    assert beginnings == 5


def test_values_are_those_of_the_twins_weights(whole):
    path, loop = whole
    _, inputs = loop.task.diagnostics_batch()
    for model, prefix in ((loop.task.model, "diagnostics"), (twin_of(loop), "brownian_twin")):
        snapshot = Snapshot(model, inputs, *diagnostics.noisy_self_targets(model, inputs))
        step, value = scalars(path, f"{prefix}/sharpness")["/all"][-1]
        assert step == 24  # the last one
        assert float(value) == pytest.approx(diagnostics.sharpness(snapshot)["all"], rel=1e-4)


def test_a_resumed_run_writes_the_same_files(tmp_path, whole):
    assert run(tmp_path, looped(), interrupt_at=7)[1] == 143
    stopped_at = {int(row.split(",")[0]) for row in rows(tmp_path)[1:]}
    assert 0 < max(stopped_at) < 24
    resumed, code = run(tmp_path, looped())
    assert code == 0
    np.testing.assert_array_equal(weights(resumed), weights(whole[1]))
    files = [
        {
            file.relative_to(path): file.read_bytes()
            for file in [path / "metrics.csv", *(path / "arrays").rglob("*.npz")]
        }
        for path in (tmp_path, whole[0])
    ]
    assert files[0] == files[1]


def test_without_its_own_loss_what_needs_one_is_left_out_in_so_many_words(tmp_path, monkeypatch):
    warnings = []
    monkeypatch.setattr(logging, "warning", lambda text, *values: warnings.append(text % values))
    quantities = (diagnostics.weight_norm, diagnostics.sharpness, diagnostics.update_ratio)
    run(
        tmp_path, looped(diagnostics=quantities, diagnostics_periods={}, diagnostics_loss=None, total_steps=1)
    )
    assert warnings == [
        "Not measured of the Brownian twin: sharpness; the task's loss is that of its own network"
        " (train.diagnostics_loss gives one of any network).",
        "Not measured of the Brownian twin: update_ratio; it has no optimizer.",
    ]
    assert "3 every 12 gradient steps; 1 of the Brownian twin too, not sharpness, update_ratio" in (
        make_loop(twin=BrownianTwin(), diagnostics=quantities).describe()
    )
    assert {tag.split("/")[1] for tag in scalars(tmp_path, "brownian_twin")} == {"weight_norm"}
    assert "/all" in scalars(tmp_path, "diagnostics/sharpness")


def test_a_function_that_reads_the_loss_without_saying_so_is_left_out_of_the_twin(tmp_path, monkeypatch):
    warnings = []
    monkeypatch.setattr(logging, "warning", lambda text, *values: warnings.append(text % values))

    def loss(snapshot):
        return {"all": float(snapshot.loss)}

    run(tmp_path, looped(diagnostics=[loss], diagnostics_periods={}, diagnostics_loss=None, total_steps=1))
    assert [each.startswith("loss of the Brownian twin is not measured: `loss`") for each in warnings] == [
        True
    ]
    assert "/all" in scalars(tmp_path, "diagnostics/loss") and not scalars(tmp_path, "brownian_twin")


def test_a_budget_is_measured_of_both(tmp_path):
    run(tmp_path, looped(diagnostics="cheap", diagnostics_periods={}, total_steps=1))
    of_network, of_twin = scalars(tmp_path, "diagnostics/"), scalars(tmp_path, "brownian_twin/")
    assert of_network == of_twin and len(of_network) > 20


def test_the_page_groups_both():
    class Layouts(writers.Writer):
        def layout(self, charts):
            self.charts = charts

    page = Layouts()
    quantities = [diagnostics.dead_units, diagnostics.sharpness]
    RunDiagnostics(DiagnosticsPlan(quantities, 1, {}), BrownianTwin()).lay_out(page)
    assert page.charts == {
        "Diagnostics": {name: f"diagnostics/{name}/.*" for name in ("dead_units", "sharpness")},
        "Brownian twin": {"dead_units": "brownian_twin/dead_units/.*"},
    }


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            dict(twin=mitigations.WeightDecay),
            "`twin` must be a twin, such as @BrownianTwin(). Received: "
            "<class 'tfplastic.mitigations.penalties.weight_decay.WeightDecay'>",
        ),
        (
            dict(diagnostics_loss="mse"),
            "`diagnostics_loss` must be a function, such as @noisy_self_targets. Received: 'mse'",
        ),
    ],
)
def test_errors(config, message):
    with pytest.raises(ValueError) as error:
        make_loop(**config)
    assert str(error.value).splitlines()[0] == message  # gin adds where
