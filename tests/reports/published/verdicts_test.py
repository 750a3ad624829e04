"""Verdicts of the published numbers on made-up metrics, on both sides of each rule."""

import numpy as np
import pytest

from tests.reports.run_directories import write_run
from tfplastic.reports import published, read_runs
from tfplastic.reports.published import kumar, measures

ROWS = {row.name: row for row in published.ROWS}
AVERAGE, ONLINE = measures.AVERAGE, measures.ONLINE


def flat(value, length=20):
    return np.full(length, value)


def falling(high, low, length=20):
    """Rises within the first tenth, stays, and falls in the second half."""
    return np.concatenate(
        [[high - 0.1], flat(high, length // 2 - 1), np.linspace(high, low, length - length // 2)]
    )


def arm(curve, **last):
    """Scalars of a run from the online accuracies of its tasks."""
    series = {ONLINE: list(enumerate(curve)), AVERAGE: [(len(curve), last.pop("average", np.mean(curve)))]}
    return series | {f"evaluation/{tag}": [(len(curve), value)] for tag, value in last.items()}


def judge(name, folder, arms, seeds=(0, 1)):
    """Claims of a row by their text, and its verdict, of runs that are the same for each seed."""
    for each, scalars in arms.items():
        for seed in seeds:
            write_run(folder / f"{each}-seed{seed}", seed, scalars)
    planned = dict.fromkeys(arms, list(seeds))
    found, verdict = published.judged(ROWS[name], published.select(read_runs(folder), planned))
    return [claim.agrees for claim in found.claims], verdict, found


def table2(average, transfer, one_step):
    return arm(flat(0.5), average=average, backward_transfer=transfer, one_step_backward_transfer=one_step)


INSIDE, OUTSIDE = table2(0.8171, -0.67, -0.109), table2(0.838, -0.67, -0.2)


@pytest.mark.parametrize(
    ("arms", "claims", "verdict"),
    [
        ((OUTSIDE, INSIDE, OUTSIDE), [True, None, None, True], "agree"),
        ((OUTSIDE, OUTSIDE, INSIDE), [True, None, None, True], "agree"),
        ((OUTSIDE, OUTSIDE, OUTSIDE), [False, None, None, True], "partly"),
        ((INSIDE, INSIDE, INSIDE), [True, None, None, False], "partly"),
        ((INSIDE, OUTSIDE, OUTSIDE), [False, None, None, False], "not"),
    ],
)
def test_table_2_asks_for_one_form_inside_and_the_baseline_outside(arms, claims, verdict, tmp_path):
    named = dict(zip(("baseline", "l2_init", "l2_init_half"), arms, strict=True))
    found = judge("kumar_table2", tmp_path, named)
    assert found[:2] == (claims, verdict)


@pytest.mark.parametrize("wrong", [table2(0.7999, -0.634, -0.113), table2(0.811, -0.691, -0.113)])
def test_each_of_the_three_numbers_of_table_2_counts(wrong, tmp_path):
    arms = {"baseline": wrong, "l2_init": table2(0.8011, -0.5841, -0.0831), "l2_init_half": wrong}
    claims, verdict, found = judge("kumar_table2", tmp_path, arms)
    assert (claims, verdict) == ([True, None, None, True], "agree")
    assert found.claims[0].ours == "within all three: lambda"
    assert found.ours.startswith(
        "online accuracy: with lambda 80.1 (80.1, 80.1) [80.1, 80.1]; with lambda / 2 "
    )


def methods(**values):
    """The eight methods with an average each, and curves that stay."""
    return {name: arm(flat(values.get(name, 0.5))) for name in kumar.METHODS}


def test_permuted_mnist_by_its_four_shapes(tmp_path):
    arms = methods(l2_init=0.8, l2=0.7) | {"baseline_1e-3": arm(falling(0.8, 0.6))}
    assert judge("kumar_permuted_mnist", tmp_path / "right", arms)[:2] == ([True] * 7, "agree")
    wrong = methods(l2=0.4, l2_init=0.4) | {
        "baseline_1e-3": arm(flat(0.8)),
        "crelu": arm(falling(0.8, 0.6)),
        "redo": arm(flat(0.6)),
        "layer_norm": arm(flat(0.6)),
    }
    claims, verdict, _ = judge("kumar_permuted_mnist", tmp_path / "wrong", wrong)
    assert (claims, verdict) == ([False, True, True, False, True, False, False], "partly")


def test_random_labels_by_their_shapes(tmp_path):
    arms = methods(l2_init=0.8, l2=0.4) | {"baseline_1e-3": arm(falling(0.8, 0.1))}
    assert judge("kumar_random_label_mnist", tmp_path / "right", arms)[:2] == ([True] * 3, "agree")
    wrong = methods(l2=0.6, l2_init=0.4) | {"baseline_1e-3": arm(falling(0.8, 0.6))}
    assert judge("kumar_random_label_mnist", tmp_path / "wrong", wrong)[:2] == ([False] * 3, "not")


def test_upgd(tmp_path):
    def made(folder, upgd, adamw):
        return judge("upgd_permuted_mnist", tmp_path / folder, {"upgd_w": upgd, "adamw": adamw})[:2]

    assert made("right", arm(flat(0.78)), arm(falling(0.8, 0.6), average=0.719)) == ([True] * 5, "agree")
    wrong = made("wrong", arm(falling(0.8, 0.6), average=0.7), arm(flat(0.74)))
    assert wrong == ([False] * 5, "not")


def test_dohare(tmp_path):
    def made(folder, backprop, other):
        arms = {"backprop": arm(backprop), "continual_backprop": arm(other), "l2": arm(flat(0.9))}
        return judge("dohare_permuted_mnist", tmp_path / folder, arms)[:2]

    assert made("right", falling(0.9, 0.8), flat(0.9)) == ([True, True], "agree")
    assert made("wrong", flat(0.9), falling(0.9, 0.8)) == ([False, False], "not")
    assert made("never rises", np.linspace(0.9, 0.8, 20), flat(0.9)) == ([False, True], "partly")


def of_learners(curve, seed=0):
    """Errors of eight learners around a curve, as arrays of a run; the same ones by default."""
    around = np.random.default_rng(seed).normal(0, 0.1, 8)
    around -= around.mean()
    return {"online_error": {40 * (step + 1): {"mean": value + around} for step, value in enumerate(curve)}}


def regression(folder, shuffled=(), **curves):
    """Writes a run for each learner, whose error is 1 at its best and rises to 2 by default.

    Learners of the arms in `shuffled` have other errors in the second half than in the first.
    """
    for optimizer in ("sgd", "adam"):
        for name in ("linear", "relu", "leaky_relu", "tanh", "sigmoid", "elu", "swish"):
            usual = [1.5] * 20 if name == "linear" else np.r_[1.2, np.linspace(1.0, 2.0, 19)]
            if name == "elu":
                usual = np.r_[1.2, np.linspace(1.0, 1.5, 19)]
            curve = curves.get(f"{name}_{optimizer}", usual)
            arrays = of_learners(curve)
            if f"{name}_{optimizer}" in shuffled:
                half = 40 * len(curve) // 2
                of_others = of_learners(curve, seed=1)["online_error"]
                arrays["online_error"] |= {step: each for step, each in of_others.items() if step > half}
            write_run(folder / f"{name}-{optimizer}-seed0", 0, {"train/error": [(1, 1.0)]}, arrays)
    planned = {path.name.removesuffix("-seed0"): [0] for path in folder.iterdir()}
    found, verdict = published.judged(
        ROWS["slowly_changing_regression"], published.select(read_runs(folder), planned)
    )
    return [claim.agrees for claim in found.claims], verdict


def test_slowly_changing_regression(tmp_path):
    assert regression(tmp_path / "right") == ([True] * 8, "agree")
    falling, low = np.linspace(2.0, 1.0, 20), np.r_[1.0, np.linspace(0.9, 1.2, 19)]
    claims, verdict = regression(tmp_path / "wrong", relu_sgd=low, tanh_sgd=low, swish_adam=falling)
    rises, reach_linear, least = claims[:2], claims[2:6], claims[6:]
    assert rises == [True, False] and reach_linear == [False, False, True, True]
    assert least == [False, False] and verdict == "partly"


def test_what_one_hundred_learners_cannot_tell_is_neither_yes_nor_no(tmp_path):
    found, _ = regression(
        tmp_path,
        relu_sgd=np.r_[1.2, np.linspace(0.5, 1.47, 19)],  # near the linear learner's 1.5, with other targets
        leaky_relu_adam=np.r_[1.2, np.linspace(1.0, 1.51, 19)],  # near ELU's
        shuffled=("relu_sgd", "leaky_relu_adam"),
    )
    assert found == [True, True, None, True, True, True, True, None]


def test_the_first_examples_of_slowly_changing_regression(tmp_path):
    for optimizer in ("sgd", "adam"):
        for name in ("relu", "leaky_relu", "tanh", "sigmoid", "elu", "swish"):
            curve = [1.0, 1.1, 1.2] if (name, optimizer) == ("elu", "adam") else [2.0, 1.0, 1.5]
            write_run(
                tmp_path / f"{name}-{optimizer}-seed0", 0, {"train/error": [(1, 1.0)]}, of_learners(curve)
            )
    planned = {path.name.removesuffix("-seed0"): [0] for path in tmp_path.iterdir()}
    row = ROWS["slowly_changing_regression_start"]
    found, verdict = published.judged(row, published.select(read_runs(tmp_path), planned))
    assert [claim.agrees for claim in found.claims] == [True, False] and verdict == "partly"
    assert "ReLU 1 [1, 1]" in found.claims[0].ours and "ELU 0 [0, 0]" in found.claims[1].ours


def test_slowly_changing_regression_in_other_forms(tmp_path):
    ends = {"linear": 1.5, "relu": 1.7, "tanh": 1.2}  # in the last tenth, above 1
    for form in ("long", "released"):
        for name, end in ends.items():
            arrays = of_learners(np.r_[np.full(18, 1.0), end, end])
            scalars = {"train/error": [(1, 1.0)]}
            write_run(tmp_path / f"{name}-{form}-seed0", 0, scalars, arrays)
    runs = published.select(read_runs(tmp_path), {f"{name}-long": [0] for name in ends})
    found, verdict = published.judged(ROWS["slowly_changing_regression_forms"], runs)
    assert [claim.agrees for claim in found.claims] == [True, False, None, None] and verdict == "partly"
    assert (
        found.ours.startswith("with the paper's 3,000,000 examples: linear 1.5 [")
        and "tanh 1.2" in found.ours
    )
    assert found.claims[1].ours.startswith("difference -0.3")


def test_a_row_without_all_of_its_runs_says_how_many_there_are(tmp_path):
    write_run(tmp_path / "baseline-seed0", 0, OUTSIDE)
    write_run(tmp_path / "l2_init-seed7", 7, INSIDE)  # not planned
    write_run(tmp_path / "l2_init-seed0", 0, INSIDE, state="stopped")
    planned = dict.fromkeys(("baseline", "l2_init", "l2_init_half"), [0, 1])
    selection = published.select(read_runs(tmp_path), planned)
    assert published.judged(ROWS["kumar_table2"], selection)[1] == "not run (1 of 6)"
    write_run(tmp_path / "l2_init-seed1", 1, INSIDE)
    selection = published.select(read_runs(tmp_path), planned)
    assert published.judged(ROWS["kumar_table2"], selection)[1] == "agree (2 of 6)"


def test_every_row_can_be_judged_without_runs(tmp_path):
    for row in published.ROWS:
        found, verdict = published.judged(row, published.select(read_runs(tmp_path), {"a": [0]}))
        assert verdict == "not run (0 of 1)" and found.ours == ""
        assert all(claim.agrees is None for claim in found.claims)
