"""Figs. 2 and 14: curvature and gradient covariance along training."""

import functools

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from tfplastic.reports._frames import floats, groups, where
from tfplastic.reports.figures import FIGURES, _sources, forms
from tfplastic.reports.paper import paper_name
from tfplastic.reports.reproduction import numbers
from tfplastic.reports.reproduction.committed import Committed
from tfplastic.reports.reproduction.result import Claim, Drawing, Result
from tfplastic.reports.runs import Runs
from tfplastic.reports.statistics.factorial import with_factors

_RANK = "diagnostics/gradient_effective_rank/all"
_INTERFERENCE = "diagnostics/task_gradient_interference/all"
_TASK_COVARIANCE = "diagnostics/task_gradient_covariance/all"
_DISTANCE = "diagnostics/distance_from_init/all"
_GROWS, _SHRINKS = 1.05, 0.8  # of the value at the start: by as much as no noise of these estimates is
_SCALARS = {"largest eigenvalue": _sources.SHARPNESS, "effective rank of C_k": _RANK}
_FIG14 = ("environment", "intervention")


def figure_2(committed: Committed) -> Result:
    """Judges sharpness, effective rank and interference of networks and of their Brownian twins."""
    selection = committed.select(2)
    runs = selection.runs
    if _sources.SHARPNESS not in runs.tags() or _sources.of_twin(_sources.SHARPNESS) not in runs.tags():
        return Result(selection)
    sharpness, of_twin = (
        _ratios(runs, _sources.SHARPNESS),
        _ratios(runs, _sources.of_twin(_sources.SHARPNESS)),
    )
    rank, twin_rank = _ratios(runs, _RANK), _ratios(runs, _sources.of_twin(_RANK))
    claims = [
        Claim(
            "outliers_grow",
            "outlying eigenvalues grow far more under gradient descent than under Brownian motion",
            f"the largest eigenvalue grows {numbers.several(sharpness, 1)} times, the twin's"
            f" {numbers.several(of_twin, 2)} times",
            sharpness.min() > 2 * of_twin.max(),
        ),
        Claim(
            "twin_grows",
            "the spectral norm rises under Brownian motion, too",
            f"{numbers.several(of_twin, 2)} times",
            of_twin.mean() > _GROWS,
        ),
        Claim(
            "gradients_align",
            "gradients align with few directions under gradient descent alone",
            f"effective rank of C_k, last over first: {numbers.several(rank, 2)}, the twin's"
            f" {numbers.several(twin_rank, 2)}",
            rank.max() < _SHRINKS and twin_rank.min() > _SHRINKS,
        ),
        _interference(runs),
    ]
    found = (
        f"largest eigenvalue grows {sharpness.mean():.1f} times, the twin's"
        f" {of_twin.mean():.1f}; effective rank of C_k changes"
    )
    found += f" to {rank.mean():.2f} and {twin_rank.mean():.2f} of its initial value"
    caption = (
        "Medians of seeds along training; thin lines single runs. Brownian motion makes"
        " random steps as long as"
    )
    caption += " gradient descent's, from the same weights."
    drawings = [Drawing("fig02_scalars", caption, functools.partial(_draw_scalars, runs), (8, 3.2))]
    if not FIGURES[2].lacks(runs):
        caption = (
            "Densities of the Hessian's eigenvalues on one axis, and C_k ordered by"
            " clusters, of the first seed."
        )
        drawings.insert(
            0, Drawing("fig02", caption, functools.partial(FIGURES[2].draw, runs), FIGURES[2].size)
        )
        if _TASK_COVARIANCE in runs.array_tags():
            caption = (
                "The same with C_k of the task's loss, whose entries have no random signs; it is not measured"
                " of the twin."
            )
            draw = functools.partial(FIGURES[2].draw, runs, covariance=_TASK_COVARIANCE)
            drawings.insert(1, Drawing("fig02_task", caption, draw, FIGURES[2].size))
    return Result(selection, claims, found, drawings, [_twins(runs)])


def _interference(runs: Runs) -> Claim:
    paper = "negative interference between transitions grows under gradient descent alone"
    if _INTERFERENCE not in runs.tags():
        ours = (
            "these runs have C_k of the objective with noise alone, half of whose entries"
            " are negative for any network"
        )
        return Claim("interference_grows", paper, ours, None)
    network, twin = (
        numbers.first_and_last(runs, tag) for tag in (_INTERFERENCE, _sources.of_twin(_INTERFERENCE))
    )
    ours = f"negative entries of C_k of the task's loss: {numbers.several(network[0])} at the start,"
    ours += f" {numbers.several(network[1])} at the end"
    grown = float(network[1].mean() - network[0].mean())
    if not len(twin[1]):
        ours += "; not measured for the twin, because the task's loss is that of its own network"
        return Claim("interference_grows", paper, ours, None if grown > 0 else False)
    ours += f", the twin {numbers.several(twin[1])}"
    of_twin = float(twin[1].mean() - twin[0].mean())
    return Claim("interference_grows", paper, ours, grown > max(0.0, of_twin))


