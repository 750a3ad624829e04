"""Small run directories that look like those of each figure of the paper."""

import functools

import numpy as np

from tests.reports.run_directories import write_run
from tfplastic.reports import paper_cells, read_runs


def _series(values, period=100):
    return [(period * place, float(value)) for place, value in enumerate(values)]


def _matrix(size, correlation, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(size, 40)) + correlation
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return {"matrix": vectors @ vectors.T}


def _spectrum(width, seed=0):
    grid = np.linspace(-5, 60, 300)
    return {"grid": grid, "density": np.exp(-((grid / width) ** 2)) + 1e-4 + 0 * seed}


def _histogram(largest, bins=30):
    """Eigenvalues: a bulk at zero and a few eigenvalues up to the largest."""
    counts = np.full(bins, 3)
    counts[1] = 1_000
    return {"counts": counts, "edges": np.linspace(-1, largest, bins + 1), "non_finite": np.array(0)}


def _probe(level, targets=3, steps=40):
    decay = np.exp(-np.arange(steps) / 10)
    return {"curves": (level + (0.5 - level) * decay + 0.01 * np.arange(targets)[:, None]).astype(np.float32)}


def random_labels(root):
    """Fig. 1: two arms, three seeds, one run that failed half way."""
    for seed in range(3):
        for arm, dead in (("default", 0.7), ("tuned", 0.02)):
            failed = arm == "default" and seed == 2
            length = 6 if failed else 12
            rise = dead * np.minimum(1, np.arange(length) / 8) + 0.01 * seed
            scalars = {
                "evaluation/accuracy": _series(1 - rise),
                "evaluation/task": _series(np.arange(length) // 3),
                "diagnostics/dead_units/hidden1_relu": _series(rise),
                "diagnostics/dead_units/hidden2_relu": _series(rise / 2),
            }
            status = {"state": "failed", "error": "The loss is not finite"} if failed else {}
            write_run(root / f"{arm}-seed{seed}", seed, scalars, **status)
    return read_runs(root)


def landscape(root):
    """Fig. 2: gradient descent and its Brownian twin, two seeds."""
    for seed in range(2):
        scalars, arrays = {}, {}
        for prefix, growth in (("diagnostics", 3.0), ("brownian_twin", 1.2)):
            scalars |= {
                f"{prefix}/sharpness/all": _series([4, 4 + growth, 4 * growth + seed], 12_500),
                f"{prefix}/gradient_interference/all": _series([0.5, 0.5 + growth / 20 + seed / 10], 25_000),
            }
            arrays |= {
                f"{prefix}/hessian_spectral_density/all": {0: _histogram(5), 25_000: _histogram(5 * growth)},
                f"{prefix}/gradient_covariance/all": {
                    step: _matrix(16, growth / 3 if step else 0.1) for step in (0, 1_000, 20_000)
                },
            }
        write_run(root / f"gradient_descent-seed{seed}", seed, scalars, arrays)
    return read_runs(root)


def agents(root):
    """Fig. 3: environments x data x architectures, four seeds; the weight norm helps on one data alone."""
    generator = np.random.default_rng(0)
    for environment in ("easy", "hard"):
        for data, sign in (("cifar10", 1), ("mnist", -1)):
            for architecture in ("cnn", "mlp"):
                for seed in range(4):
                    norm = generator.uniform(1, 2)
                    scalars = {
                        "probe/final_loss": [(0, 0.1), (500, 0.3 + 0.1 * sign * norm)],
                        "diagnostics/weight_norm/all": [(0, 1.0), (500, norm)],
                        "diagnostics/weight_srank_sum/all": [(500, sum(generator.uniform(300, 400, 2)))],
                        "diagnostics/dead_units/hidden1_relu": [(500, generator.uniform())],
                        "diagnostics/feature_srank_sum/all": [(500, generator.uniform(10, 30))],
                    }
                    write_run(root / f"{environment}-{data}-{architecture}-seed{seed}", seed, scalars)
    return read_runs(root)


def probes(root):
    """Figs. 4, 17 and 18: variants x seeds, of which one is missing; checkpoints fit worse and worse."""
    for variant, growth in (("none", 0.04), ("layer_norm", 0.005)):
        for seed in range(3):
            if (variant, seed) != ("layer_norm", 2):
                curves = {step: _probe(growth * step / 1_000) for step in range(0, 7_000, 1_000)}
                write_run(root / f"{variant}-seed{seed}", seed, arrays={"probe/curves": curves})
    return read_runs(root)


def widths(root):
    """Fig. 5: the loss of plasticity falls with the width; below 0 for the widest."""
    for architecture in ("mlp", "cnn"):
        for period in (1, 1_000):
            for width in (1, 4, 16):
                for seed in range(2):
                    change = 0.2 / width + 0.01 * seed - (0.05 if width == 16 else 0) + period * 1e-5
                    scalars = {"probe/final_loss": [(0, 0.2), (900, 0.2 + change)]}
                    write_run(root / f"{architecture}-{period}-x{width}-seed{seed}", seed, scalars)
    return read_runs(root)


def interventions(root, data="cifar10", spread=0.02):
    """Figs. 6 and 8 to 11: the paper's own cells of MLP and CNN, but for one that is missing."""
    cells = paper_cells()
    cells = cells[(cells["data"] == data) & cells["architecture"].isin(["cnn", "mlp"])]
    for cell in cells.itertuples():
        if (cell.architecture, cell.intervention) == ("mlp", "shrink_and_perturb"):
            continue
        for seed in range(3):
            final = cell.initial_loss + cell.plasticity_loss + spread * (seed - 1)
            scalars = {"probe/final_loss": [(0, cell.initial_loss), (500, 0.5), (1_000, final)]}
            name = f"{data}-{cell.architecture}-{cell.intervention}-seed{seed}"
            write_run(root / name, seed, scalars)
    return read_runs(root)


def learning(root):
    """Figs. 12 to 16: environments x architectures x interventions."""
    for environment, slope in (("easy", 0.1), ("hard", 0.02)):
        for architecture in ("mlp", "cnn", "vit"):
            for intervention in ("none", "layer_norm", "two_hot"):
                for seed in range(2):
                    values = np.minimum(1, 0.1 + slope * np.arange(12) + 0.03 * seed)
                    scalars = {
                        "evaluation/accuracy": _series(values),
                        "evaluation/td_loss": _series((1 - values) / 2),
                        "diagnostics/sharpness/all": _series(20 + 300 * values),
                    }
                    name = f"{environment}-{architecture}-{intervention}-seed{seed}"
                    write_run(root / name, seed, scalars)
    return read_runs(root)


def sharpnesses(root):
    """Fig. 14: environments x interventions."""
    for environment, top in (("random_label", 200), ("true_label", 500)):
        for intervention, growth in (("none", 1.0), ("layer_norm", 0.1)):
            for seed in range(3):
                values = 20 + top * growth * np.arange(10) / 10 + seed
                scalars = {"diagnostics/sharpness/all": _series(values)}
                write_run(root / f"{environment}-{intervention}-seed{seed}", seed, scalars)
    return read_runs(root)


def atari(root):
    """Figs. 7 and 19 to 22: five games, both agents; one game without its baseline."""
    games = {"Boxing": (40, 70), "Freeway": (20, 30), "Kangaroo": (9000, 8000), "Pong": (-10, 15)}
    for game, scores in {**games, "Qbert": (0, 4000)}.items():
        for intervention, score in zip(("none", "layer_norm"), scores, strict=True):
            if (game, intervention) == ("Qbert", "none"):
                continue
            arrays = {
                "spectrum": {0: _spectrum(5), 4_000: _spectrum(9 if intervention == "none" else 6)},
                "diagnostics/gradient_covariance/all": {
                    step: _matrix(12, (2.0 if intervention == "none" else 0.3) - step / 5_000)
                    for step in range(0, 6_000, 1_000)
                },
            }
            start = score / (2 if intervention == "none" else 4)
            scalars = {"evaluation/episode_return": _series(np.linspace(start, score, 5), 1_000)}
            write_run(root / f"{game}-{intervention}-seed0", 0, scalars, arrays)
    return read_runs(root)


RUNS = {
    1: random_labels,
    2: landscape,
    3: agents,
    4: probes,
    5: widths,
    6: interventions,
    7: atari,
    8: interventions,
    9: functools.partial(interventions, data="mnist"),
    10: interventions,
    11: functools.partial(interventions, data="mnist"),
    12: learning,
    13: learning,
    14: sharpnesses,
    15: learning,
    16: learning,
    17: probes,
    18: probes,
    19: atari,
    20: atari,
    21: atari,
    22: atari,
}
"""The data of each figure."""
KWARGS = {5: {"factors": ("architecture", "target_period", "width")}}
