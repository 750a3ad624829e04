"""Made-up runs of every experiment of the queue, in which the paper's statements hold or do not."""

import functools

import numpy as np

from tests.reports.run_directories import write_run
from tfplastic.reports import paper_cells

STEPS = 6_000
B = 0.5
NORMED = ("layer_norm", "two_hot", "two_hot+layer_norm")
_CELL = ["data", "architecture", "intervention"]


@functools.cache
def paper():
    """{(data, architecture, intervention): (initial loss, increase)} of the paper."""
    cells = paper_cells().set_index(_CELL)
    return {key: (cells.loc[key, "initial_loss"], cells.loc[key, "plasticity_loss"]) for key in cells.index}


def probe(initial, final, steps=(0, STEPS)):
    """Scalars of probes whose loss rises evenly."""
    losses = np.linspace(initial, final, len(steps))
    return {
        "probe/final_loss": list(zip(steps, losses, strict=True)),
        "probe/curve_area": [(step, loss + 0.1) for step, loss in zip(steps, losses, strict=True)],
        "probe/target_variance": [(step, B) for step in steps],
    }


def curves(initial, final, steps):
    """Arrays of probe curves that still fall at their end."""
    return {
        "probe/curves": {
            step: {"curves": (loss + np.exp(-np.arange(40) / 15) * np.ones((2, 1))).astype(np.float16)}
            for step, loss in zip(steps, np.linspace(initial, final, len(steps)), strict=True)
        }
    }


def learning(environment, intervention):
    """Accuracies and TD losses by evaluation: hard is slower, weights that are perturbed learn less."""
    top = {"easy": 0.9, "hard": 0.3, "sparse": 0.5}[environment]
    top *= {"shrink_and_perturb": 0.3, "reset_last_layer": 0.3, "layer_norm": 1.1}.get(intervention, 1.0)
    shake = 0.002 if intervention in NORMED else 0.02
    steps = range(300, STEPS + 1, 300)
    return {
        "evaluation/accuracy": [(step, min(1.0, top * step / STEPS)) for step in steps],
        "evaluation/td_loss": [(step, 0.5 + shake * (-1) ** place) for place, step in enumerate(steps)],
    }


def fig01(arm, seed):
    """Default Adam falls, tuned Adam does not."""
    default = arm == "default_adam"
    steps = [500 * task for task in range(1, 21)]
    return {
        "evaluation/task": [(step, place) for place, step in enumerate(steps)],
        "evaluation/accuracy": [
            (step, max(0.1, 1 - 0.1 * place) if default else 0.7) for place, step in enumerate(steps)
        ],
        "diagnostics/dead_units/hidden1_relu": [
            (step, min(1.0, 0.1 * place) if default else 0.05) for place, step in enumerate(steps)
        ],
        "diagnostics/dead_units/hidden2_relu": [(step, 0.1) for step in steps],
    }, {}


def fig02(arm, seed):
    """Sharpness and interference grow, the twin's sharpness a little; gradients align."""
    scalars, ends = {}, (0, 25_000)
    for prefix, grown, rank, interference in (
        ("diagnostics", 8.0, 90.0, 0.3),
        ("brownian_twin", 1.2, 195.0, 0),  # the task's loss is not measured of it
    ):
        for name, values in (
            ("sharpness", (4.0, 4.0 * grown)),
            ("gradient_effective_rank", (200.0, rank)),
            ("distance_from_init", (0.0, 1.0)),
            ("task_gradient_interference", (0.1, interference)),
        ):
            if values[-1]:
                scalars[f"{prefix}/{name}/all"] = list(zip(ends, values, strict=True))
    scalars["evaluation/accuracy"] = [(25_000, 0.8)]
    spectrum = {
        "nodes": np.linspace(-1, 9, 12)[None],
        "weights": np.full((1, 12), 1 / 12),
        "size": np.int64(99),
    }
    arrays = {
        f"{prefix}/{name}/all": files
        for prefix in ("diagnostics", "brownian_twin")
        for name, files in (
            ("hessian_spectral_density", dict.fromkeys(ends, spectrum)),
            ("gradient_covariance", dict.fromkeys((1_000, 20_000), {"matrix": np.eye(6, dtype=np.float16)})),
        )
    }
    return scalars, arrays


def fig03(arm, seed):
    """Each statistic goes with the loss in one group and against it in the others."""
    environment, data, architecture = arm.split("-")
    draw = np.random.default_rng([seed, *map(ord, arm)]).uniform()
    sign = {"cifar10": 1, "mnist": -1}[data]
    units = {"cnn": 1, "mlp": -1}[architecture]
    features = {"easy": 1, "hard": -1, "sparse": -1}[environment]
    scalars = probe(0.05, 0.15 + 0.1 * draw) | learning(environment, "none")
    for name, value in (
        ("weight_norm/all", sign * draw),
        ("weight_srank_sum/all", sign * draw),
        ("dead_units/hidden1_relu", units * draw),
        ("feature_srank_sum/all", features * draw),
    ):
        scalars[f"diagnostics/{name}"] = [(STEPS, 2 + value)]
    return scalars, {}


