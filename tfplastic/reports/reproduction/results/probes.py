"""Figs. 4, 17 and 18: speed at which networks fit new targets, checkpoint by checkpoint."""

import functools
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from tfplastic.reports._frames import floats, groups, where
from tfplastic.reports.figures import FIGURES, _sources, forms
from tfplastic.reports.paper import paper_name
from tfplastic.reports.reproduction import numbers
from tfplastic.reports.reproduction.committed import Committed
from tfplastic.reports.reproduction.result import Claim, Drawing, Result
from tfplastic.reports.reproduction.results.probe_tables import probe_table
from tfplastic.reports.runs import Runs
from tfplastic.reports.statistics.factorial import PROBE_LOSS, probe_losses, with_factors

_AREA = "probe/curve_area"
_SCALARS = {"loss at the end of the probe": PROBE_LOSS, "mean loss along the probe": _AREA}
_FACTORS = ("environment", "intervention")
_NORMED = ("layer_norm", "two_hot+layer_norm", "two_hot")
_WIDE = 0.1  # spread of increases, of b = 0.5


def figure_4(committed: Committed) -> Result:
    """Judges the loss at the end of a probe, the mean along it, and whether it still falls there."""
    selection = committed.select(4)
    runs = selection.runs
    if PROBE_LOSS not in runs.tags():
        return Result(selection)
    steps = sorted(set(runs.scalars(PROBE_LOSS)["step"]))
    ends, areas = (_by_step(runs, tag) for tag in (PROBE_LOSS, _AREA))
    claims = [
        Claim(
            "slopes_flatten",
            "later checkpoints fall more slowly",
            f"mean loss along the probe at steps {', '.join(f'{step:,}' for step in steps)}:"
            f" {', '.join(f'{value:.3f}' for value in areas)}",
            bool(np.all(np.diff(areas) > 0)),
        ),
        Claim(
            "ends_higher",
            "checkpoint 0 ends near zero, the last above 0.1",
            f"{', '.join(f'{value:.3f}' for value in ends)}",
            ends[0] < 0.1 < ends[-1],
        ),
        _no_plateau(runs),
    ]
    losses = probe_losses(runs)
    found = (
        f"probe loss {losses['initial_loss'].mean():.3f} to"
        f" {losses['final_loss'].mean():.3f} (paper: 0.16 to 0.47)"
    )
    if FIGURES[4].lacks(runs):
        caption = (
            "The loss at the end of the probe and its mean along the probe, by the step of"
            " training: medians of seeds."
        )
        drawing = Drawing("fig04_scalars", caption, functools.partial(_draw_scalars, runs), (8, 3.2))
    else:
        caption = "Probe curves: means over targets and seeds, shades between the quartiles."
        drawing = Drawing("fig04", caption, functools.partial(FIGURES[4].draw, runs), FIGURES[4].size)
    by_step = [
        [f"{step:,}", *(numbers.several(_values(runs, tag, step)) for tag in (PROBE_LOSS, _AREA))]
        for step in steps
    ]
    tables = [
        numbers.table(
            ["gradient steps", "loss at the end of the probe", "mean loss along the probe"], by_step
        ),
        probe_table(runs, ("intervention",)),
    ]
    return Result(selection, claims, found, [drawing], tables, [numbers.NOTE])


