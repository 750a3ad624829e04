"""Probes of fresh networks: how many would be called other than fresh, and how hard a probe is.

    python benchmarks/fresh_networks.py --csv=docs/plasticity/fresh_networks.csv
    python benchmarks/fresh_networks.py --read=docs/plasticity/fresh_networks.csv

64 networks of each kind take the same probe, on digits, with Adam at 1e-3. A draw takes 8 of them as the
baselines of `Probe`, and the verdicts of the other 56 are counted. Then fresh networks of 2 x 512 on MNIST
fit two targets with different numbers of inputs and batch sizes.
"""

import argparse
import csv
import os
import pathlib
import sys
from collections.abc import Callable
from typing import Any

# The root of the repository, of which `benchmarks` is a package, also where this file is run as a script.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

from benchmarks.processes import BenchmarkError, exit_code
from tfplastic import networks
from tfplastic.probing import FreshNetworks, Probe, ProbeResult
from tfplastic.tasks import load_dataset, scale_pixels

DRAWS = 1_000
_NUM_NETWORKS = 64
_DIGITS = (8, 8, 1)
_KINDS: dict[str, Callable[[], Any]] = {
    "MLP": lambda: networks.mlp(10, (64, 64), input_shape=_DIGITS),
    "MLP with LayerNorm": lambda: networks.mlp(10, (64, 64), input_shape=_DIGITS, norm="layer"),
    "CNN": lambda: networks.cnn(10, input_shape=_DIGITS, filters=(8, 8), strides=(2, 1), hidden=(32,)),
}
SIZES = ((1_000, 32), (5_000, 32), (5_000, 256), (20_000, 256))
"""Inputs and batch sizes of the probes of one network of 2 x 512."""
_COLUMNS = ["networks", "network", "initial_loss", "final_loss", "target_variance"]

Losses = dict[str, np.ndarray]
"""{kind of network: `[networks, 3]` of initial and final loss and target variance, means over targets}."""


def size_name(num_inputs: int, batch_size: int) -> str:
    """Name of the networks that fit so many inputs."""
    return f"MLP of 2 x 512, {num_inputs:,} inputs, batches of {batch_size}"


def measure() -> Losses:
    found = {}
    digits = _images("digits", 1_000)
    for name, make in _KINDS.items():
        fresh = Probe(baselines=_NUM_NETWORKS).measure(make(), digits, _adam())
        losses = [fresh.fresh.initial_losses.mean(axis=1), fresh.fresh_final_losses]
        found[name] = np.stack([*losses, np.full(_NUM_NETWORKS, fresh.target_variance)], axis=1)
        print(f"{name}: {_NUM_NETWORKS} networks, {fresh.how}", flush=True)
    for num_inputs, batch_size in SIZES:
        tf.keras.utils.set_random_seed(0)
        probe = Probe(num_targets=2, baselines=0, batch_size=batch_size)
        result = probe.measure(networks.mlp(10), _images("mnist", num_inputs), _adam())
        row = [result.initial_loss, result.final_loss, result.target_variance]
        found[size_name(num_inputs, batch_size)] = np.array([row])
    return found


def other_verdicts(losses: np.ndarray, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """Returns for each draw of baselines the share of the other networks that are not called 'as fresh'.

    Args:
        losses: `[networks]`, final losses.
        draws: number of draws.
        seed: seed of the draws.

    Returns:
        `[draws]`, in [0, 1].
    """
    generator, shares = np.random.default_rng(seed), []
    count = Probe().baselines
    for _ in range(draws):
        order = generator.permutation(losses)
        low, high = _interval(order[:count, None])
        shares.append(np.mean((order[count:] < low) | (order[count:] > high)))
    return np.array(shares)


def _interval(losses: np.ndarray) -> tuple[float, float]:
    """Interval of `ProbeResult` for `[networks, targets]` final losses of baselines."""
    fresh = FreshNetworks(losses, losses, losses[..., None])
    return ProbeResult(losses[0], losses[0], losses[0], losses[:1], fresh, how="as read").fresh_interval


def write(path: pathlib.Path, found: Losses) -> None:
    with path.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(_COLUMNS)
        for name, values in found.items():
            for number, row in enumerate(values):
                rows.writerow([name, number, *(f"{value:.6g}" for value in row)])


def read(path: pathlib.Path) -> Losses:
    """Reads the table of `write`."""
    rows: dict[str, list[list[float]]] = {}
    try:
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                rows.setdefault(row["networks"], []).append([float(row[name]) for name in _COLUMNS[2:]])
    except (OSError, KeyError, ValueError) as error:
        raise BenchmarkError(f"{path} cannot be read: {error}") from error
    return {name: np.array(values) for name, values in rows.items()}


def _images(dataset: str, count: int) -> np.ndarray:
    return scale_pixels(load_dataset(dataset).x_train[:count])


def _adam() -> Any:
    return tf.keras.optimizers.Adam(1e-3)


def _tell(found: Losses) -> None:
    for name, values in found.items():
        losses = values[:, 1]
        text = f"{name}: final loss {losses.mean():.3f} of a variance of {values[0, 2]:.2f}"
        if len(losses) > 1:
            shares = other_verdicts(losses)
            half, most = np.quantile(shares, [0.5, 0.95])
            text += (
                f"; other than fresh: {shares.mean():.1%} of draws, at most {half:.1%} of the other networks"
                f" in half of the draws, {most:.1%} in 95 of 100, {shares.max():.1%} in the worst"
            )
        print(text)


def main() -> int:
    """Measures or reads, and returns the exit code."""
    parser = argparse.ArgumentParser(description="How many fresh networks a probe calls other than fresh.")
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--csv", type=pathlib.Path, help="a table of all networks to measure and write")
    group.add_argument("--read", type=pathlib.Path, help="a table of --csv, to print its shares")
    options = parser.parse_args()
    return exit_code(lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    found = read(options.read) if options.read else measure()
    if options.csv:
        write(options.csv, found)
    _tell(found)


if __name__ == "__main__":
    sys.exit(main())
