"""The table of all methods at one setting, from made-up metrics."""

import math

import numpy as np
import pytest

from tests.reports.run_directories import write_run
from tfplastic.command_line import published as program
from tfplastic.command_line.methods_page import catalogue
from tfplastic.probing.result import FreshNetworks, ProbeResult
from tfplastic.reports import published, read_runs
from tfplastic.reports.published import methods, methods_claims
from tfplastic.reports.published.probe_verdict import probe_verdict

PLANNED = {f"random_labels-{name}": [0, 1] for name in ("baseline", "l2_init", "redo", "l2", "muon")}
PROBE = dict(final_loss=0.4, fresh_low=0.05, fresh_high=0.08, fresh_final_loss=0.06, target_variance=0.5)


def scalars(average, ends=(0.5,) * 20, probe=None, **next_task):
    layers = {
        "dead_units/hidden1_relu": 0.5,
        "dead_units/hidden2_relu": 0.25,
        "feature_srank/hidden1_relu": 60,
    }
    layers |= {"feature_srank/hidden2_relu": 40, "sharpness/all": 12.34} | next_task
    found = {"evaluation/average_online_accuracy": [(1, 0.0), (20, average)]}
    found["evaluation/accuracy"] = list(enumerate(ends))
    found |= {f"next_task/{name}": [(0, 7.0), (20, value)] for name, value in layers.items()}
    probe = PROBE | {"plasticity": 0.1} if probe is None else probe
    return found | {f"probe/{name}": [(20, value)] for name, value in probe.items()}


def test_rows_are_sorted_by_accuracy_with_every_number_and_those_not_run_last(tmp_path):
    for arm, values in {"baseline": (0.5, 0.6), "l2_init": (0.7, 0.9), "redo": (0.4, 0.5)}.items():
        for seed, value in enumerate(values):
            lost = PROBE | {"plasticity": 0.1, "final_loss": 0.4 if seed else 0.06}
            path = tmp_path / f"random_labels-{arm}-seed{seed}"
            write_run(
                path,
                seed,
                scalars(value, (0.1,) * 18 + (0.2, 0.4), lost),
                cpu_time_s=20 if arm == "redo" else 10,
            )
    write_run(tmp_path / "random_labels-l2-seed1", 1, scalars(0.61), cpu_time_s=10)
    runs = published.select(read_runs(tmp_path), PLANNED).runs
    rows = methods.table(runs, PLANNED, "random_labels", "paper")
    assert [row[0] for row in rows] == [
        "[l2_init](#l2init)", "[l2](#weightdecay)", "baseline", "[redo](#redo)", "[muon](#muon)",
    ]  # fmt: skip
    first, decay, _, redo, muon = rows
    assert first[1:7] == [
        "0.800 (0.700, 0.900)",
        "0.250 (0.200, 0.300)",
        "0.300 (0.300, 0.300)",
        "0.38 (0.38, 0.38)",
        "40 (40, 40)",
        "12.34 (12.34, 12.34)",
    ]
    assert first[7:10] == ["0.100 (0.100, 0.100)", "as fresh (1), lost (1)", "1.0"]
    assert first[10:] == [
        "",
        "[0](paper/methods/random_labels-l2_init-seed0) [1](paper/methods/random_labels-l2_init-seed1)",
    ]
    assert decay[1] == "0.610, not run (1 of 2)" and decay[2] == "0.010"
    assert decay[8] == "lost" and decay[10] == ""
    assert redo[9:11] == ["2.0", "Sokar et al. 2023 (reinforcement learning)"]
    assert muon == ["[muon](#muon)", "not run (0 of 2)", *[""] * 10]


@pytest.mark.parametrize(
    ("method", "values", "is_named"),
    [
        ("redo", (0.4, 0.5), True),
        ("redo", (0.51, 0.61), True),  # gains of .01
        ("redo", (0.4, 0.63), False),  # a lower mean, and a gain of .03 with one seed
        ("l2", (0.53, 0.7), True),  # does not help on random labels, by its paper
        ("l2", (0.51, 0.9), False),
        ("redo", (0.1, math.nan), False),
        ("redo", (0.1,), False),  # one run is too few
        ("muon", (0.1, 0.2), False),  # no claim
    ],
)
def test_a_paper_is_contradicted_by_all_runs_or_not_at_all(method, values, is_named, tmp_path):
    for arm, pair in {"baseline": (0.5, 0.6), method: values}.items():
        for seed, value in enumerate(pair):
            write_run(tmp_path / f"random_labels-{arm}-seed{seed}", seed, scalars(value))
    rows = methods.table(read_runs(tmp_path), PLANNED, "random_labels")
    (row,) = [row for row in rows if row[0].startswith(f"[{method}]")]
    assert bool(row[10]) is is_named