def _no_plateau(runs: Runs) -> Claim:
    """Judges whether the last checkpoint's curve still falls at the end of the probe."""
    files = runs.arrays(_sources.PROBE_CURVES)
    paper = "no early plateau: later checkpoints still improve at the end of the probe"
    if not files:
        return Claim("no_plateau", paper, "the curves of these runs are not committed", None)
    last = max(file.step for file in files)
    drops = []
    for file in files:
        if file.step == last:
            curve = np.asarray(file.values["curves"], np.float64).mean(axis=0)
            quarter = max(1, len(curve) // 4)
            drops.append(1 - curve[-quarter:].mean() / curve[-2 * quarter : -quarter].mean())
    ours = (
        "from the third to the last quarter of the probe the loss falls by"
        f" {numbers.several(100 * np.array(drops), 0)} %"
    )
    return Claim("no_plateau", paper, ours, float(np.mean(drops)) > 0.02)


def _values(runs: Runs, tag: str, step: int) -> np.ndarray:
    rows = runs.scalars(tag)
    return floats(where(rows, rows["step"] == step), "value")


def _by_step(runs: Runs, tag: str) -> np.ndarray:
    rows = runs.scalars(tag).sort_values("step", kind="stable")
    return np.array([floats(of_step, "value").mean() for _, of_step in groups(rows, "step")])


def _draw_scalars(runs: Runs, ax: Axes) -> Axes:
    for panel, (name, tag) in zip(forms.panels(ax, 1, 2)[0], _SCALARS.items(), strict=True):
        forms.curves(runs.scalars(tag), panel, label="{1}")
        panel.set(xlabel="gradient steps", title=name)
        panel.set_ylim(bottom=0)
        panel.legend()
    return ax


def figure_17(committed: Committed) -> Result:
    """Judges seeds and variants on MNIST."""
    return _variants(committed, 17)


def figure_18(committed: Committed) -> Result:
    """Judges seeds and variants on CIFAR-10."""
    return _variants(committed, 18)


def _variants(committed: Committed, number: int) -> Result:
    selection = committed.select(number)
    runs = selection.runs
    if PROBE_LOSS not in runs.tags():
        return Result(selection)
    rows = with_factors(probe_losses(runs), _FACTORS)
    increases = {
        (str(environment), str(arm)): floats(of_arm, "plasticity_loss")
        for (environment, arm), of_arm in groups(rows, [*_FACTORS])
    }
    drawings: Sequence[Drawing] = ()
    if not FIGURES[number].lacks(runs):
        draw = functools.partial(FIGURES[number].draw, runs, factors=_FACTORS)
        caption = (
            "Probe curves of single seeds, a row for each environment and seed: means over targets. The axis"
            " ends at the largest loss after the first tenth of the steps."
        )
        lines = len({(run.arm.partition("-")[0], run.seed) for run in runs})
        drawings = [Drawing(f"fig{number}", caption, draw, (12, 2.3 * lines + 0.5))]
    claims = _variant_claims(increases)
    found = "; ".join(
        f"{paper_name(environment)}, {paper_name(arm)} {values.mean():z.2f}"
        for (environment, arm), values in increases.items()
    )
    found = f"increase of the probe loss: {found}"
    return Result(selection, claims, found, drawings, [probe_table(runs, _FACTORS)], [numbers.NOTE])


def _spread_claim(name: str, paper: str, of: str, spreads: Sequence[float]) -> Claim:
    """Judges the largest less the smallest increase of each group, `spreads`."""
    if not spreads:
        return Claim(name, paper, f"too few runs to compare {of}", None)
    wide = sum(spread > _WIDE for spread in spreads)
    ours = f"largest less smallest increase of {of}: above {_WIDE} in {wide} of {len(spreads)} cases"
    return Claim(name, paper, f"{ours}, {max(spreads):.2f} at most", wide > len(spreads) / 2)


def _variant_claims(increases: Mapping[tuple[str, str], np.ndarray]) -> list[Claim]:
    """Judges the differences of seeds and of variants, and which variants lose less."""
    of_seeds = [float(np.ptp(values)) for values in increases.values() if len(values) > 1]
    means: dict[str, list[float]] = {}
    for (environment, _), values in increases.items():
        means.setdefault(environment, []).append(float(values.mean()))
    of_variants = [float(np.ptp(each)) for each in means.values() if len(each) > 1]
    claims = [
        _spread_claim("seeds_differ", "seeds of one variant differ widely", "a variant's seeds", of_seeds),
        _spread_claim("variants_differ", "variants differ widely", "an MDP's variants", of_variants),
    ]
    compared = [
        (values.mean(), increases[environment, "none"].mean())
        for (environment, arm), values in increases.items()
        if arm in _NORMED and (environment, "none") in increases
    ]
    if compared:
        lower = sum(ours < none for ours, none in compared)
        ours = (
            f"{lower} of {len(compared)} variants lose less than regression without layer norm"
            " in the same environment"
        )
        paper = "layer norm and a two-hot head reduce the loss (section 6.2)"
        claims.append(Claim("variants_lose_less", paper, ours, lower > len(compared) / 2))
    return claims