def _ratios(runs: Runs, tag: str) -> np.ndarray:
    first, last = numbers.first_and_last(runs, tag)
    return last / first


def _twins(runs: Runs) -> str:
    rows = []
    names = {"distance from the initial weights": _DISTANCE, **_SCALARS}
    for name, tag in names.items():
        network, twin = numbers.first_and_last(runs, tag), numbers.first_and_last(runs, _sources.of_twin(tag))
        rows.append([name, *(numbers.several(each, 2) for each in (network[0], network[1], twin[1]))])
    _, accuracy = numbers.first_and_last(runs, _sources.ACCURACY)
    rows.append(["greedy accuracy", "", numbers.several(accuracy, 2), ""])
    rows.append(["runs", "", numbers.links(runs), ""])
    return numbers.table(["", "at the start", "network at the end", "twin at the end"], rows)


def _draw_scalars(runs: Runs, ax: Axes) -> Axes:
    for panel, (name, tag) in zip(forms.panels(ax, 1, 2)[0], _SCALARS.items(), strict=True):
        parts = [
            runs.scalars(each).assign(arm=label)
            for each, label in ((tag, "gradient descent"), (_sources.of_twin(tag), "Brownian motion"))
        ]
        forms.curves(pd.concat(parts, ignore_index=True), panel)
        panel.set(xlabel="gradient steps", title=name)
        panel.set_ylim(bottom=0)
        panel.legend()
    return ax


def figure_14(committed: Committed) -> Result:
    """Judges the largest eigenvalue along training, with layer normalization and without."""
    selection = committed.select(14)
    runs = selection.runs
    if _sources.SHARPNESS not in runs.tags():
        return Result(selection)
    rows = with_factors(runs.scalars(_sources.SHARPNESS), _FIG14)
    growth = {(environment, arm): _growth(of_arm) for (environment, arm), of_arm in groups(rows, [*_FIG14])}
    claims = []
    for environment in dict.fromkeys(environment for environment, _ in growth):
        if {(environment, "none"), (environment, "layer_norm")} <= set(growth):
            none, norm = growth[environment, "none"], growth[environment, "layer_norm"]
            ours = (
                f"from its lowest value on it grows {numbers.several(norm, 1)} times with it,"
                f" {numbers.several(none, 1)} times without"
            )
            name = paper_name(environment)
            text = f"{name}: layer normalization keeps the largest eigenvalue from growing"
            claims.append(Claim(f"{environment}_stays", text, ours, norm.mean() < none.mean() / 2))
    found = "; ".join(
        f"{paper_name(environment)}, {paper_name(arm)}: grows {values.mean():.1f} times"
        for (environment, arm), values in growth.items()
    )
    table = numbers.table(
        ["environment", "intervention", "first", "lowest", "last", "seeds"],
        [
            _row(where(rows, (rows["environment"] == e) & (rows["intervention"] == i)), runs)
            for e, i in growth
        ],
    )
    drawing = Drawing(
        "fig14",
        "The largest eigenvalue of the Hessian: medians of seeds, thin lines single runs.",
        functools.partial(FIGURES[14].draw, runs, factors=_FIG14),
        FIGURES[14].size,
    )
    return Result(selection, claims, found if claims else "", [drawing], [table])


def _growth(rows: pd.DataFrame) -> np.ndarray:
    """Returns the largest value of each run after its lowest one, relative to that.

    Not relative to the first: a fresh network with layer normalization starts far above the values of the
    first steps of training, which would hide its growth.
    """
    return np.array([each[each.argmin() :].max() / each.min() for each in _series(rows)])


def _row(rows: pd.DataFrame, runs: Runs) -> list[str]:
    series = _series(rows)
    first = rows.iloc[0]
    names = set(rows["run"])
    values = [[each[0] for each in series], [each.min() for each in series], [each[-1] for each in series]]
    texts = [numbers.several(each, 1) for each in values]
    chosen = runs.where(lambda run: run.name in names)
    return [
        paper_name(first["environment"]),
        paper_name(first["intervention"]),
        *texts,
        numbers.links(chosen),
    ]


def _series(rows: pd.DataFrame) -> list[np.ndarray]:
    """Returns the values of each run by ascending step."""
    return [floats(of_run.sort_values("step"), "value") for _, of_run in groups(rows, "run")]
