"""Claims of the paper's abstract, a line each with our measurement."""

from collections.abc import Mapping, Sequence

import numpy as np

from tfplastic.reports._frames import floats, groups
from tfplastic.reports.figures._sources import DEAD_UNITS, worst_over_layers
from tfplastic.reports.reproduction.committed import Committed
from tfplastic.reports.reproduction.result import Claim, Result
from tfplastic.reports.runs import Runs
from tfplastic.reports.statistics.factorial import FACTORS, PROBE_LOSS, probe_cells, probe_losses

_SMOOTHING = ("two_hot", "layer_norm", "two_hot+layer_norm")
_WEIGHTS = ("shrink_and_perturb", "weight_decay")
_LOST = 0.1  # increase of the probe loss, of b = 0.5
_FEWEST = 6  # agents
_SATURATED = 0.1  # of a layer's units


def claims(committed: Committed, results: Mapping[int, Result]) -> list[Claim]:
    """Returns the four claims.

    Args:
        committed: runs of all figures.
        results: results of all figures.
    """
    cells = Runs([*committed.select(8).runs, *committed.select(9).runs])
    return [
        _curvature(cells, results[2]),
        _of_result(
            "no_statistic",
            "None of the statistics that were proposed before explains it alone.",
            results[3],
            "no_cause",
            "Fig. 3",
        ),
        _smoothing(cells, results),
        _of_result(
            "atari",
            "Layer normalization of a DQN-like agent improves its returns on the Arcade"
            " Learning Environment.",
            results[7],
            "improves",
            "Fig. 7",
        ),
    ]


def _of_result(name: str, paper: str, result: Result, claim_name: str, where: str) -> Claim:
    """Returns a claim that is one of a figure's."""
    claim = next((each for each in result.claims if each.name == claim_name), None)
    if claim is None:
        return Claim(name, paper, f"{where}: not run ({result.selection.progress})", None)
    return Claim(name, paper, f"{where}: {claim.ours}", claim.agrees)


def _curvature(runs: Runs, fig02: Result) -> Claim:
    paper = (
        "Loss of plasticity is deeply connected to changes in the curvature of the loss landscape; it often"
    )
    paper += " occurs without saturated units."
    grown = next((claim for claim in fig02.claims if claim.name == "outliers_grow"), None)
    parts = [f"Fig. 2: under gradient descent {grown.ours}"] if grown else []
    plain = runs.where(lambda run: run.arm.endswith("-none"))
    lost, without = _lost(plain)
    if lost:
        parts.append(
            f"Figs. 8 and 9: {without} of {lost} agents without interventions whose probe loss"
            f" rose by more than {_LOST} have fewer"
            f" than {_SATURATED:.0%} dead units in every layer"
        )
    agrees = bool(grown.agrees) and 2 * without > lost if grown and lost >= _FEWEST else None
    return Claim("curvature", paper, "; ".join(parts) or f"not run ({fig02.selection.progress})", agrees)


def _lost(runs: Runs) -> tuple[int, int]:
    """Returns the number of runs that lost plasticity, and of those of them without dead units."""
    if PROBE_LOSS not in runs.tags():
        return 0, 0
    losses = probe_losses(runs)
    names = {str(row["run"]) for row in losses.to_dict("records") if row["plasticity_loss"] > _LOST}
    dead = worst_over_layers(runs.last(DEAD_UNITS))
    return len(names), sum(
        row["value"] < _SATURATED for row in dead.to_dict("records") if str(row["run"]) in names
    )


def _smoothing(runs: Runs, results: Mapping[int, Result]) -> Claim:
    paper = (
        "Parameterizations that smooth the loss landscape (categorical outputs,"
        " normalization) preserve plasticity"
    )
    paper += " best, better than perturbing and regularizing weights."
    if PROBE_LOSS not in runs.tags():
        there, of = (sum(getattr(results[n].selection, name) for n in (8, 9)) for name in ("there", "of"))
        return Claim("smoothing", paper, f"Figs. 8 and 9: not run ({there} of {of})", None)
    cells = probe_cells(runs, FACTORS)
    smooth, weights = (_differences(cells, arms) for arms in (_SMOOTHING, _WEIGHTS))
    texts = [
        f"{name} {np.mean(values):+.2f} ({len(values)} cells)" if values else f"{name} not run"
        for name, values in (
            ("two-hot, layer norm and both", smooth),
            ("shrink and perturb, weight decay", weights),
        )
    ]
    ours = (
        "Figs. 8 and 9: increase of the probe loss less None's, mean over networks and"
        f" data: {'; '.join(texts)}"
    )
    return Claim(
        "smoothing",
        paper,
        ours,
        bool(np.mean(smooth) < min(0.0, np.mean(weights))) if smooth and weights else None,
    )


def _differences(cells, arms: Sequence[str]) -> list[float]:
    found = []
    for _, column in groups(cells, ["data", "architecture"]):
        increases = dict(zip(column["intervention"], floats(column, "plasticity_loss"), strict=True))
        if "none" in increases:
            found += [increases[arm] - increases["none"] for arm in arms if arm in increases]
    return found
