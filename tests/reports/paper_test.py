from tfplastic.reports import paper_cells, paper_numbers
from tfplastic.reports.paper import ARCHITECTURES, INTERVENTIONS


def lookup(figure, quantity, data, architecture, intervention):
    numbers = paper_numbers(figure)
    keys = {"quantity": quantity, "data": data, "architecture": architecture, "intervention": intervention}
    for column, value in keys.items():
        numbers = numbers[numbers[column] == value]
    (row,) = numbers.itertuples()
    return row.value, row.spread


def test_numbers_that_the_text_of_the_paper_repeats():
    assert lookup(8, "plasticity_loss", "cifar10", "cnn", "none") == (0.31, 0.06)
    assert lookup(8, "plasticity_loss", "cifar10", "mlp", "two_hot+spectral_norm") == (0.01, 0.07)
    assert lookup(9, "plasticity_loss", "mnist", "cnn", "two_hot") == (-0.02, 0.13)
    assert lookup(9, "plasticity_loss", "mnist", "mlp", "layer_norm") == (0.43, 0.28)
    assert lookup(10, "initial_loss", "cifar10", "mlp", "two_hot")[0] == 0.48
    assert lookup(10, "final_loss", "cifar10", "mlp", "two_hot")[0] == 0.49
    assert lookup(11, "final_loss", "mnist", "vit", "two_hot+shrink_and_perturb")[0] == 0.26
    assert lookup(7, "improvement_percent", "DoubleDunk", "double_dqn", "layer_norm")[0] == -52.4


def test_every_cell_is_there_once():
    cells = paper_cells()
    assert set(cells["intervention"]) == set(INTERVENTIONS)
    assert set(cells["architecture"]) == set(ARCHITECTURES)
    # Spectral and layer normalization, alone and with two-hot, are of CNN and MLP only.
    assert len(cells) == 2 * (12 * 4 - 4 * 2)
    assert (
        not cells.isna().any(axis=None)
        and not cells.duplicated(["data", "architecture", "intervention"]).any()
    )


def test_differences_are_final_less_initial_losses_up_to_rounding():
    cells = paper_cells()
    error = (cells["final_loss"] - cells["initial_loss"] - cells["plasticity_loss"]).abs()
    assert error.max() < 0.0151 and (error > 0.001).any()


def test_games_are_those_of_the_benchmark():
    games = paper_numbers(7)
    values = games["value"]
    assert games["data"].nunique() == 57 and ((values > 0).sum(), (values < 0).sum()) == (45, 10)
    assert round(values.mean(), 1) == 34.7


def test_a_caller_may_change_what_he_is_given():
    numbers = paper_numbers()
    numbers["value"] = 0.0
    assert paper_numbers()["value"].abs().sum() > 0
