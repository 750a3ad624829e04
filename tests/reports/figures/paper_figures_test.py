import shutil

import numpy as np
import pytest

from tests.reports import paper_runs
from tests.reports.run_directories import write_run
from tfplastic.reports import figures, paper_cells, read_runs, style
from tfplastic.reports.runs import Runs

PREFIXES = ("diagnostics", "brownian_twin")


@pytest.fixture(scope="module")
def runs_of(tmp_path_factory):
    """Run directories by figure, each written once."""
    made = {}

    def get(number):
        build = paper_runs.RUNS[number]
        if build not in made:
            made[build] = build(tmp_path_factory.mktemp("runs"))
        return made[build]

    return get


def drawn(number, runs, **kwargs):
    figure = figures.FIGURES[number]
    with style.styled():
        canvas, ax = style.new_figure(*figure.size)
        assert figure.draw(runs, ax, **{**paper_runs.KWARGS.get(number, {}), **kwargs}) is ax
        canvas.draw_without_rendering()
    return ax


def titles(ax):
    return [panel.get_title() for panel in ax.child_axes]


def texts(ax):
    return {(text.get_position()): text.get_text() for text in ax.texts}


def test_every_figure_of_the_paper_has_its_function():
    assert list(figures.FIGURES) == list(range(1, 23)) == list(paper_runs.RUNS)
    for number, figure in figures.FIGURES.items():
        assert figure.number == number and figure.title
        assert figure.draw is getattr(figures, f"figure_{number}")
        assert "Fig" in figure.draw.__doc__ or "Draws `figure_" in figure.draw.__doc__


@pytest.mark.parametrize("number", figures.FIGURES)
def test_each_is_drawn_from_run_directories(number, runs_of, tmp_path):
    runs = runs_of(number)
    assert figures.FIGURES[number].lacks(runs) == []
    ax = drawn(number, runs)
    axes = [ax, *ax.child_axes, *(inner for panel in ax.child_axes for inner in panel.child_axes)]
    assert sum(len(each.lines) + len(each.images) + len(each.patches) for each in axes) > 0


@pytest.mark.parametrize("number", figures.FIGURES)
def test_each_says_what_runs_lack(number, tmp_path):
    write_run(tmp_path / "a-b-c-seed0", 0, {"other": [(0, 1.0)]})
    runs = read_runs(tmp_path)
    figure = figures.FIGURES[number]
    arrays = [each if isinstance(each, str) else each[0] for each in figure.arrays]
    assert figure.lacks(runs) == [*figure.scalars, *arrays]
    with pytest.raises(
        ValueError, match="^`runs` must have (scalars|arrays) '.*'. Received: 1 runs without$"
    ):
        drawn(number, runs)


def test_figure_1_shows_accuracy_dead_units_and_boundaries(runs_of):
    ax = drawn(1, runs_of(1))
    top, below = ax.child_axes  # no second axis with other ends
    assert (top.get_ylabel(), below.get_ylabel()) == ("accuracy", "dead units")
    assert top.get_ylim() == below.get_ylim() == (0, 1.02) and top.get_xlim() == below.get_xlim()
    dead, worst = below.lines[-4:-2]
    # The mean of both layers, (1 + 1/2) / 2 of the rise; the median of three seeds is the second's.
    assert dead.get_ydata()[1] == pytest.approx(0.75 * (0.7 / 8 + 0.01))
    assert worst.get_ydata()[1] == pytest.approx(0.7 / 8 + 0.01) and worst.get_linestyle() == ":"
    assert [line.get_label() for line in top.lines if line.get_color() != "0.85"] == [
        "default (n = 3, 2 at the end)",
        "tuned (n = 3)",
    ]
    boundaries = [line.get_xdata()[0] for line in top.lines if line.get_color() == "0.85"]
    assert boundaries == [300, 600, 900]


