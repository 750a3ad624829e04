import functools
import re
import shutil

import numpy as np
import pytest

from tests.reports.reproduction import made_up_grid
from tests.reports.run_directories import write_run
from tfplastic.command_line import paper_report
from tfplastic.configuration import gin_files
from tfplastic.reports import reproduction, style
from tfplastic.reports.figures import FIGURES
from tfplastic.reports.reproduction import abstract, texts, writing
from tfplastic.reports.reproduction.committed import Committed
from tfplastic.reports.reproduction.table import results

DOCS = gin_files.root() / "docs/paper"
LINK = re.compile(r"\]\((\w+/[^)]+-seed\d+)\)")


@pytest.fixture(scope="module")
def plan():
    """The runs that the committed queue and gin files ask for."""
    return paper_report.planned(DOCS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, plan):
    """A folder in which the paper's statements hold."""
    root = tmp_path_factory.mktemp("paper")
    made_up_grid.write(root, plan[0])
    return root


@pytest.fixture(scope="module")
def found(folder, plan):
    return results(Committed(folder, plan[0]))


def front(page):
    """{figure: its row} of the table that the page begins with."""
    lines = page.text.splitlines()
    assert lines[0].startswith("# ") and lines[2].startswith("| figure | subject |")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[4:26]]
    return {int(row[0].strip("[").partition("]")[0]): row for row in rows}


def test_without_runs_each_of_the_22_figures_says_how_many_there_should_be(tmp_path, plan):
    page = reproduction.build(Committed(tmp_path, plan[0]), {}, plan[1])
    rows = front(page)
    assert list(rows) == list(range(1, 23)) and not page.drawings
    assert all(re.fullmatch(r"not run \(0 of \d+\)", row[2]) and not row[3] for row in rows.values())
    of = {number: int(row[2].split()[-1].rstrip(")")) for number, row in rows.items()}
    # Of arms without '+': 7 of MLP and CNN x 3 seeds, 3 of them x 3 more, ViT 5 x 3, ResNet 3 x 3.
    assert of[6] == 84
    assert of[3] == 72 and of[5] == 108 and of[14] == 12 and of[17] == of[18] == 24 and of[4] == of[2] == 3
    assert of[7] == of[19] == of[22] == 3 * 4 * 3  # in MinAtar


def test_where_the_papers_statements_hold_each_figure_agrees(found):
    for number, result in found.items():
        judged = {claim.name: claim.agrees for claim in result.claims}
        if number == 2:  # runs do not measure it of the twin
            assert judged.pop("interference_grows") is None
        assert all(judged.values()), (number, judged)
        is_complete = result.selection.there == result.selection.of
        assert result.verdict == ("agree" if is_complete else f"agree ({result.selection.progress})"), number


def test_what_the_runs_contradict_does_not_agree(tmp_path, plan):
    def reverse(arm, seed):
        return made_up_grid.fig06(arm, seed, reverse=True)

    def as_wide(arm, seed):
        return made_up_grid.probe(0.05, 0.05 + 0.01 * int(arm.rpartition("-x")[2])), {}

    made_up_grid.write(
        tmp_path,
        {**{name: {} for name in made_up_grid.MAKE}, "fig06": plan[0]["fig06"], "fig05": plan[0]["fig05"]},
        fig06=reverse,
        fig05=as_wide,
    )
    contrary = results(Committed(tmp_path, plan[0]))
    assert contrary[8].verdict.startswith("not (") and contrary[9].verdict.startswith("not (")
    assert {claim.name: claim.agrees for claim in contrary[5].claims} == {
        "wider_loses_less": False,
        "never_zero": True,
    }
    assert contrary[5].verdict == "partly (36 of 108)"


def claims_of(found, number):
    return {claim.name: claim.agrees for claim in found[number].claims}


def of_folders(folder, plan, **makers):
    """Results of made-up runs of some folders alone."""
    none: dict = {name: {} for name in made_up_grid.MAKE}
    made_up_grid.write(folder, {**none, **{name: plan[0][name] for name in makers}}, **makers)
    return results(Committed(folder, plan[0]))


