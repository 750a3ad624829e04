"""Draws the returns of Atari runs next to random play, and prints their differences in standard errors.

    python benchmarks/learning_curve.py --out=docs/learning.png runs/boxing0 runs/boxing1

The runs are of one game. Their evaluations come from `metrics.csv`; random play is 100 episodes of the same
protocol, played here. The verdict for a run is (mean of its last evaluation - mean of random play) in pooled
standard errors, sqrt(s^2 / n + s_random^2 / n_random).
"""

import argparse
import csv
import os
import pathlib
from collections.abc import Sequence

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import gin
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from tfplastic.rl import AtariProtocol, Evaluation

NUM_RANDOM_EPISODES = 100


def read_series(run_dir: pathlib.Path, tag: str) -> np.ndarray:
    """The rows of one tag as `[rows, 2] float64`: gradient step, value."""
    with (run_dir / "metrics.csv").open() as file:
        rows = [
            (float(row["step"]), float(row["value"])) for row in csv.DictReader(file) if row["tag"] == tag
        ]
    return np.array(rows).reshape(-1, 2)


def read_game(run_dir: pathlib.Path) -> str:
    """The game that a run plays, from its configuration."""
    gin.parse_config_file(str(run_dir / "config.gin"), skip_unknown=True)
    return gin.query_parameter("AtariTask.game")


def play_at_random(game: str) -> np.ndarray:
    """`[100] float64` returns of a policy that chooses uniformly."""
    evaluation = Evaluation(num_episodes=NUM_RANDOM_EPISODES, epsilon=1.0)
    returns = evaluation(
        lambda observation: np.zeros(len(observation), np.int64), game, AtariProtocol(), seed=0
    )
    if returns is None:
        raise RuntimeError("The evaluation was stopped.")
    return returns


def draw(runs: Sequence[pathlib.Path], game: str, random_returns: np.ndarray, ax: Axes) -> None:
    """Training return (thin) and evaluations with their standard errors (points), by agent steps."""
    mean, error = random_returns.mean(), random_returns.std(ddof=1) / len(random_returns) ** 0.5
    label = f"random play: {mean:.1f} ± {error:.1f} (100 episodes)"
    ax.axhline(mean, color="0.4", linestyle="--", linewidth=1, label=label)
    for color, run in zip(("#0072b2", "#d55e00", "#009e73", "#cc79a7"), runs, strict=False):
        agent_steps = dict(read_series(run, "train/agent_steps"))
        training = read_series(run, "train/episode_return")
        ax.plot([agent_steps[step] for step in training[:, 0]], training[:, 1], color=color, linewidth=0.8)
        evaluations = read_series(run, "evaluation/episode_return")
        errors = read_series(run, "evaluation/episode_return_stderr")[:, 1]
        x = [agent_steps[step] for step in evaluations[:, 0]]
        ax.errorbar(
            x, evaluations[:, 1], errors, color=color, marker="o", capsize=3, linestyle=":", label=run.name
        )
    ax.set_xlabel("agent steps (4 frames each)")
    ax.set_ylabel("episode return, unclipped")
    episodes = read_series(runs[0], "evaluation/episodes")[-1, 1]
    ax.set_title(
        f"{game}: evaluations ({episodes:.0f} episodes ± standard error) and training (mean of the last 100)",
        fontsize=10,
    )
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=9)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=pathlib.Path, help="run directories")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="the PNG to write")
    arguments = parser.parse_args()
    game = read_game(arguments.runs[0])
    random_returns = play_at_random(game)
    spread = random_returns.var(ddof=1) / len(random_returns)
    print(f"{game}, random play: {random_returns.mean():.2f}, standard error {spread**0.5:.2f}")
    for run in arguments.runs:
        mean = read_series(run, "evaluation/episode_return")[-1, 1]
        error = read_series(run, "evaluation/episode_return_stderr")[-1, 1]
        distance = (mean - random_returns.mean()) / (error**2 + spread) ** 0.5
        verdict = f"{distance:+.1f} pooled standard errors from random"
        print(f"{run.name}: {mean:.2f}, standard error {error:.2f}, {verdict}")
    figure, ax = plt.subplots(figsize=(7.5, 4), layout="constrained")
    draw(arguments.runs, game, random_returns, ax)
    figure.savefig(arguments.out, dpi=150)


if __name__ == "__main__":
    main()
