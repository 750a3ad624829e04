import itertools

import numpy as np
import pytest

from tests.reports import paper_runs
from tests.reports.run_directories import write_run
from tfplastic.reports import paper_cells, read_runs
from tfplastic.reports.page.content import ReportInput
from tfplastic.reports.page.parts import landscape
from tfplastic.reports.page.parts.arms import fixed_factors
from tfplastic.reports.page.parts.paper import beside_the_paper
from tfplastic.reports.statistics.factors import factors_of

MDP = "ClassificationMdpTask.mdp = @true_label_mdp\n"


@pytest.fixture
def cells_of_the_paper(tmp_path):
    """Runs with the numbers of the paper, in every cell of MLP and CNN, but for one of the other sign."""
    for cell in paper_cells().to_dict("records"):
        if cell["architecture"] in ("mlp", "cnn"):
            name = "-".join(cell[part] for part in ("data", "architecture", "intervention"))
            change = cell["plasticity_loss"]
            if name == "cifar10-mlp-two_hot":
                change = 1.0
            scalars = {"probe/final_loss": [(0, cell["initial_loss"]), (9, cell["initial_loss"] + change)]}
            write_run(tmp_path / f"{name}-seed0", 0, scalars, config=MDP)
    return read_runs(tmp_path)


def test_cells_are_put_beside_the_papers(cells_of_the_paper):
    section = beside_the_paper(ReportInput(cells_of_the_paper, "t"))
    tables = {table.name: table.frame for table in section.tables}
    cells = tables["paper_cells"].set_index(["data", "architecture", "intervention"])
    assert len(cells) == 48
    wrong = cells.loc[("cifar10", "mlp", "two_hot")]
    assert wrong["increase, ours"] == pytest.approx(1.0) and wrong["increase, paper"] == 0.02
    assert wrong["sign agrees"] == "no"
    assert str(cells.loc[("cifar10", "mlp", "none"), "sign agrees"]) == ""
    assert list(cells["sign agrees"]).count("no") == 1
    agreement = tables["paper_agreement"]
    clear = agreement.iloc[0]
    assert clear["ours"] == pytest.approx(1 - 1 / clear["cells"])
    assert 0.9 < clear["ceiling"] <= 1
    assert agreement["ours"].iloc[2] < 1
    assert {picture.name for picture in section.pictures} == {f"paper_fig{n:02}" for n in (8, 9, 10, 11)}
    assert any("an exact replication" in text for text in section.texts)


def test_runs_that_have_not_finished_are_left_out_and_counted(cells_of_the_paper, tmp_path):
    before = beside_the_paper(ReportInput(cells_of_the_paper, "t"))
    for seed, state in ((1, "running"), (2, "failed")):
        scalars = {"probe/final_loss": [(0, 9.0)]}
        write_run(tmp_path / f"cifar10-cnn-none-seed{seed}", seed, scalars, config=MDP, state=state)
    after = beside_the_paper(ReportInput(read_runs(tmp_path), "t"))
    assert after.texts[:1] == before.texts[:1]
    assert after.texts[1].startswith("2 runs that have not finished, or have errors, are left out")
    assert after.texts[2:] == before.texts[1:]


def test_runs_of_several_folders_are_not_mixed(cells_of_the_paper, tmp_path):
    for folder in ("one", "two"):
        scalars = {"probe/final_loss": [(0, 0.1), (9, 0.4)]}
        write_run(tmp_path / "all" / folder / "cifar10-mlp-none-seed0", 0, scalars, config=MDP)
    section = beside_the_paper(ReportInput(read_runs(tmp_path / "all"), "t"))
    assert not section.tables and section.texts[0].startswith("These runs are of several folders.")


def test_other_tasks_are_not_compared_with_the_papers_agents(tmp_path):
    for arm in ("none", "layer_norm"):
        config = "RandomLabelTask.dataset = 'mnist'\nRandomLabelTask.network = @mlp\n"
        write_run(tmp_path / f"{arm}-seed0", 0, {"probe/final_loss": [(0, 0.1), (9, 0.4)]}, config=config)
    section = beside_the_paper(ReportInput(read_runs(tmp_path), "t"))
    assert not section.tables and section.texts[0].startswith("Nothing to compare")


def test_data_and_network_may_come_from_the_configuration(tmp_path):
    config = (
        MDP + "ClassificationMdpTask.dataset = 'cifar10'\nClassificationMdpTask.network = @networks.cnn\n"
    )
    write_run(tmp_path / "none-seed0", 0, {"probe/final_loss": [(0, 0.1), (9, 0.4)]}, config=config)
    runs = read_runs(tmp_path)
    assert fixed_factors(runs) == {"data": "cifar10", "architecture": "cnn"}
    (table,) = beside_the_paper(ReportInput(runs, "t")).tables
    assert table.frame[["data", "architecture", "intervention"]].iloc[0].tolist() == [
        "cifar10",
        "cnn",
        "none",
    ]