def test_statistics_whose_signs_are_unknown_leave_the_figure_undecided(tmp_path, plan):
    def noise(arm, seed, related=()):
        draws = np.random.default_rng([seed, *map(ord, arm)]).normal(size=5)
        scalars = made_up_grid.probe(0.05, 0.3 + 0.01 * draws[0])
        tags = ("weight_norm/all", "weight_srank_sum/all", "dead_units/hidden1", "feature_srank_sum/all")
        for place, tag in enumerate(tags):
            value = draws[0] if tag in related else draws[place + 1]
            scalars[f"diagnostics/{tag}"] = [(made_up_grid.STEPS, 9 + value)]
        return scalars, {}

    found = of_folders(tmp_path / "noise", plan, fig03=noise)
    assert claims_of(found, 3) == dict.fromkeys(
        ("no_cause", "weight_norm", "weight_rank", "dead_units", "feature_rank")
    )
    assert found[3].verdict == "undecided"
    page = reproduction.build(Committed(tmp_path / "noise", plan[0]), {}, plan[1])
    assert front(page)[3][2:] == ["undecided", found[3].numbers] and "1 undecided, 21 not run." in page.text
    assert [drawing.name for drawing in page.drawings] == ["fig03"]
    cause = of_folders(
        tmp_path / "cause", plan, fig03=functools.partial(noise, related=("dead_units/hidden1",))
    )
    assert claims_of(cause, 3)["no_cause"] is False and cause[3].verdict == "not"
    assert "1 have one known sign in all groups: dead units, 0 change it" in cause[3].claims[0].ours


def test_figure_3_shows_the_correlations_within_one_data_set_and_architecture(tmp_path, plan):
    def opposed(arm, seed):
        """Dead units go with the loss in CNNs and against it in MLPs, which have more and lose more."""
        environment, _, architecture = arm.split("-")
        draw = np.random.default_rng([seed, *map(ord, environment)]).normal()
        is_mlp = architecture == "mlp"
        dead_units = 9 + 90 * is_mlp + (-draw if is_mlp else draw)
        scalars = made_up_grid.probe(0.05, 0.3 + 0.01 * draw + 0.3 * is_mlp)
        values = {"weight_norm/all": 1.0, "weight_srank_sum/all": 1.0, "feature_srank_sum/all": 1.0}
        for tag, value in (values | {"dead_units/hidden1": dead_units}).items():
            scalars[f"diagnostics/{tag}"] = [(made_up_grid.STEPS, value)]
        return scalars, {}

    caption, _, *table = of_folders(tmp_path, plan, fig03=opposed)[3].tables[0].splitlines()
    assert "of all MDPs together (n = 18);" in caption
    header = [cell.strip() for cell in table[0].strip("|").split("|")]
    (row,) = (line for line in table if "dead units" in line)
    cells = dict(zip(header, (cell.strip() for cell in row.strip("|").split("|")), strict=True))
    assert cells.pop("rho within") == "dead units" and cells.pop("verdict") == "reversed"
    assert cells == {
        "CIFAR-10, CNN": "1.00 [1.00, 1.00]",
        "CIFAR-10, MLP": "-1.00 [-1.00, -1.00]",
        "MNIST, CNN": "1.00 [1.00, 1.00]",
        "MNIST, MLP": "-1.00 [-1.00, -1.00]",
    }


def learned(folder, **accuracies):
    """Runs on CIFAR-10 with an MLP: {ENVIRONMENT_INTERVENTION: accuracy at the end}."""
    for name, accuracy in accuracies.items():
        environment, _, arm = name.partition("_")
        place = {"easy": "fig06/cifar10-mlp", "hard": "fig12/hard-cifar10-mlp"}[environment]
        scalars = {"evaluation/accuracy": [(made_up_grid.STEPS, accuracy)]}
        write_run(folder / f"{place}-{arm}-seed0", 0, scalars | made_up_grid.probe(0.1, 0.2))
    return folder


