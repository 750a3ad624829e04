import numpy as np
import pandas as pd
import pytest

from tfplastic.reports import agreement, missing_cells, paper_cells

PAPER = pd.DataFrame(
    [
        ("mnist", "mlp", "none", 0.30, 0.03, 0.1, 0.4),
        ("mnist", "mlp", "two_hot", 0.10, 0.03, 0.1, 0.2),  # 0.2 below: 8.2 standard errors of 0.0245
        ("mnist", "mlp", "layer_norm", 0.36, 0.03, 0.1, 0.46),  # 0.06 above: 2.4
        ("mnist", "mlp", "weight_decay", 0.33, 0.03, 0.1, 0.43),  # 0.03 above: 1.2, not clear
        ("mnist", "cnn", "two_hot", 0.05, 0.03, 0.1, 0.15),  # its column has no 'none'
    ],
    columns=[
        "data",
        "architecture",
        "intervention",
        "plasticity_loss",
        "spread",
        "initial_loss",
        "final_loss",
    ],
)


def ours(**values):
    cells = PAPER.drop(columns=["spread", "initial_loss"])
    for intervention, value in values.items():
        cells.loc[cells["intervention"] == intervention, "plasticity_loss"] = value
    return cells


def measures(table):
    return dict(zip(table["measure"], table["ours"], strict=True))


def test_a_small_table_by_hand():
    table = agreement(ours(layer_norm=0.2, weight_decay=0.3), PAPER)
    found = measures(table)
    assert found["sign_of_clear_differences"] == 1 / 2  # two_hot of two_hot, layer_norm
    assert found["sign_of_all_differences"] == 1 / 3  # weight_decay is equal to none
    assert dict(zip(table["measure"], table["cells"], strict=True)) == {
        "sign_of_clear_differences": 2,
        "sign_of_all_differences": 3,
        "rho_of_losses_of_plasticity": 5,
        "rho_of_final_losses": 5,
    }
    assert found["rho_of_final_losses"] == pytest.approx(1)
    # Ranks 4.5 1... of .3 .1 .2 .3 .05 are 4.5 2 3 4.5 1, of the paper's .30 .10 .36 .33 .05 are 3 2 5 4 1.
    one, other = np.array([4.5, 2, 3, 4.5, 1]), np.array([3.0, 2, 5, 4, 1])
    assert found["rho_of_losses_of_plasticity"] == pytest.approx(np.corrcoef(one, other)[0, 1])


def test_the_paper_agrees_with_itself():
    found = measures(agreement(paper_cells(), num_simulations=10))
    assert found == pytest.approx(dict.fromkeys(found, 1.0))


def test_the_ceiling_has_noise_in_both():
    table = agreement(paper_cells()).set_index("measure")
    ceiling = table["ceiling"]
    # By a simulation that was written apart. With the printed values as the truth: 0.99, 0.85, 0.89 and 0.93.
    assert ceiling["sign_of_clear_differences"] == pytest.approx(0.97, abs=0.01)
    assert ceiling["sign_of_all_differences"] == pytest.approx(0.80, abs=0.01)
    assert ceiling["rho_of_losses_of_plasticity"] == pytest.approx(0.81, abs=0.01)
    assert ceiling["rho_of_final_losses"] == pytest.approx(0.88, abs=0.01)
    assert (table["low"] <= table["fifth"]).all() and (table["fifth"] < ceiling).all()
    assert (ceiling < table["high"]).all()


def test_nineteen_of_twenty_replications_reach_the_fifth_percentile_when_both_are_noisy():
    """Truths are drawn, then the paper's values and ours: nothing is known of the truths but the paper."""
    cells, generator, reached = paper_cells(), np.random.default_rng(0), []
    noise = cells["spread"].to_numpy() / np.sqrt(3)
    names = ["plasticity_loss", "final_loss"]
    for _ in range(100):
        truth = {name: generator.uniform(-1, 2, len(cells)) for name in names}
        paper, ours = (
            cells.assign(**{name: truth[name] + noise * generator.normal(size=len(cells)) for name in names})
            for _ in range(2)
        )
        row = agreement(ours, paper, num_simulations=100).set_index("measure").loc["rho_of_final_losses"]
        reached.append(row["ours"] >= row["fifth"])
    assert 0.88 <= np.mean(reached) <= 1.0  # 0.95 within 3 standard errors


def test_the_ceiling_of_some_cells():
    cells = paper_cells()
    table = agreement(cells[cells["architecture"].isin(["cnn", "mlp"])])
    assert table["cells"].tolist() == [16, 44, 48, 48]


def test_the_ceiling_rises_with_the_runs_and_falls_with_chance():
    few, many = (agreement(PAPER, PAPER, num_runs).set_index("measure")["ceiling"] for num_runs in (1, 100))
    assert (many >= few).all() and (many > few).sum() >= 3
    assert agreement(PAPER, PAPER, seed=1)["ceiling"].tolist() != agreement(PAPER, PAPER)["ceiling"].tolist()
    pd.testing.assert_frame_equal(agreement(PAPER, PAPER), agreement(PAPER, PAPER))


def test_nan_disagrees_and_other_cells_are_not_looked_at():
    more = pd.concat([ours(two_hot=np.nan), ours().iloc[:1].assign(intervention="injection")])
    found = measures(agreement(more, PAPER, num_simulations=2))
    assert found["sign_of_clear_differences"] == 1 / 2
    assert np.isnan(found["rho_of_losses_of_plasticity"])


def test_without_cells_there_is_no_number():
    table = agreement(PAPER.iloc[:0], PAPER, num_simulations=2)
    assert table["cells"].tolist() == [0] * 4 and table[["ours", "ceiling"]].isna().all(axis=None)


def test_missing_cells_are_named():
    missing = missing_cells(PAPER[PAPER["intervention"] != "two_hot"], PAPER)
    assert missing.values.tolist() == [["mnist", "mlp", "two_hot"], ["mnist", "cnn", "two_hot"]]


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="^`ours` must have the columns data, .* Received: no 'final_loss'$"):
        agreement(PAPER.drop(columns="final_loss"))
    with pytest.raises(
        ValueError, match=r"^`ours` must have each cell once. Received: \('mnist', 'mlp', 'none'\)"
    ):
        agreement(pd.concat([PAPER, PAPER]))
    with pytest.raises(ValueError, match="^`num_runs` must be an integer of at least 1. Received: 0$"):
        agreement(PAPER, num_runs=0)
