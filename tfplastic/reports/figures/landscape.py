"""Figs. 2, 14, 21 and 22: curvature and gradient covariance along training."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from tfplastic.reports._frames import where
from tfplastic.reports.figures import _sources, forms
from tfplastic.reports.figures.spectra import common_axis
from tfplastic.reports.paper import paper_name
from tfplastic.reports.runs import Arrays, Runs
from tfplastic.reports.statistics.factorial import arm_factors, with_factors
from tfplastic.reports.statistics.factors import chosen_factors

_ENVIRONMENTS = ("environment", "intervention")


def figure_2(runs: Runs, ax: Axes, covariance: str = _sources.COVARIANCE) -> Axes:
    """Draws spectra and gradient covariances of gradient descent and Brownian motion, early and late.

    Fig. 2 of the paper, section 4.2. A column for each arm, and one for its Brownian twin where it has one:
    on top the density of the Hessian's eigenvalues at the first and the last step that has one, all smoothed
    by one kernel on one axis, below C_k, whose rows and columns are examples ordered by clusters, at the
    first step after 0 and at the last that have one. Of several seeds the first run is shown, since an
    average of spectra is not a spectrum.

    Args:
        runs: with spectra, by `bin/diagnose spectrum` or of a training run, and arrays of `covariance`.
        ax: axes to draw on.
        covariance: tag of C_k, key `matrix`.

    Raises:
        ValueError: no run has one of the two.
    """
    spectra = _first_runs(_sources.spectra(runs))
    matrices = _first_runs(_sources.arrays(runs, covariance))
    twin_spectra = _first_runs(runs.arrays(_sources.TWIN_SPECTRUM))
    twin_matrices = _first_runs(runs.arrays(_sources.of_twin(covariance)))
    arms = [arm for arm in runs.arms if arm in twin_spectra or arm in twin_matrices]
    networks = [
        (title, of_spectra.get(arm, []), of_matrices.get(arm, []))
        for arm in runs.arms
        for title, of_spectra, of_matrices in (
            (paper_name(arm), spectra, matrices),
            (_motion(arm, len(arms)), twin_spectra, twin_matrices),
        )
        if arm in of_spectra or arm in of_matrices
    ]
    last = max(place for place, (_, _, files) in enumerate(networks) if files)  # column with matrices
    axis = common_axis([file for _, files, _ in networks for file in _ends(files)])
    top, *below = forms.panels(ax, 3, len(networks), gap=0.09)
    for column, (title, of_spectra, of_matrices) in enumerate(networks):
        ends = _ends(of_spectra)
        forms.densities(ends, top[column], [f"step {file.step:,}" for file in ends], axis)
        top[column].set_title(title)
        top[column].legend()
        places = [row[column] for row in below]
        chosen = _ends(_after_0(of_matrices))
        for panel in places[len(chosen) :]:
            panel.set_axis_off()
        for file, panel in zip(chosen, places, strict=False):
            forms.matrix(file.values["matrix"], panel)
            panel.set_title(f"C_k, step {file.step:,}")
            if column == 0:
                panel.set_ylabel("example")
            if panel is below[-1][column]:
                panel.set_xlabel("example")
            if column == last:
                forms.color_bar(panel, "cosine of gradients")
    _share_limits([panel for panel, (_, files, _) in zip(top, networks, strict=True) if files])
    return ax


def figure_14(
    runs: Runs,
    ax: Axes,
    factors: Sequence[str] | None = None,
    sharpness: str = _sources.SHARPNESS,
) -> Axes:
    """Draws the largest eigenvalue of the Hessian along training, a panel for each environment.

    Fig. 14 of the paper, appendix B.1: with layer normalization it does not grow. Medians over seeds with
    their `aggregate.band`.

    Args:
        runs: with scalars of `sharpness`.
        ax: axes to draw on.
        factors: parts of the arms' names, 'environment' and 'intervention' among them, which is the default
            where the names do not say more.
        sharpness: tag of the eigenvalue.

    Raises:
        ValueError: no run has it, or an arm's name has other parts.
    """
    scalars = _sources.scalars(runs, sharpness)
    rows = with_factors(scalars, chosen_factors(runs, factors, _ENVIRONMENTS, _ENVIRONMENTS))
    rows = rows.assign(intervention=[paper_name(name) for name in rows["intervention"]])
    environments = list(dict.fromkeys(rows["environment"]))
    colors = forms.group_colors(rows["intervention"])
    row = forms.panels(ax, 1, len(environments))[0]
    for panel, environment in zip(row, environments, strict=True):
        forms.curves(where(rows, rows["environment"] == environment), panel, "intervention", colors)
        panel.set(title=paper_name(environment), xlabel="gradient steps", ylabel="largest eigenvalue")
        panel.legend()
    _share_limits(row)
    return ax


def figure_21(runs: Runs, ax: Axes, factors: Sequence[str] = ("game", "intervention")) -> Axes:
    """Draws spectra of the Hessian of the first half of the games, each with a line for each arm.

    Figs. 21 and 22 of the paper, appendix B.3, one seed for each game; which games are in which of the two
    figures it does not say: here they are split in half, by name. The last spectrum of the first run is
    shown.

    Args:
        runs: with spectra, by `bin/diagnose spectrum` or of a training run.
        ax: axes to draw on.
        factors: parts of the arms' names, 'game' and 'intervention' among them.

    Raises:
        ValueError: no run has a spectrum, or an arm's name has other parts.
    """
    return _spectra_of_games(runs, ax, factors, second_half=False)


def figure_22(runs: Runs, ax: Axes, factors: Sequence[str] = ("game", "intervention")) -> Axes:
    """Draws `figure_21` for the second half of the games."""
    return _spectra_of_games(runs, ax, factors, second_half=True)


def _spectra_of_games(runs: Runs, ax: Axes, factors: Sequence[str], second_half: bool) -> Axes:
    files = [of_arm[-1] for of_arm in _first_runs(_sources.spectra(runs)).values()]
    parts = arm_factors(runs, factors)
    games = sorted({parts[file.run.arm]["game"] for file in files})
    half = (len(games) + 1) // 2
    shown = games[half:] if second_half else games[:half]
    columns = max(1, int(np.ceil(np.sqrt(len(shown)))))
    grid = forms.panels(ax, max(1, -(-len(shown) // columns)), columns)
    panels = [panel for row in grid for panel in row]
    for panel in panels[len(shown) :]:
        panel.set_axis_off()
    for index, (game, panel) in enumerate(zip(shown, panels, strict=False)):
        of_game = [file for file in files if parts[file.run.arm]["game"] == game]
        names = [paper_name(parts[file.run.arm]["intervention"]) for file in of_game]
        forms.densities(of_game, panel, names)
        panel.set_title(game)
        if index % columns:
            panel.set_ylabel("")
        if index + columns < len(shown):
            panel.set_xlabel("")
        panel.legend(fontsize=7, loc="upper right")
    return ax


def _first_runs(files: list[Arrays]) -> dict[str, list[Arrays]]:
    """Returns {arm: the files of its first run that has some, by step}."""
    found: dict[str, list[Arrays]] = {}
    for file in files:
        of_arm = found.setdefault(file.run.arm, [])
        if not of_arm or of_arm[0].run is file.run:
            of_arm.append(file)
    return found


def _motion(arm: str, num_arms: int) -> str:
    """Returns the paper's name of an arm's twin."""
    return "Brownian motion" if num_arms == 1 else f"Brownian motion, {paper_name(arm)}"


def _ends(files: list[Arrays]) -> list[Arrays]:
    return files if len(files) < 2 else [files[0], files[-1]]


def _after_0(files: list[Arrays]) -> list[Arrays]:
    """Leaves out the initialization, where a network equals its twin, if two others remain."""
    later = [file for file in files if file.step]
    return later if len(later) > 1 else files


def _share_limits(panels: Sequence[Axes]) -> None:
    """Gives all axes the smallest limits that hold each one's contents; the first alone has numbers."""
    for limits, set_limits in ((Axes.get_xlim, Axes.set_xlim), (Axes.get_ylim, Axes.set_ylim)):
        ends = [limits(panel) for panel in panels]
        for panel in panels:
            set_limits(panel, min(low for low, _ in ends), max(high for _, high in ends))
    for panel in panels[1:]:
        panel.set_ylabel("")
        panel.tick_params(labelleft=False)