@pytest.mark.parametrize(("two_hot", "is_best"), [(0.8, False), (0.6, True)])
def test_layer_norm_learns_best_only_where_no_other_arm_learns_more(tmp_path, plan, two_hot, is_best):
    learned(tmp_path, easy_none=0.5, easy_layer_norm=0.7, easy_two_hot=two_hot)
    found = results(Committed(tmp_path, plan[0]))
    assert claims_of(found, 12)["layer_norm_learns"] is is_best
    ours = f"the highest of all arms in {int(is_best)} of 1 cells; mean 0.70, None 0.50"
    assert found[12].claims[-1].ours == ours


@pytest.mark.parametrize(("hard", "is_far"), [(0.48, True), (0.52, False)])
def test_far_more_slowly_is_less_than_half_of_the_gain_above_chance(tmp_path, plan, hard, is_far):
    found = results(Committed(learned(tmp_path, easy_none=0.9, hard_none=hard), plan[0]))
    assert claims_of(found, 12)["hard_is_slower"] is is_far


def test_figure_17_is_about_spreads_of_seeds_and_of_variants(tmp_path, plan):
    def alike(arm, seed):
        return made_up_grid.probe(0.01, 0.05 + 0.001 * seed), {}

    found = of_folders(tmp_path / "alike", plan, fig17=alike)
    assert claims_of(found, 17) == {
        "seeds_differ": False,
        "variants_differ": False,
        "variants_lose_less": False,
    }

    def one_wide(arm, seed):
        return made_up_grid.probe(0.01, 0.2 + (0.3 * seed if arm == "easy-none" else 0.0)), {}

    found = of_folders(tmp_path / "outlier", plan, fig17=one_wide)
    claim = found[17].claims[0]
    assert not claim.agrees and "above 0.1 in 1 of 8 cases, 0.30 at most" in claim.ours
    write_run(tmp_path / "one/fig17/easy-none-seed0", 0, made_up_grid.probe(0.01, 0.2))
    one = results(Committed(tmp_path / "one", plan[0]))[17]
    assert one.verdict == "not run (1 of 24)" and {claim.agrees for claim in one.claims} == {None}


def test_figure_17_has_no_row_of_seeds_without_a_run(tmp_path, plan):
    for arm, seed in (("easy-none", 0), ("easy-none", 1), ("hard-none", 0)):  # rows for two MDPs and seeds
        scalars, arrays = made_up_grid.fig17(arm, seed)
        write_run(tmp_path / f"fig17/{arm}-seed{seed}", seed, scalars, arrays)
    (drawing,) = results(Committed(tmp_path, plan[0]))[17].drawings
    with style.styled():
        _, ax = style.new_figure(*drawing.size)
        assert len(drawing.draw(ax).child_axes) == 3 and drawing.size[1] == pytest.approx(3 * 2.3 + 0.5)


def test_tasks_of_figure_1_are_those_that_a_run_has(tmp_path, plan):
    long, _ = made_up_grid.fig01("tuned_adam", 0)
    short = {tag: series[:6] for tag, series in long.items()}
    short["diagnostics/dead_units/hidden1_relu"] = short["diagnostics/dead_units/hidden1_relu"][1:]
    for arm in ("default_adam", "tuned_adam"):
        write_run(tmp_path / f"fig01/{arm}-seed0", 0, long)
        write_run(tmp_path / f"fig01_paper_network/{arm}-seed0", 0, short)
    (table,) = results(Committed(tmp_path, plan[0]))[1].tables
    rows = [line for line in table.splitlines() if "tuned" in line]
    assert "| 1, 5, 10, 20 | 0.70, 0.70, 0.70, 0.70 | 0.05, 0.05, 0.05, 0.05 |" in rows[0]
    assert "| 1, 5, 6 | 0.70, 0.70, 0.70 | –, 0.05, 0.05 |" in rows[1]