def test_both_panels_of_figure_1_reach_over_all_data(tmp_path):
    dead = [(0, 0.0), (500, 0.1), (1000, 0.2)]
    write_run(
        tmp_path / "a-seed0", 0, {"evaluation/accuracy": [(500, 0.5)], "diagnostics/dead_units/hidden1": dead}
    )
    top, below = drawn(1, read_runs(tmp_path)).child_axes
    assert top.lines[-1].get_marker() == "o"  # a single evaluation
    left, right = below.get_xlim()
    assert left < 0 and right > 1000 and top.get_xlim() == (left, right)


def test_figure_2_has_early_and_late_of_a_network_and_its_twin(runs_of):
    ax = drawn(2, runs_of(2))
    assert titles(ax) == [
        "gradient descent",
        "Brownian motion",
        *["C_k, step 1,000"] * 2,
        *["C_k, step 20,000"] * 2,
    ]
    descent, motion, *matrices = ax.child_axes
    for panel, largest in ((descent, 15), (motion, 6)):
        assert [steps.get_label() for steps in panel.patches] == ["step 0", "step 25,000"]
        assert panel.patches[1].get_data().edges[-1] == pytest.approx(largest)
    assert descent.get_xlim() == motion.get_xlim() and descent.get_ylim() == motion.get_ylim()
    assert motion.get_xlim()[1] >= 15
    shown = [panel.images[0].get_array() for panel in matrices]
    files = [runs_of(2).arrays(f"{prefix}/gradient_covariance/all") for prefix in PREFIXES]
    for place, values in enumerate(shown):  # by rows, of each seed 0 has the steps 0, 1,000, 20,000
        np.testing.assert_array_equal(values, files[place % 2][1 + place // 2].values["matrix"])


def test_figure_2_has_a_column_for_each_arm(tmp_path):
    grid = np.linspace(-1, 9, 5)
    for arm, value in (("brownian", 0.1), ("gradient_descent", 0.9)):
        arrays = {
            "spectrum": {step: {"grid": grid, "density": np.ones(5)} for step in (0, 100)},
            "diagnostics/gradient_covariance/all": {
                step: {"matrix": np.full((2, 2), value)} for step in (0, 50)
            },
        }
        write_run(tmp_path / f"{arm}-seed0", 0, arrays=arrays)
    ax = drawn(2, read_runs(tmp_path))
    assert titles(ax) == ["brownian", "gradient descent", *["C_k, step 0"] * 2, *["C_k, step 50"] * 2]
    assert [line.get_label() for line in ax.child_axes[1].lines] == ["step 0", "step 100"]
    assert ax.child_axes[3].images[0].get_array().max() == 0.9


def test_spectra_beside_a_twin_are_those_of_the_run_itself(runs_of, tmp_path):
    shutil.copytree(runs_of(2)[0].path, tmp_path / "a-seed0")
    later = tmp_path / "a-seed0" / "arrays" / "spectrum" / "9.npz"
    later.parent.mkdir()
    np.savez(later, grid=np.arange(2.0), density=np.ones(2))
    assert len(drawn(2, read_runs(tmp_path)).child_axes[0].patches) == 2


def test_a_spectrum_of_diagnose_counts_where_another_arm_has_a_twin(runs_of, tmp_path):
    shutil.copytree(runs_of(2)[0].path, tmp_path / "a-seed0")
    spectrum = {step: {"grid": np.linspace(-1, 9, 5), "density": np.ones(5)} for step in (0, 100)}
    write_run(tmp_path / "b-seed0", 0, arrays={"spectrum": spectrum})
    ax = drawn(2, read_runs(tmp_path))
    assert titles(ax)[:3] == ["a", "Brownian motion", "b"]
    assert [line.get_label() for line in ax.child_axes[2].lines] == ["step 0", "step 100"]


def test_figure_3_gives_the_verdicts(runs_of):
    ax = drawn(3, runs_of(3))
    assert titles(ax)[0] == "weight norm: reversed"
    assert all(title.endswith("undetermined") for title in titles(ax)[1:])
    panel = ax.child_axes[0]
    assert [text.get_text() for text in panel.get_legend().texts] == ["CIFAR-10 (n = 16)", "MNIST (n = 16)"]
    slopes = [np.diff(line.get_ydata())[0] / np.diff(line.get_xdata())[0] for line in panel.lines]
    assert slopes == pytest.approx([0.1, -0.1])
    points = figures.falsification_points(runs_of(3), ("environment", "data", "architecture"))
    assert len(points) == 32 and points["weight rank"].between(600, 800).all()


def test_figure_4_has_five_checkpoints_or_those_asked_for(runs_of):
    runs = runs_of(4).where(lambda run: run.arm == "none")
    ax = drawn(4, runs)
    assert [line.get_label() for line in ax.lines] == [
        f"step {step:,}" for step in (0, 2_000, 3_000, 4_000, 6_000)
    ]
    assert [line.get_ydata()[-1] for line in ax.lines] == sorted(line.get_ydata()[-1] for line in ax.lines)
    assert len(drawn(4, runs, steps=[1_000, 6_000]).lines) == 2


def test_figure_5_falls_with_the_width_and_counts_what_a_logarithm_hides(runs_of):
    ax = drawn(5, runs_of(5))
    assert ax.get_yscale() == "log" and len(ax.lines) == 4
    line = next(line for line in ax.lines if line.get_label().startswith("mlp, period 1 "))
    np.testing.assert_array_equal(line.get_xdata(), [1, 4, 16])
    np.testing.assert_allclose(line.get_ydata(), [0.20501, 0.05501, np.nan], atol=1e-9)
    assert line.get_label() == "mlp, period 1 (1 not above 0)"
    with pytest.raises(ValueError, match="^The part 'width' of arms must be a number. Received: 'cnn'$"):
        drawn(5, runs_of(5), factors=("width", "target_period", "architecture"))


def test_figure_6_puts_the_paper_beside_ours(runs_of):
    ax = drawn(6, runs_of(6))
    rows = [tick.get_text() for tick in ax.get_yticklabels()]
    assert rows == [
        *("Two-Hot", "Reset last layer", "Weight decay", "Spectral norm", "Layer norm"),
        *("Shrink and perturb", "None"),
    ]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["CNN", "MLP"]
    written = texts(ax)
    assert written[0, 6] == "0.31\n0.29 to 0.33\n(0.31 ± 0.06)"
    assert written[1, 5] == "(0.61 ± 0.07)"  # no runs of ours
    assert ax.images[0].get_array().mask[5].tolist() == [False, True]


def test_figures_8_to_11_have_the_combinations_and_both_ends(runs_of):
    assert len(drawn(8, runs_of(8)).get_yticklabels()) == 12
    both = drawn(10, runs_of(10))
    assert titles(both) == [f"probe loss at the {end} of training, CIFAR-10" for end in ("start", "end")]
    start, end = both.child_axes
    assert texts(start)[0, 6] == "0.16\n(0.16)" and texts(end)[0, 6] == "0.47\n(0.47)"
    assert start.images[0].get_clim() == end.images[0].get_clim()
    cell = paper_cells().query("data == 'mnist' and architecture == 'cnn' and intervention == 'layer_norm'")
    assert texts(drawn(9, runs_of(9)))[0, 4].startswith(f"{cell['plasticity_loss'].item():.2f}")
    assert "MNIST" in titles(drawn(11, runs_of(11)))[0]


def test_data_need_not_be_in_the_arms(tmp_path):
    write_run(tmp_path / "mlp-none-seed0", 0, {"probe/final_loss": [(0, 0.1), (9, 0.4)]})
    ax = drawn(8, read_runs(tmp_path), factors=("architecture", "intervention"))
    assert texts(ax)[0, 6] == "0.30\n(0.27 ± 0.21)"


def test_spectra_of_training_runs_are_histograms(tmp_path):
    for arm in ("descent", "brownian"):
        histogram = {
            "counts": np.array([1, 3]),
            "edges": np.array([0.0, 1.0, 3.0]),
            "non_finite": np.array(0),
        }
        arrays = {
            "diagnostics/hessian_spectral_density/all": {100: histogram},
            "diagnostics/gradient_covariance/all": {100: {"matrix": np.eye(2)}},
        }
        write_run(tmp_path / f"{arm}-seed0", 0, arrays=arrays)
    runs = read_runs(tmp_path)
    assert figures.FIGURES[2].lacks(runs) == []
    (steps,) = drawn(2, runs).child_axes[0].patches
    assert steps.get_data().values.tolist() == [0.25, 0.375]  # 1/4 over a width of 1, 3/4 over 2


def test_data_in_the_arms_chooses_the_runs(tmp_path):
    for data, final in (("cifar10", 0.3), ("mnist", 0.9)):
        write_run(tmp_path / f"{data}-mlp-none-seed0", 0, {"probe/final_loss": [(0, 0.1), (9, final)]})
    runs = read_runs(tmp_path)
    assert texts(drawn(6, runs))[0, 6] == "0.20\n(0.27 ± 0.21)"
    assert texts(drawn(9, runs))[0, 6] == "0.80\n(0.34 ± 0.24)"


def test_figure_7_has_bars_dots_and_matrices(runs_of):
    ax = drawn(7, runs_of(7))
    top = ax.child_axes[0]
    heights = dict(zip((tick.get_text() for tick in top.get_xticklabels()), top.patches, strict=True))
    # Boxing: (70 - 40) / (max(12.1, 40) - 0.1); random 0.1 and human 12.1 by Wang et al. 2016.
    assert heights["Boxing"].get_height() == pytest.approx(100 * 30 / 39.9)
    assert heights["Kangaroo"].get_height() < 0 and heights["Qbert"].get_height() == 0
    assert top.lines[0].get_ydata()[list(heights).index("Freeway")] == 40.7  # the paper's
    below = ax.child_axes[1].child_axes
    assert [panel.get_title() for panel in below] == [
        f"{game}, {arm}" for game in ("Freeway", "Kangaroo") for arm in ("None", "Layer norm")
    ]
    assert [len(panel.child_axes) for panel in below] == [0, 0, 0, 1]  # the bar of colors
    gains = figures.improvements(runs_of(7)).set_index("game")["improvement"]
    assert np.isnan(gains["Qbert"]) and gains["Pong"] == pytest.approx(25 / (14.6 + 20.7))
    alone = runs_of(7).where(lambda run: run.arm.startswith("Pong"))
    assert drawn(7, alone).child_axes == []  # no C_k of the games asked for


def test_figure_12_is_a_grid_of_environments_and_interventions(runs_of):
    ax = drawn(12, runs_of(12))
    assert titles(ax) == [
        f"{environment} MDP, {arm}"
        for environment in ("Easy", "Hard")
        for arm in ("None", "Two-Hot", "Layer norm")
    ]
    assert len(ax.child_axes[0].lines) == 3
    losses = drawn(15, runs_of(15)).child_axes[0].lines[0].get_ydata()
    np.testing.assert_allclose(losses, (1 - ax.child_axes[0].lines[0].get_ydata()) / 2)


def test_no_td_loss_is_cut_off(tmp_path):
    for arm, largest in (("none", 0.4), ("two_hot", 1.3)):
        series = [(100, 0.1), (200, largest), (300, float("nan"))]
        write_run(tmp_path / f"easy-mnist-mlp-{arm}-seed0", 0, {"evaluation/td_loss": series})
    runs = read_runs(tmp_path)
    tops = [panel.get_ylim()[1] for panel in drawn(15, runs).child_axes]
    assert tops == pytest.approx([1.05 * 1.3] * 2)
    alone = runs.where(lambda run: run.arm.endswith("none"))
    assert drawn(15, alone).child_axes[0].get_ylim() == (0, 1)  # the paper's


def test_figure_14_has_a_panel_for_each_environment(runs_of):
    ax = drawn(14, runs_of(14))
    assert titles(ax) == ["random_label", "true_label"]
    tops = {line.get_label(): line.get_ydata()[-1] for line in ax.child_axes[1].lines}
    assert tops == {"Layer norm (n = 3)": 66.0, "None (n = 3)": 471.0}


def test_figure_17_names_the_seed_that_is_missing(runs_of):
    ax = drawn(17, runs_of(17))
    assert titles(ax)[-2:] == ["Layer norm, seed 2: missing", "None, seed 2"] and len(titles(ax)) == 6
    assert len(ax.child_axes[-2].lines) == 0 and len(ax.child_axes[-1].lines) == 5


def test_the_first_steps_of_a_probe_do_not_set_the_axis_of_figure_17(tmp_path):
    curves = np.full([2, 100], 0.25)  # [targets, steps]
    curves[:, :5], curves[:, 50], curves[:, 60:62] = 110.0, 0.5, [np.inf, np.nan]
    for arm, seed in (("easy-none", 0), ("easy-none", 1), ("hard-none", 0)):
        arrays = {"probe/curves": {0: {"curves": curves}}}
        write_run(tmp_path / f"{arm}-seed{seed}", seed, {"a": [(0, 1.0)]}, arrays)
    ax = drawn(17, read_runs(tmp_path), factors=("environment", "intervention"))
    assert titles(ax) == ["Easy MDP, None, seed 0", "Easy MDP, None, seed 1", "Hard MDP, None, seed 0"]
    assert [panel.get_ylim() for panel in ax.child_axes] == [(0, pytest.approx(1.05 * 0.5))] * 3


def test_the_legend_of_figure_17_is_where_the_curves_of_the_first_row_leave_room(tmp_path):
    ends = {("none", 0): 0.4, ("layer_norm", 0): 0.1, ("two_hot", 0): 0.3, ("none", 1): 0.01}
    for (arm, seed), end in ends.items():
        arrays = {"probe/curves": {0: {"curves": np.linspace(0.5, [end, end], 100, axis=1)}}}
        write_run(tmp_path / f"easy-{arm}-seed{seed}", seed, {"a": [(0, 1.0)]}, arrays)
    ax = drawn(17, read_runs(tmp_path), factors=("environment", "intervention"))
    panels = [panel for panel in ax.child_axes if panel.get_legend() is not None]
    assert [panel.get_title() for panel in panels] == ["Easy MDP, Layer norm, seed 0"]


def test_figures_19_and_20_choose_agents_by_their_gain(runs_of):
    failing, improving = (titles(drawn(number, runs_of(19), num_runs=1)) for number in (19, 20))
    assert failing[0] == "Pong-none-seed0"
    assert improving[0].endswith("-layer_norm-seed0")
    assert failing[1:] == [f"C_k, step {step:,}" for step in (0, 2_000, 3_000, 5_000)]


def test_figures_21_and_22_share_the_games(runs_of):
    first, second = (titles(drawn(number, runs_of(21))) for number in (21, 22))
    assert [each for each in first + second if each] == ["Boxing", "Freeway", "Kangaroo", "Pong", "Qbert"]
    left, right, below = drawn(21, runs_of(21)).child_axes[:3]  # a grid of 2 x 2
    assert [line.get_label() for line in left.lines] == ["Layer norm", "None"]
    assert (left.get_ylabel(), right.get_ylabel(), below.get_ylabel()) == ("density", "", "density")
    assert (left.get_xlabel(), below.get_xlabel()) == ("", "eigenvalue")


def test_captions_say_seeds_intervals_and_what_is_missing(runs_of):
    text = figures.caption(runs_of(1), "bin/report --runs=here")
    assert text == (
        "6 runs of 2 arms, 3 seeds each. Lines with bands: medians over seeds; bands: range of the runs."
        " Not finished or with errors: 1; missing: 0."
        " Drawn by: bin/report --runs=here"
    )
    assert "2 to 3 seeds each" in figures.caption(runs_of(17)) and "missing: 1" in figures.caption(
        runs_of(17)
    )
    assert figures.caption(Runs([])).startswith("0 runs of 0 arms, 0 seeds each.")
    assert figures.caption(Runs(list(runs_of(1))[:1])).startswith("1 run of 1 arm, 1 seed each.")


def _lanczos(largest, size=269_322, probes=10, seed=0):
    """Nodes and weights of a bulk between -1 and 1 and of one eigenvalue far out."""
    nodes = np.random.default_rng(seed).uniform(-1, 1, (probes, 30))
    nodes[:, -1] = largest
    weights = np.full((probes, 30), (1 - 1 / size) / 29)
    weights[:, -1] = 1 / size
    return {"nodes": nodes, "weights": weights, "size": np.int64(size)}


def test_spectra_are_smoothed_by_one_kernel_on_one_axis(tmp_path):
    arrays = {}
    for prefix, largest in zip(PREFIXES, (30.0, 4.0), strict=True):
        arrays[f"{prefix}/hessian_spectral_density/all"] = {
            0: _lanczos(4.0),
            25_000: _lanczos(largest, seed=1),
        }
        arrays[f"{prefix}/gradient_covariance/all"] = {
            step: {"matrix": np.eye(3)} for step in (1_000, 20_000)
        }
    write_run(tmp_path / "gradient_descent-seed0", 0, arrays=arrays)
    ax = drawn(2, read_runs(tmp_path))
    descent, motion, *matrices = ax.child_axes
    lines = [*descent.lines, *motion.lines]
    assert len(lines) == 4
    for line in lines:
        grid, heights = line.get_data()
        np.testing.assert_array_equal(grid, lines[0].get_xdata())
        assert np.sum(heights) * (grid[1] - grid[0]) == pytest.approx(1, abs=1e-6)
    # With equal nodes and weights at the start both are one curve, whatever else is in their panels; and the
    # bulk is as high late as early: with bins as wide as each step's range it seemed to fall.
    np.testing.assert_array_equal(descent.lines[0].get_ydata(), motion.lines[0].get_ydata())
    early, late = (line.get_ydata().max() for line in descent.lines)
    assert late == pytest.approx(early, rel=0.1)
    # Far out there is a single eigenvalue's bump, above the bottom of the axis.
    grid, heights = descent.lines[1].get_data()
    width = (30 + 1) / 150
    at_30 = heights[np.abs(grid - 30).argmin()]
    assert at_30 == pytest.approx(1 / (269_322 * width * np.sqrt(2 * np.pi)), rel=0.05)
    assert 0 < descent.get_ylim()[0] < at_30 / 5
    assert late < descent.get_ylim()[1] < 10 * late
    # Matrices have axes, and the last column the bar of colors.
    assert [text.get_text() for text in matrices[0].get_xticklabels()] == ["1", "3"]
    bars = [panel.child_axes for panel in matrices]
    assert [len(each) for each in bars] == [0, 1, 0, 1]
    assert bars[1][0].get_ylabel() == "cosine of gradients"
    assert matrices[0].get_ylabel() == "example" and matrices[2].get_xlabel() == "example"


def test_old_and_new_files_are_drawn_in_one_figure(tmp_path):
    histogram = {"counts": np.array([1, 3]), "edges": np.array([0.0, 1.0, 3.0]), "non_finite": np.array(0)}
    matrix = {"diagnostics/gradient_covariance/all": {100: {"matrix": np.eye(2)}}}
    spectra = {"old": {100: histogram}, "new": {100: _lanczos(5.0)}}
    for arm, files in spectra.items():
        write_run(
            tmp_path / f"{arm}-seed0", 0, arrays={"diagnostics/hessian_spectral_density/all": files, **matrix}
        )
    new, old = drawn(2, read_runs(tmp_path)).child_axes[:2]
    assert len(new.lines) == 1 and old.patches[0].get_data().values.tolist() == [0.25, 0.375]