@pytest.mark.parametrize(
    ("make", "figure", "table"),
    [
        (paper_runs.atari, 7, "paper_games"),
        (paper_runs.agents, 3, "correlates"),
        (paper_runs.random_labels, 1, None),
        (paper_runs.landscape, 2, "twins"),
    ],
)
def test_figures_of_the_paper_where_runs_have_what_they_show(tmp_path, make, figure, table):
    section = beside_the_paper(ReportInput(make(tmp_path), "t"))
    assert f"paper_fig{figure:02}" in [picture.name for picture in section.pictures]
    assert table is None or table in [each.name for each in section.tables]


def test_a_network_beside_its_twin_at_both_ends(tmp_path):
    section = beside_the_paper(ReportInput(paper_runs.landscape(tmp_path), "t"))
    (table,) = section.tables
    assert table.frame["arm"].unique().tolist() == ["gradient_descent"]
    assert table.frame["runs"].unique().tolist() == [2]
    ends = table.frame.set_index(["quantity", "step"])[["network", "twin"]]
    assert ends.loc[("sharpness", 0)].tolist() == [4.0, 4.0]
    assert ends.loc[("sharpness", 25_000)].tolist() == pytest.approx([12.5, 5.3])  # medians of two seeds
    assert ends.loc[("gradient interference", 25_000)].tolist() == pytest.approx([0.7, 0.61])
    assert len(ends) == 4


def test_runs_without_twins_have_no_figure_2(tmp_path):
    section = beside_the_paper(ReportInput(paper_runs.atari(tmp_path), "t"))
    assert "paper_fig02" not in [picture.name for picture in section.pictures]


def test_matrices_and_spectra_of_twins_are_on_the_page(tmp_path):
    contents = ReportInput(paper_runs.landscape(tmp_path), "t")
    (matrices,) = landscape.covariances(contents).pictures
    rows = [ax.get_ylabel() for ax in matrices.figure.axes if ax.get_ylabel()]
    assert rows[:2] == ["gradient_descent", "twin of gradient_descent"]
    names = [picture.name for picture in landscape.spectra(contents).pictures]
    names_of_both = [f"{prefix}_hessian_spectral_density_all" for prefix in ("diagnostics", "brownian_twin")]
    assert names == names_of_both


def test_improvements_on_games_beside_the_papers(tmp_path):
    section = beside_the_paper(ReportInput(paper_runs.atari(tmp_path), "t"))
    games = section.tables[0].frame.set_index("game")
    assert games.loc["Freeway", "paper, %"] == 40.7
    assert np.isnan(games.loc["Qbert", "ours, %"])


@pytest.mark.parametrize(
    ("parts", "factors"),
    [
        (
            [("cifar10", "mnist"), ("mlp", "cnn"), ("none", "layer_norm")],
            ("data", "architecture", "intervention"),
        ),
        ([("Pong", "Boxing"), ("none", "layer_norm")], ("game", "intervention")),
        ([("easy", "hard"), ("a", "b")], ("environment", "part2")),
        ([("mlp",), ("1", "2", "4")], ("architecture", "width")),
    ],
)
def test_what_the_parts_of_names_are(parts, factors):
    assert factors_of(["-".join(each) for each in itertools.product(*parts)]) == factors


def test_names_of_different_lengths_have_no_factors():
    assert factors_of(["none", "cifar10-none"]) == ()


def names_of(section):
    return [picture.name for picture in section.pictures]


def test_learning_sharpness_and_probe_curves_are_drawn_from_the_arms_of_their_experiments(tmp_path):
    for arm in ("easy-cifar10-mlp-none", "hard-cifar10-mlp-none", "hard-cifar10-mlp-layer_norm"):
        scalars = {"evaluation/accuracy": [(0, 0.1), (9, 0.5)], "evaluation/td_loss": [(0, 0.5), (9, 0.4)]}
        write_run(tmp_path / "fig12" / f"{arm}-seed0", 0, scalars)
    for arm in ("easy-none", "easy-layer_norm", "hard-none"):
        curves = {"probe/curves": {step: {"curves": np.ones((2, 9))} for step in (0, 600)}}
        config = "ClassificationMdpTask.dataset = 'mnist'\n"
        write_run(
            tmp_path / "fig17" / f"{arm}-seed0", 0, {"diagnostics/sharpness/all": [(0, 1.0)]}, config=config
        )
        write_run(
            tmp_path / "fig18" / f"{arm}-seed0", 0, {}, curves, config=config.replace("mnist", "cifar10")
        )
    drawn = {
        name: names_of(beside_the_paper(ReportInput(read_runs(tmp_path / name), "")))
        for name in ("fig12", "fig17", "fig18")
    }
    assert drawn == {
        "fig12": ["paper_fig12", "paper_fig16"],
        "fig17": ["paper_fig14"],
        "fig18": ["paper_fig18"],
    }


@pytest.mark.parametrize(
    ("arms", "factors"),
    [
        (["mlp-cifar10-1-x1", "cnn-mnist-150-x4"], ("architecture", "data", "target_period", "width")),
        (["mlp-cifar10-15-x2"], ("architecture", "data", "target_period", "width")),
        (["mlp-16", "mlp-64"], ("architecture", "width")),
        (["easy-none", "hard-two_hot+layer_norm"], ("environment", "intervention")),
        (["hard-mnist-cnn-none"], ("environment", "data", "architecture", "intervention")),
    ],
)
def test_parts_of_the_arms_of_the_papers_experiments(arms, factors):
    assert factors_of(arms) == factors