def test_figure_2_has_c_k_of_the_task_where_it_was_measured(tmp_path, plan):
    scalars, arrays = made_up_grid.fig02("gradient_descent", 0)
    matrix = {"matrix": np.full((6, 6), 0.5, np.float16)}
    arrays["diagnostics/task_gradient_covariance/all"] = dict.fromkeys((1_000, 20_000), matrix)
    write_run(tmp_path / "fig02_both_losses/gradient_descent-seed0", 0, scalars, arrays)
    drawings = results(Committed(tmp_path, plan[0]))[2].drawings
    assert [drawing.name for drawing in drawings] == ["fig02", "fig02_task", "fig02_scalars"]
    with style.styled():
        _, ax = style.new_figure(*drawings[1].size)
        drawings[1].draw(ax)
    for of_network, of_twin in (ax.child_axes[2:4], ax.child_axes[4:]):  # of the twin it is not measured
        assert (of_network.images[0].get_array() == 0.5).all() and len(of_network.child_axes) == 1
        assert not of_twin.images and not of_twin.axison


def test_sharpness_that_falls_first_still_grows(tmp_path, plan):
    """With layer norm it starts at 40, falls to 4 and grows five times, as much as without."""
    for arm, values in (("easy-none", (4, 5, 20)), ("easy-layer_norm", (40, 4, 20))):
        series = list(zip((0, 600, made_up_grid.STEPS), values, strict=True))
        write_run(tmp_path / f"fig14/{arm}-seed0", 0, {"diagnostics/sharpness/all": series})
    found = results(Committed(tmp_path, plan[0]))
    assert claims_of(found, 14) == {"easy_stays": False}
    assert (
        found[14].claims[0].ours == "from its lowest value on it grows 5.0 times with it, 5.0 times without"
    )
    assert "| Easy MDP | Layer norm | 40.0 | 4.0 | 20.0 |" in found[14].tables[0]


@pytest.mark.parametrize(
    ("end", "twin", "agrees"),
    [(0.3, None, None), (0.05, None, False), (0.3, 0.1, True), (0.3, 0.4, False)],
)
def test_interference_under_gradient_descent_alone_needs_that_of_the_twin(tmp_path, plan, end, twin, agrees):
    scalars, arrays = made_up_grid.fig02("gradient_descent", 0)
    scalars["diagnostics/task_gradient_interference/all"] = [(0, 0.1), (25_000, end)]
    if twin:
        scalars["brownian_twin/task_gradient_interference/all"] = [(0, 0.1), (25_000, twin)]
    write_run(tmp_path / "fig02_both_losses/gradient_descent-seed0", 0, scalars, arrays)
    found = results(Committed(tmp_path, plan[0]))
    assert claims_of(found, 2)["interference_grows"] is agrees
    assert ("not measured for the twin" in found[2].claims[-1].ours) is (twin is None)


def test_runs_without_a_duration_leave_a_page(tmp_path, plan):
    write_run(tmp_path / "fig14/easy-none-seed0", 0, made_up_grid.fig14("easy-none", 0)[0], wall_time_s=None)
    assert "\n1 runs, on " in reproduction.build(Committed(tmp_path, plan[0]), {}, plan[1]).text


def test_every_figure_can_be_drawn_from_the_arms_of_its_experiment(found):
    assert [number for number, result in found.items() if not result.drawings] == []
    with style.styled():
        for number, panels in ((5, 4), (14, 2), (17, 2 * 2 * 4)):
            (drawing,) = found[number].drawings
            figure, ax = style.new_figure(*drawing.size)
            assert len(drawing.draw(ax).child_axes) == panels
            figure.draw_without_rendering()


@pytest.mark.slow
def test_every_figure_is_saved_small_enough_to_be_committed(found, tmp_path):
    for result in found.values():
        for drawing in result.drawings:
            assert writing.draw(drawing, tmp_path).stat().st_size < 1_500_000


