"""Data that the figures of the paper take from runs."""

import numpy as np
import pandas as pd

from tfplastic.reports.runs import Arrays, Runs

ACCURACY = "evaluation/accuracy"
COVARIANCE = "diagnostics/gradient_covariance/all"
DEAD_UNITS = "diagnostics/dead_units/*"
PROBE_CURVES = "probe/curves"
RETURN = "evaluation/episode_return"
SHARPNESS = "diagnostics/sharpness/all"
SPECTRA = ("spectrum", "diagnostics/hessian_spectral_density/all")
"""Tags of spectra: by `bin/diagnose spectrum`, and of a training run. The first that a run has counts."""
TWIN_SPECTRUM = "brownian_twin/hessian_spectral_density/all"
"""Tag of the spectrum of a Brownian twin."""
TASK = "evaluation/task"
TD_LOSS = "evaluation/td_loss"


def scalars(runs: Runs, tag: str) -> pd.DataFrame:
    """Returns the scalars of a tag or pattern.

    Raises:
        ValueError: no run has any.
    """
    rows = runs.scalars(tag)
    if rows.empty:
        raise ValueError(f"`runs` must have scalars {tag!r}. Received: {len(runs)} runs without")
    return rows


def arrays(runs: Runs, tag: str) -> list[Arrays]:
    """Returns the array files of a tag.

    Raises:
        ValueError: no run has any.
    """
    files = runs.arrays(tag)
    if not files:
        raise ValueError(f"`runs` must have arrays {tag!r}. Received: {len(runs)} runs without")
    return files


def spectra(runs: Runs) -> list[Arrays]:
    """Returns the files of the first of `SPECTRA` that a run has, or of the last and its twin's.

    Raises:
        ValueError: no run has any.
    """
    files: list[Arrays] = []
    for run in runs:
        tags = runs.array_tags(run)
        in_order = SPECTRA[::-1] if TWIN_SPECTRUM in tags else SPECTRA
        files += next((runs.arrays(tag, run) for tag in in_order if tag in tags), [])
    return files or arrays(runs, SPECTRA[0])


def of_twin(tag: str) -> str:
    """Returns the tag of a diagnostic as measured of a network's Brownian twin."""
    return tag.replace("diagnostics/", "brownian_twin/", 1)


def twin_name(arm: str) -> str:
    """Returns the name of the Brownian twins of an arm's networks in figures."""
    return f"twin of {arm}"


def mean_over_layers(rows: pd.DataFrame) -> pd.DataFrame:
    """Returns one row for each run and step: the mean of its tags, NaN if one is."""
    keys = ["run", "arm", "seed", "step"]
    means = rows.groupby(keys, sort=False, dropna=False)["value"].agg(
        lambda values: np.mean(values.to_numpy())
    )
    return means.reset_index()


def worst_over_layers(rows: pd.DataFrame) -> pd.DataFrame:
    """Returns one row for each run and step: the largest of its tags, NaN if one is."""
    keys = ["run", "arm", "seed", "step"]
    largest = rows.groupby(keys, sort=False, dropna=False)["value"].agg(
        lambda values: np.max(values.to_numpy())
    )
    return largest.reset_index()


def spread_out(steps: list[int], count: int) -> list[int]:
    """Returns `count` of the ascending `steps`, with the first and last, evenly spaced in the list."""
    indices = np.unique(np.linspace(0, len(steps) - 1, min(count, len(steps))).round().astype(int))
    return [steps[index] for index in indices]