def test_units_that_cannot_be_dead_have_no_share_and_gains_are_of_seeds_that_both_have(tmp_path):
    planned = {f"random_labels-{name}": [0, 1] for name in ("baseline", "crelu")}
    for arm, seed, value in (("baseline", 1, 0.5), ("crelu", 0, 0.9), ("crelu", 1, 0.6)):
        write_run(tmp_path / f"random_labels-{arm}-seed{seed}", seed, scalars(value))
    crelu, baseline = methods.table(read_runs(tmp_path), planned, "random_labels")
    assert (crelu[2], crelu[4]) == ("0.100", "–")
    assert (baseline[2], baseline[4]) == ("", "0.38")


def test_a_method_that_a_paper_says_does_not_help_is_named_where_it_does():
    claim = methods_claims.CLAIMS["l2"]
    assert claim.helps_on("permuted_pixels") and not claim.helps_on("random_labels")
    assert methods_claims.CLAIMS["l2_init"].helps_on("random_labels")


def test_every_method_is_in_the_experiment_and_has_an_entry():
    planned = program.planned(methods.STUDY)
    by_stream = [
        {arm.partition("-")[2] for arm in planned if arm.startswith(f"{stream}-")}
        for stream in methods.STREAMS
    ]
    assert by_stream[0] == by_stream[1] == {methods.BASELINE, *methods_claims.PAGES}
    assert sum(map(len, by_stream)) == len(planned) and len(by_stream[0]) > 24
    assert set(methods_claims.CLAIMS) < by_stream[0]
    entries = {each.name.lower(): each for each in catalogue()}
    assert set(methods_claims.PAGES.values()) < set(entries)
    here = {entries[page] for page in methods_claims.PAGES.values()}
    kinds = ("Penalties", "Gradients", "Changes of weights", "Resets of weights", "Optimizer state")
    assert {each for each in entries.values() if each.kind in kinds} < here


@pytest.mark.parametrize(
    ("final", "fresh"),
    [
        (0.3, (0.05, 0.06, 0.07)),
        (0.06, (0.05, 0.06, 0.07)),
        (0.02, (0.2, 0.21, 0.2)),
        (0.48, (0.47, 0.5, 0.49)),
    ],
)
def test_verdicts_are_those_of_the_probe(final, fresh, tmp_path):
    losses = np.array([fresh]).T
    networks = FreshNetworks(losses + 1, losses, np.ones([3, 1, 4]))
    one = np.array([final])
    result = ProbeResult(one + 1, one, np.array([0.5]), np.ones([1, 4]), networks, "")
    write_run(
        tmp_path / "run", 0, {f"probe/{name}": [(1, value)] for name, value in result.to_dict().items()}
    )
    (run,) = read_runs(tmp_path)
    assert probe_verdict(run) == result.verdict


def test_without_a_probe_there_is_no_verdict_and_one_that_diverged_has_lost(tmp_path):
    write_run(tmp_path / "none", 0, {"a": [(1, 1.0)]})
    write_run(
        tmp_path / "nan",
        0,
        {f"probe/{name}": [(1, value)] for name, value in (PROBE | {"final_loss": math.nan}).items()},
    )
    nan, none = sorted(read_runs(tmp_path), key=lambda run: run.name)
    assert (probe_verdict(nan), probe_verdict(none)) == ("lost", "")


def test_a_damaged_run_is_named_and_the_others_are_shown(tmp_path):
    for seed in range(2):
        write_run(tmp_path / f"methods/random_labels-redo-seed{seed}", seed, scalars(0.5))
    (tmp_path / "methods/random_labels-redo-seed1/metrics.csv").write_text("no table")
    text = published.study_text(methods.STUDY, tmp_path, PLANNED)
    assert "| [redo](#redo) | 0.500, not run (1 of 2) |" in text
    last = text.splitlines()[-1]
    assert last.startswith("Left out as damaged: random_labels-redo-seed1: metrics.csv cannot be read: ")


def test_the_section_without_runs_counts_what_is_missing():
    text = methods.section(read_runs(), PLANNED)
    assert text.count("not run (0 of 2)") == 5 and "make published NAME=methods" in text