def test_only_finished_runs_that_should_be_there_are_counted(tmp_path, plan):
    scalars, _ = made_up_grid.fig14("easy-none", 0)
    write_run(tmp_path / "fig14/easy-none-seed0", 0, scalars)
    write_run(tmp_path / "fig14/easy-none-seed1", 1, scalars, state="failed", error="The loss is not finite")
    write_run(tmp_path / "fig14/easy-none-seed9", 9, scalars)  # more than there should be
    selection = Committed(tmp_path, plan[0]).select(14)
    assert selection.progress == "1 of 12" and [run.seed for run in selection.runs] == [0, 9]
    listed = Committed(tmp_path, plan[0], listed={"fig14/easy-none-seed9"}).select(14)
    assert listed.progress == "0 of 12" and len(listed.runs) == 1


def test_damaged_runs_are_named_and_the_others_are_shown(tmp_path, plan):
    scalars, _ = made_up_grid.fig14("easy-none", 0)
    for seed in (0, 1, 9):  # the last one is more than there should be
        write_run(tmp_path / f"fig14/easy-none-seed{seed}", seed, scalars)
        if seed:
            (tmp_path / f"fig14/easy-none-seed{seed}/metrics.csv").write_text("no table")
    text = reproduction.build(Committed(tmp_path, plan[0]), {}, plan[1]).text
    (line,) = [each for each in text.splitlines() if each.startswith("Left out as damaged: ")]
    assert line.startswith("Left out as damaged: fig14/easy-none-seed1: metrics.csv cannot be read: ")
    assert "easy-none-seed9" not in text and Committed(tmp_path, plan[0]).select(14).progress == "1 of 12"


def test_earlier_runs_count_while_there_are_no_others(tmp_path, plan):
    scalars, _ = made_up_grid.fig04_iterations("none", 0)
    write_run(tmp_path / "fig04/none-seed0", 0, scalars)
    page = reproduction.build(Committed(tmp_path, plan[0]), {"Fig. 4": {"earlier": "Before."}}, plan[1])
    assert front(page)[4][2] == "agree (earlier runs; 0 of 3)" and "Before." in page.text
    write_run(tmp_path / "fig04_iterations/none-seed0", 0, scalars)
    page = reproduction.build(Committed(tmp_path, plan[0]), {"Fig. 4": {"earlier": "Before."}}, plan[1])
    assert front(page)[4][2] == "agree (1 of 3)" and "Before." not in page.text


def test_saturated_cells_are_marked(tmp_path, plan):
    for arm, fresh in (("cifar10-mlp-none", 0.34), ("cifar10-mlp-two_hot", 0.36)):  # b is 0.5
        write_run(tmp_path / "fig06" / f"{arm}-seed0", 0, made_up_grid.probe(fresh, 0.4))
    text = reproduction.build(Committed(tmp_path, plan[0]), {}, plan[1]).text
    assert "| 0.360 saturated |" in text and "| 0.340 |" in text
    assert "can hardly show a loss: CIFAR-10-MLP-Two-Hot." in text


def test_explanations_are_of_claims(found):
    words = texts.read(DOCS / writing.TEXTS)
    kinds = {texts.PAPER, texts.NOTES, texts.EARLIER, ""}
    for number in range(1, 23):
        of_figure = words[texts.figure(number)]
        assert of_figure[texts.PAPER]
        names = {f"{texts.UNLESS}{claim.name}" for claim in found[number].claims}
        assert set(of_figure) <= kinds | names, number
    assert set(words) == {"introduction", texts.ABSTRACT, *map(texts.figure, range(1, 23))}
    claims = abstract.claims(Committed(DOCS, {}), found)
    assert set(words[texts.ABSTRACT]) <= {"", *(f"{texts.UNLESS}{claim.name}" for claim in claims)}


@pytest.mark.parametrize(("dead_units", "shown"), [(0.02, False), (0.8, True)])
def test_an_explanation_is_shown_where_a_claim_of_the_abstract_fails(tmp_path, plan, dead_units, shown):
    scalars, arrays = made_up_grid.fig02("gradient_descent", 0)
    write_run(tmp_path / "fig02_both_losses/gradient_descent-seed0", 0, scalars, arrays)
    for seed in range(6):
        dead = {"diagnostics/dead_units/hidden1": [(made_up_grid.STEPS, dead_units)]}
        write_run(tmp_path / f"fig06/cifar10-mlp-none-seed{seed}", seed, made_up_grid.probe(0.1, 0.4) | dead)
    words = {texts.ABSTRACT: {"unless curvature": "Because of ReLU."}}
    text = reproduction.build(Committed(tmp_path, plan[0]), words, {}).text
    assert ("Because of ReLU." in text) is shown
    assert ("6 of 6 agents without interventions" in text) is not shown


