"""Runs by the parts of their arms, and the probe losses of each such cell."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from tfplastic._checks import check_instance, check_sequence
from tfplastic.reports import aggregate
from tfplastic.reports._frames import check_columns, floats, groups
from tfplastic.reports.runs import Runs

PROBE_LOSS = "probe/final_loss"
"""Tag of the loss at the end of a probe, the l(theta*) of the paper's Eq. 5."""
FACTORS = ("data", "architecture", "intervention")


def with_factors(rows: pd.DataFrame, factors: Sequence[str]) -> pd.DataFrame:
    """Returns `rows` with a column for each part of the arm's name, parts being joined by `-`.

    Args:
        rows: rows with the column `arm`, of which the part after the last `/` counts.
        factors: names of the parts.

    Raises:
        ValueError: an arm has another number of parts.

    Example:
        >>> import pandas as pd
        >>> from tfplastic.reports import aggregate
        >>> from tfplastic.reports.statistics.factorial import with_factors
        >>> rows = with_factors(pd.DataFrame({'arm': ['grid/cnn-two_hot']}), ['architecture', 'intervention'])
        >>> rows.iloc[0].tolist()
        ['grid/cnn-two_hot', 'cnn', 'two_hot']
    """
    check_columns("rows", rows, ["arm"])
    check_sequence("factors", factors, "['data', 'architecture']")
    parts = [str(arm).rpartition("/")[2].split("-") for arm in rows["arm"]]
    for arm, of_arm in zip(rows["arm"], parts, strict=True):
        if len(of_arm) != len(factors):
            rule = f"must have names of {len(factors)} parts joined by '-': {', '.join(factors)}"
            raise ValueError(f"Arms {rule}. Received: {arm!r}")
    columns = {factor: [of_arm[index] for of_arm in parts] for index, factor in enumerate(factors)}
    return rows.assign(**columns)


def arm_factors(runs: Runs, factors: Sequence[str]) -> dict[str, dict[str, str]]:
    """Returns {arm: {factor: part of its name}}, see `with_factors`."""
    rows = with_factors(pd.DataFrame({"arm": runs.arms}), factors).to_dict("records")
    return {str(row["arm"]): {factor: str(row[factor]) for factor in factors} for row in rows}


def probe_losses(runs: Runs, tag: str = PROBE_LOSS) -> pd.DataFrame:
    """Returns the rise of the probe loss of each run during training.

    Args:
        runs: with at least one probe each; a run with none has no row.
        tag: tag of the loss at the end of a probe.

    Returns:
        Columns `run`, `arm`, `seed`, `initial_loss`, of the run's first probe, `final_loss`, of its last, and
        `plasticity_loss`, their difference: above 0 where plasticity was lost. NaN with one probe only.
    """
    check_instance("runs", runs, Runs, "read_runs('results')")
    check_instance("tag", tag, str, "'probe/final_loss'")
    rows = runs.scalars(tag).sort_values("step", kind="stable")
    columns = ["run", "arm", "seed", "initial_loss", "final_loss", "plasticity_loss"]
    found = []
    for run, of_run in groups(rows, "run"):
        losses, first = floats(of_run, "value"), of_run.iloc[0]
        change = losses[-1] - losses[0] if len(losses) > 1 else float("nan")
        found.append([run, first["arm"], first["seed"], losses[0], losses[-1], change])
    return pd.DataFrame(found, columns=columns)


def probe_cells(
    runs: Runs, factors: Sequence[str] = FACTORS, tag: str = PROBE_LOSS, **fixed: str
) -> pd.DataFrame:
    """Returns the mean probe losses of each data, architecture and intervention, over its runs.

    The input of `agreement` and of the heat maps.

    Args:
        runs: see `probe_losses`.
        factors: parts of the arms' names. Runs that differ in other parts than `data`, `architecture` and
            `intervention` are of one cell.
        tag: see `probe_losses`.
        **fixed: values of these three that all runs share and that are not part of the names, such as
            `data='mnist'`.

    Returns:
        Columns `data`, `architecture`, `intervention`, `plasticity_loss`, `low` and `high` (the bounds of
        that by `aggregate.bootstrap`: the range of fewer than six runs; NaN for one), `initial_loss`,
        `final_loss`, `runs` (their number). A loss that is NaN in a run is NaN in its cell.

    Raises:
        ValueError: an arm has another number of parts, or one of the three is neither in the names nor fixed.
    """
    rows = with_factors(probe_losses(runs, tag), factors).assign(**fixed)
    absent = [name for name in FACTORS if name not in rows]
    if absent:
        raise ValueError(
            f"`factors` must have {', '.join(FACTORS)}, if not fixed. Received: no {absent[0]!r}"
        )
    losses = ["plasticity_loss", "initial_loss", "final_loss"]
    cells = []
    for key, of_cell in groups(rows, list(FACTORS)):
        means = {name: floats(of_cell, name).mean() for name in losses}
        low, high = _bounds(floats(of_cell, "plasticity_loss"))
        cells.append(
            {**dict(zip(FACTORS, key, strict=True)), **means, "low": low, "high": high, "runs": len(of_cell)}
        )
    return pd.DataFrame(cells, columns=[*FACTORS, "plasticity_loss", "low", "high", *losses[1:], "runs"])


def _bounds(values: np.ndarray) -> tuple[float, float]:
    """Returns the bounds of the mean over runs; NaN for one run."""
    if len(values) < 2:
        return float("nan"), float("nan")
    interval = aggregate.bootstrap({"": values}, aggregate.mean)
    return interval.low, interval.high
