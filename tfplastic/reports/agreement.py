"""Agreement of our interventions with the paper's."""

import numpy as np
import pandas as pd

from tfplastic import seeds
from tfplastic._checks import check_fits_in_memory, check_integer, check_positive_integer
from tfplastic.reports._frames import check_columns
from tfplastic.reports.paper import CELL, paper_cells
from tfplastic.reports.statistics.spearman import spearman

NUM_RUNS = 3
_NONE = "none"
_LOSSES = ("plasticity_loss", "final_loss")
_FEWEST = 3  # cells that a correlation is of
_MEASURES = (
    "sign_of_clear_differences",
    "sign_of_all_differences",
    "rho_of_losses_of_plasticity",
    "rho_of_final_losses",
)


def agreement(
    ours: pd.DataFrame,
    paper: pd.DataFrame | None = None,
    num_runs: int = NUM_RUNS,
    num_simulations: int = 1_000,
    seed: int = 0,
) -> pd.DataFrame:
    """Compares runs with the heat maps of the paper, Figs. 8 to 11, and with the ceiling of a replication.

    A cell is an intervention in a column, a column an architecture on some data. The measures:

    - `sign_of_clear_differences`: of the cells whose difference to the column's 'none' in the paper exceeds
      two standard errors, sqrt((s^2 + s_none^2) / `num_runs`) each, s the printed spreads: the fraction
      whose difference to 'none' has the same sign in ours. A difference of exactly 0 agrees with none.
    - `sign_of_all_differences`: the same of all cells but 'none'.
    - `rho_of_losses_of_plasticity`, `rho_of_final_losses`: Spearman's rank correlation over all cells, of the
      increase of the probe loss and of the probe loss at the end of training.

    The ceiling is the mean of a measure over simulated replications, in which both sides are noisy: a printed
    value is the true mean plus normal noise with the standard deviation s / sqrt(`num_runs`), and so is a
    replication's. As nothing else is known of the true mean, a replication is normal around the printed value
    with the variance 2 s^2 / `num_runs`. It is compared with the printed values, as ours is. The final
    losses, whose spreads the paper does not print, get the noise of the differences. Noise in the replication
    alone, as if the printed values were the truth, would give ceilings too high to reach. Where a measure is
    low and so is its ceiling, more runs are needed to decide.

    Args:
        ours: columns `data`, `architecture`, `intervention`, `plasticity_loss`, `final_loss`, a row for each
            cell, values that are means over runs. Cells that the paper lacks are ignored; NaN makes
            a cell disagree in sign, and a correlation NaN.
        paper: cells of the paper, from `paper_cells`.
        num_runs: runs of the paper per cell. The paper does not say; 3 is assumed, its number on Atari.
        num_simulations: number of simulations of the ceiling.
        seed: seed of the ceiling.

    Returns:
        A row for each measure: `measure`, `cells` (how many there were to compare), `ours`, `ceiling`, `low`
        and `high`, the 2.5th and 97.5th percentile of the simulated replications, and `fifth`, their 5th
        percentile, which 19 of 20 replications reach. NaN where there is no such cell, or a
        correlation is of fewer than three.

    Raises:
        ValueError: a column of `ours` is missing, or a cell occurs twice; or a count is below 1.
    """
    check_integer("num_runs", num_runs, 1, 10**9)
    check_positive_integer("num_simulations", num_simulations)
    paper = paper_cells() if paper is None else paper
    check_columns("paper", paper, [*CELL, "spread", *_LOSSES])
    cells = _common_cells(check_columns("ours", ours, [*CELL, *_LOSSES]), paper)
    check_fits_in_memory("num_simulations", num_simulations, 64 * num_simulations * len(cells))
    generator = seeds.generator(seeds.derive(check_integer("seed", seed), "reports", "replications"))
    deviation = cells["spread"].to_numpy() * np.sqrt(2 / num_runs)  # of a replication from the printed value
    noise = deviation * generator.standard_normal((2, num_simulations, len(cells)))
    simulated = _measures(
        cells,
        cells["plasticity_loss"].to_numpy() + noise[0],
        cells["final_loss"].to_numpy() + noise[1],
        num_runs,
    )
    found = _measures(
        cells, cells["our_plasticity_loss"].to_numpy(), cells["our_final_loss"].to_numpy(), num_runs
    )
    rows = []
    for name, (value, count) in found.items():
        low, fifth, high = np.percentile(simulated[name][0], [2.5, 5, 97.5])
        ceiling = np.mean(simulated[name][0])
        bounds = {"low": low, "high": high, "fifth": fifth}
        rows.append({"measure": name, "cells": count, "ours": value, "ceiling": ceiling, **bounds})
    return pd.DataFrame(rows).astype({"ours": float})


def missing_cells(ours: pd.DataFrame, paper: pd.DataFrame | None = None) -> pd.DataFrame:
    """Returns the paper's cells that `ours` lacks: columns `data`, `architecture`, `intervention`."""
    cells = check_columns("paper", paper_cells() if paper is None else paper, CELL)[CELL]
    check_columns("ours", ours, CELL)
    merged = cells.merge(ours[CELL], how="left", on=CELL, indicator=True)
    return merged.loc[merged["_merge"] == "left_only", CELL].reset_index(drop=True)


def _common_cells(ours: pd.DataFrame, paper: pd.DataFrame) -> pd.DataFrame:
    if ours.duplicated(CELL).any():
        first = tuple(ours.loc[ours.duplicated(CELL), CELL].iloc[0])
        raise ValueError(f"`ours` must have each cell once. Received: {first} again")
    renamed = ours[CELL].assign(
        our_plasticity_loss=ours["plasticity_loss"], our_final_loss=ours["final_loss"]
    )
    return paper.merge(renamed, on=CELL).reset_index(drop=True)


def _measures(
    cells: pd.DataFrame, plasticity_loss: np.ndarray, final_loss: np.ndarray, num_runs: int
) -> dict[str, tuple[np.ndarray, int]]:
    """Returns {measure: (its value `[...]`, number of cells)} of values `[..., cells]`."""
    rows, baselines = _with_baselines(cells)
    printed, spread = cells["plasticity_loss"].to_numpy(), cells["spread"].to_numpy()
    expected = printed[rows] - printed[baselines]
    error = np.sqrt((spread[rows] ** 2 + spread[baselines] ** 2) / num_runs)
    agree = np.sign(plasticity_loss[..., rows] - plasticity_loss[..., baselines]) == np.sign(expected)
    clear = np.abs(expected) > 2 * error
    enough = len(cells) >= _FEWEST
    results = (
        (_mean(agree[..., clear]), int(clear.sum())),
        (_mean(agree), len(rows)),
        (spearman(plasticity_loss, printed) if enough else _mean(agree[..., :0]), len(cells)),
        (spearman(final_loss, cells["final_loss"]) if enough else _mean(agree[..., :0]), len(cells)),
    )
    return dict(zip(_MEASURES, results, strict=True))


def _with_baselines(cells: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Returns the rows of cells with a 'none' in their column, itself left out, and that row."""
    columns = list(zip(cells["data"], cells["architecture"], strict=True))
    is_none = (cells["intervention"] == _NONE).to_numpy()
    of_column = {column: index for index, column in enumerate(columns) if is_none[index]}
    rows = [index for index, column in enumerate(columns) if not is_none[index] and column in of_column]
    return np.array(rows, np.int64), np.array([of_column[columns[index]] for index in rows], np.int64)


def _mean(values: np.ndarray) -> np.ndarray:
    return values.mean(-1) if values.shape[-1] else np.full(values.shape[:-1], np.nan)