@pytest.mark.parametrize(("growth", "shown"), [(1.1, False), (9.0, True)])
def test_an_explanation_is_shown_where_a_claim_fails(tmp_path, plan, growth, shown):
    for arm, factor in (("easy-none", 4.0), ("easy-layer_norm", growth)):
        scalars = {"diagnostics/sharpness/all": [(0, 20.0), (made_up_grid.STEPS, 20 * factor)]}
        write_run(tmp_path / f"fig14/{arm}-seed0", 0, scalars)
    words = {"Fig. 14": {"unless easy_stays": "Because of values."}}
    assert ("Because of values." in reproduction.build(Committed(tmp_path, plan[0]), words, {}).text) is shown


def test_a_run_that_diverged_leaves_a_page_that_says_so(tmp_path, plan):
    nan = float("nan")
    for place, arms in {
        "fig03": ("easy-mnist-mlp", "hard-mnist-mlp"),
        "fig04_iterations": ("none",),
        "fig05": ("mlp-mnist-1-x1", "mlp-mnist-1-x4"),
        "fig06": [f"cifar10-cnn-{arm}" for arm in ("none", "two_hot", "weight_decay", "layer_norm")],
        "fig14": ("easy-none", "easy-layer_norm"),
        "fig17": ("easy-none", "easy-two_hot"),
    }.items():
        for arm in arms:
            scalars, arrays = made_up_grid.MAKE[place](arm, 0)
            worst = {tag: [(step, nan) for step, _ in series] for tag, series in scalars.items()}
            write_run(tmp_path / place / f"{arm}-seed0", 0, worst, arrays)
    rows = front(reproduction.build(Committed(tmp_path, plan[0]), {}, plan[1]))
    for number in (3, 4, 5, 6, 8, 10, 14, 17):
        assert not rows[number][2].startswith("agree"), number


def test_runs_that_test_an_explanation_are_in_no_verdict(tmp_path, plan):
    before = reproduction.build(Committed(tmp_path, plan[0]), {}, plan[1])
    write_run(tmp_path / "fig06/cifar10-mlp-none-seed0", 0, made_up_grid.fig06("cifar10-mlp-none", 0)[0])
    write_run(tmp_path / "fig06_coefficients/cifar10-mlp-0.5+0.5-seed0", 0, made_up_grid.probe(0.1, 0.4))
    page = reproduction.build(Committed(tmp_path, plan[0]), {}, plan[1])
    assert (
        "| CIFAR-10 | MLP | 0.5+0.5 | 0.100 | 0.400 | 0.300 |" in page.text
        and "test (1 of 12 runs):" in page.text
    )
    assert front(page)[8][2] == "not run (1 of 123)" and front(before)[8][2] == "not run (0 of 123)"


@pytest.mark.parametrize(
    ("folder", "arm", "losses", "title", "rows"),
    [
        (
            "fig06_bfloat16",
            "cifar10-cnn-none",
            (0.2, 0.4),
            "One cell computed in bfloat16",
            [
                "| float32 | CIFAR-10 | CNN | None | 0.100 | 0.400 | 0.300 |",
                "| bfloat16 | CIFAR-10 | CNN | None | 0.200 | 0.400 | 0.200 |",
            ],
        ),
        (
            "fig06_pixel_range",
            "cifar10-mlp-none",
            (0.45, 0.5),
            "One cell with pixels in [0, 1] instead of [-1, 1]",
            [
                "| centered | CIFAR-10 | MLP | None | 0.100 | 0.400 | 0.300 |",
                "| uncentered | CIFAR-10 | MLP | None | 0.450 saturated | 0.500 | 0.050 |",
            ],
        ),
    ],
)
def test_a_repeated_cell_is_shown_next_to_that_of_figure_6(folder, arm, losses, title, rows, tmp_path, plan):
    write_run(tmp_path / f"fig06/{arm}-seed0", 0, made_up_grid.probe(0.1, 0.4))
    write_run(tmp_path / f"{folder}/{arm}-seed1", 1, made_up_grid.probe(*losses))
    page = reproduction.build(Committed(tmp_path, plan[0]), {}, plan[1])
    assert f"{title}, as a test (2 of 9 runs):" in page.text
    assert all(row in page.text for row in rows)
    assert front(page)[6][2] == "not run (1 of 84)"