def fig04_iterations(arm, seed):
    """Later checkpoints are worse."""
    steps = (0, 600, 1_200, 3_000, 6_000)
    return probe(0.01, 0.3, steps) | learning("easy", "none"), curves(0.01, 0.3, steps)


def fig05(arm, seed):
    """Wider networks lose less."""
    width = int(arm.rpartition("-x")[2])
    return probe(0.05, 0.05 + 0.2 / width + 0.01 * seed) | learning("easy", "none"), {}


def fig06(arm, seed, reverse=False):
    """The paper's own cells, or their opposite."""
    data, architecture, intervention = arm.split("-")
    initial, increase = paper()[data, architecture, intervention]
    increase = 0.3 - increase if reverse else increase
    dead = {"diagnostics/dead_units/hidden1_relu": [(STEPS, 0.02)]}
    return probe(initial, initial + increase + 0.001 * (seed % 3 - 1)) | learning(
        "easy", intervention
    ) | dead, {}


def fig12(arm, seed):
    """On the hard MDP."""
    environment, _, _, intervention = arm.split("-")
    return learning(environment, intervention), {}


def fig14(arm, seed):
    """Sharpness stays with layer norm."""
    growth = 1.2 if arm.endswith("layer_norm") else 9.0
    return {"diagnostics/sharpness/all": [(0, 20.0), (1_200, 20 * growth), (STEPS, 15 * growth)]}, {}


def fig17(arm, seed):
    """Regression without layer norm loses most; seeds differ."""
    environment, _, intervention = arm.partition("-")
    steps = (0, 600, 3_000, 6_000, 9_000)
    final = (0.05 if intervention in NORMED else 0.2) + 0.15 * seed
    return probe(0.01, final, steps) | learning(environment, intervention), curves(0.01, final, steps)


def minatar_fig07(arm, seed):
    """Layer norm has higher returns and gradients that are less alike; spectra say nothing.

    DQN fails in breakout.
    """
    game, _, intervention = arm.partition("-")
    place = ("none", "layer_norm", "c51", "c51+layer_norm").index(intervention)
    top = {"breakout": 0.5, "freeway": 30.0, "space_invaders": 20.0}[game] + 2 * place + 0.1 * seed
    first = 0.8 - 0.2 * place
    returns = [(step, top * (first + (1 - first) * step / STEPS)) for step in range(0, STEPS + 1, 1_000)]
    sharpness = 1.0 + (seed - 4) ** 2  # of nine seeds the same on both sides
    cosine = 0.9 - 0.25 * place
    matrix = np.eye(6) + (cosine - 0.01 * seed) * (1 - np.eye(6))
    spectrum = {"nodes": np.linspace(-1, 9, 12)[None], "weights": np.full((1, 12), 1 / 12)}
    scalars = probe(0.1, 0.3 - 0.05 * place) | {
        "evaluation/episode_return": returns,
        "evaluation/episode_return_stderr": [(step, 0.1) for step, _ in returns],
        "diagnostics/dead_units/conv1": [(0, 0.0), (STEPS, 0.2)],
        "diagnostics/dead_units/hidden": [(0, 0.0), (STEPS, 0.4)],
        "diagnostics/sharpness/all": [(0, 1.0), (STEPS, sharpness)],
    }
    arrays = {
        "diagnostics/gradient_covariance/all": {STEPS: {"matrix": matrix.astype(np.float16)}},
        "diagnostics/hessian_spectral_density/all": {STEPS: spectrum | {"size": np.int64(99)}},
    }
    return scalars, arrays


MAKE = {
    "fig01": fig01,
    "fig01_paper_network": fig01,
    "fig02_both_losses": fig02,
    "fig03": fig03,
    "fig04_iterations": fig04_iterations,
    "fig05": fig05,
    "fig06": fig06,
    "fig12": fig12,
    "fig14": fig14,
    "fig17": fig17,
    "fig18": fig17,
    "minatar_fig07": minatar_fig07,
}

SEEDS = {"fig01": 2, "fig03": 6, "fig17": 2, "fig18": 2}
"""One value for other figures."""
MORE_SEEDS = {"minatar_fig07": range(9)}
"""More than the queue has, with which the paper's statements are not undecided."""


def write(folder, grid, **other):
    """Writes runs of the first seeds of every arm of the grid; `other` replaces makers."""
    for place, make in {**MAKE, **other}.items():
        for arm, seeds in grid[place].items():
            chosen = MORE_SEEDS[place] if place in MORE_SEEDS else seeds[: SEEDS.get(place, 1)]
            for seed in chosen:
                scalars, arrays = make(arm, seed)
                write_run(folder / place / f"{arm}-seed{seed}", seed, scalars, arrays, cpu_time_s=60.0)
