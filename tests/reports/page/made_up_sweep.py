"""Sweeps as `bin/sweep` leaves them, written by hand, and everything that goes wrong."""

import json

import numpy as np

from tests.reports.run_directories import write_run

HOSTILE = '<script>alert("x")</script>'
LAYERS = ("hidden1_relu", "hidden2_relu")
MDP = "ClassificationMdpTask.dataset = 'mnist'\nClassificationMdpTask.network = @mlp\n"


def write_sweep(
    root, arms=("none", "layer_norm", "two_hot"), seeds=(0, 1, 2), length=9, config=MDP, rich=True
):
    """A run for each arm and seed, all finished, and `sweep.json`."""
    for place, arm in enumerate(arms):
        for seed in seeds:
            decay = 1 / (1 + place % 12)
            arrays = arrays_of(decay, seed) if rich else {}
            write_run(
                root / f"{arm}-seed{seed}",
                seed,
                scalars_of(decay, seed, length),
                arrays,
                config=config + f"mlp.norm = {arm!r}\n",
                versions={"python": "3.11.7", "tensorflow": "2.21.0"},
                device="CPU",
            )
    write_sweep_file(root, arms, seeds)
    return root


def write_sweep_file(root, arms, seeds, **errors):
    runs = [
        {
            "arm": arm,
            "seed": seed,
            "directory": str(root / f"{arm}-seed{seed}"),
            "state": "finished",
            "error": errors.get(f"{arm}_{seed}"),
        }
        for arm in arms
        for seed in seeds
    ]
    content = {"experiment": "gin/made_up.gin", "arms": {arm: {} for arm in arms}, "seeds": list(seeds)}
    (root / "sweep.json").write_text(json.dumps({**content, "runs": runs}))


def scalars_of(decay, seed, length):
    steps = [1_000 * place for place in range(length)]
    rise = np.linspace(0, 1, length)
    noise = np.random.default_rng([seed, length]).normal(0, 0.02, (6, length))
    series = {
        "evaluation/accuracy": 0.95 - 0.6 * decay * rise + noise[0],
        "train/loss": 0.3 + 1.5 * decay * rise + noise[1],
        "probe/final_loss": 0.2 + 0.3 * decay * rise + noise[2],
        "probe/loss_of_plasticity": 0.3 * decay * rise + noise[2],
        "diagnostics/sharpness/all": 5 + 100 * decay * rise + noise[3],
    }
    for place, layer in enumerate(LAYERS):
        series[f"diagnostics/dead_units/{layer}"] = np.clip(decay * rise / (1 + place) + noise[4], 0, 1)
        series[f"diagnostics/feature_srank/{layer}"] = 200 - 150 * decay * rise + 20 * place + noise[5]
        series[f"diagnostics/weight_norm/{layer}"] = 10.0 ** (3 * decay * rise) + 20 * place
    return {tag: list(zip(steps, values.tolist(), strict=True)) for tag, values in series.items()}


def arrays_of(decay, seed):
    generator = np.random.default_rng(seed)

    def matrix(shared):
        vectors = generator.normal(size=(40, 20)) + shared * np.repeat(
            generator.normal(size=(5, 20)), 8, axis=0
        )
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return {"matrix": vectors @ vectors.T}

    def curves(level):
        decay = np.exp(-np.arange(60) / 10)
        drawn = level + (0.5 - level) * decay + generator.normal(0, 0.01, (3, 60))
        return {
            "curves": drawn.astype(np.float32),
            "fresh_curves": np.stack([drawn, drawn]).astype(np.float32),
            "target_variances": np.full(3, 0.5),
        }

    grid = np.linspace(-5, 60, 200)
    return {
        "diagnostics/gradient_covariance/all": {
            step: matrix(2 * decay * step / 8_000) for step in (0, 4_000, 8_000)
        },
        "spectrum": {
            step: {"grid": grid, "density": np.exp(-((grid / (5 + step / 500)) ** 2)) + 1e-5}
            for step in (0, 8_000)
        },
        "probe/curves": {step: curves(0.05 + 0.3 * decay * step / 8_000) for step in (0, 4_000, 8_000)},
    }


def spoil(root):
    """One run of a sweep fails with markup in its error, one is running, one never started, one is torn."""
    write_run(
        root / "none-seed1",
        1,
        scalars_of(1.0, 1, 4),
        state="failed",
        config=MDP,
        error=f"The loss is not finite\n{HOSTILE}",
        total_steps=8_000,
    )
    write_run(root / "none-seed2", 2, scalars_of(1.0, 2, 5), state="running", config=MDP, total_steps=8_000)
    (root / "torn-seed0").mkdir()
    (root / "torn-seed0" / "status.json").write_text("{")
    return root