def test_cells_are_named_that_are_farthest_from_the_papers_order(tmp_path, plan):
    for arm in ("none", "two_hot", "weight_decay", "spectral_norm", "layer_norm", "reset_last_layer"):
        made, _ = made_up_grid.fig06(f"cifar10-cnn-{arm}", 0)
        if arm == "spectral_norm":  # the largest of the paper's six
            made = made_up_grid.probe(0.13, 0.1)
        write_run(tmp_path / f"fig06/cifar10-cnn-{arm}-seed0", 0, made)
    text = reproduction.build(Committed(tmp_path, plan[0]), {}, plan[1]).text
    assert "(ranks out of 6 here and in the paper, largest first): CNN-Spectral norm (6, 1), CNN-" in text


def test_commands_are_of_each_experiment(plan, tmp_path):
    text = reproduction.build(Committed(tmp_path, plan[0]), {}, plan[1]).text
    assert (
        "make paper-small FIG=01\nbin/sweep --experiment=gin/paper/small/fig01_paper_network.gin"
        " --run_root=runs/paper/fig01_paper_network\n" in text
    )
    assert (
        "make paper-small FIG=06\nmake paper-small FIG=12\n" not in text
    )  # each has its other experiments between
    assert text.count("minatar_fig07.gin --run_root=runs/paper/minatar_fig07\n") == 5  # Figs. 7 and 19 to 22


def test_the_committed_page_is_made_from_the_runs_that_it_lists(plan):
    committed = (DOCS / writing.PAGE).read_text(encoding="utf-8")
    listed = set(LINK.findall(committed))
    assert len(listed) >= 27 and all((DOCS / name / "metrics.csv").exists() for name in listed)
    page = reproduction.build(Committed(DOCS, plan[0], listed), texts.read(DOCS / writing.TEXTS), plan[1])
    assert page.text == committed, "make paper-report makes another page: run it and commit what it writes"
    figures = {path.stem for path in (DOCS / reproduction.FIGURE_FOLDER).glob("*.png")}
    assert figures == {drawing.name for drawing in page.drawings}


def test_a_page_is_written_twice_the_same_and_old_figures_go(tmp_path, plan):
    shutil.copy(DOCS / writing.TEXTS, tmp_path)
    for arm in ("easy-none", "easy-layer_norm"):
        write_run(tmp_path / f"fig14/{arm}-seed0", 0, made_up_grid.fig14(arm, 0)[0])
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures/fig99.png").write_bytes(b"")
    committed = Committed(tmp_path, plan[0])
    reproduction.write(committed, plan[1])
    first = {
        path.name: path.read_bytes() for path in (tmp_path / "README.md", tmp_path / "figures/fig14.png")
    }
    reproduction.write(Committed(tmp_path, plan[0]), plan[1])
    assert first == {
        path.name: path.read_bytes() for path in (tmp_path / "README.md", tmp_path / "figures/fig14.png")
    }
    assert not (tmp_path / "figures/fig99.png").exists()


def test_titles_of_all_figures(plan, tmp_path):
    text = reproduction.build(Committed(tmp_path, plan[0]), {}, plan[1]).text
    assert all(f"## Fig. {number}\n\n**{figure.title}**" in text for number, figure in FIGURES.items())
