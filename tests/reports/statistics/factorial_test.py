import math

import pandas as pd
import pytest

from tests.reports.run_directories import write_run
from tfplastic.reports import aggregate, probe_cells, probe_losses, read_runs, with_factors


def write(root, name, seed, losses):
    write_run(root / f"{name}-seed{seed}", seed, {"probe/final_loss": losses})


def test_losses_are_those_of_the_first_and_the_last_probe(tmp_path):
    write(tmp_path, "a", 0, [(500, 0.25), (1_000, 0.75), (0, 0.5)])
    write(tmp_path, "a", 1, [(500, 0.25)])
    write_run(tmp_path / "b-seed0", 0, {"train/loss": [(0, 1.0)]})
    table = probe_losses(read_runs(tmp_path))
    assert table[["run", "initial_loss", "final_loss"]].values.tolist() == [
        ["a-seed0", 0.5, 0.75],
        ["a-seed1", 0.25, 0.25],
    ]
    assert table["plasticity_loss"][0] == 0.25 and math.isnan(table["plasticity_loss"][1])
    assert probe_losses(read_runs()).empty


def test_cells_are_means_over_seeds(tmp_path):
    for seed, final in enumerate((0.5, 0.75, 1.0)):
        write(tmp_path, "mnist-mlp-none", seed, [(0, 0.25), (100, final)])
    write(tmp_path, "mnist-cnn-none", 0, [(0, 0.25), (100, math.nan)])
    cells = probe_cells(read_runs(tmp_path)).set_index("architecture")
    mlp, cnn = cells.loc["mlp"], cells.loc["cnn"]
    assert (mlp["plasticity_loss"], mlp["low"], mlp["high"], mlp["final_loss"]) == (0.5, 0.25, 0.75, 0.75)
    assert mlp["runs"] == 3 and cnn["runs"] == 1 and math.isnan(cnn["low"])
    assert math.isnan(cnn["plasticity_loss"]) and cnn["initial_loss"] == 0.25


def test_bounds_are_those_of_resampled_runs_from_six_on(tmp_path):
    finals = [0.3, 0.4, 0.5, 0.6, 0.7, 1.5]
    for seed, final in enumerate(finals):
        write(tmp_path, "mnist-mlp-none", seed, [(0, 0.0), (100, final)])
    (cell,) = probe_cells(read_runs(tmp_path)).to_dict("records")
    interval = aggregate.bootstrap({"": finals}, aggregate.mean)
    assert (cell["low"], cell["high"]) == (interval.low, interval.high)
    assert min(finals) < cell["low"] < cell["plasticity_loss"] < cell["high"] < max(finals)


def test_what_is_no_part_of_the_names_is_given(tmp_path):
    write(tmp_path / "grid", "cnn-two_hot+layer_norm", 0, [(0, 0.25), (100, 0.5)])
    runs = read_runs(tmp_path)
    cells = probe_cells(runs, ("architecture", "intervention"), data="cifar10")
    assert cells[["data", "architecture", "intervention"]].values.tolist() == [
        ["cifar10", "cnn", "two_hot+layer_norm"]
    ]
    with pytest.raises(ValueError, match="^`factors` must have data, .* if not fixed. Received: no 'data'$"):
        probe_cells(runs, ("architecture", "intervention"))
    rule = (
        "^Arms must have names of 3 parts joined by '-': data, architecture, .* Received: 'grid/cnn-two_hot"
    )
    with pytest.raises(ValueError, match=rule):
        probe_cells(runs)


def test_factors_of_no_rows():
    assert with_factors(pd.DataFrame({"arm": []}), ["data"]).columns.tolist() == ["arm", "data"]
