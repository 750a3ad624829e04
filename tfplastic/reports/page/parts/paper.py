"""Results of the runs next to the paper's."""

from collections import Counter

import numpy as np
import pandas as pd

from tfplastic.reports import aggregate, style
from tfplastic.reports._frames import floats, where
from tfplastic.reports.agreement import agreement
from tfplastic.reports.figures import FIGURES, _sources, atari, caption, correlates
from tfplastic.reports.page.content import Picture, ReportInput, Section, Table
from tfplastic.reports.page.parts.arms import fixed_factors
from tfplastic.reports.page.parts.twins import twins
from tfplastic.reports.paper import CELL, paper_cells, paper_numbers
from tfplastic.reports.runs import Runs
from tfplastic.reports.statistics.factorial import FACTORS, PROBE_LOSS, arm_factors, probe_cells
from tfplastic.reports.statistics.factors import factors_of
from tfplastic.reports.statistics.falsification import correlations, verdicts

_TITLE = "Compared with the paper"
_RETURN, _TASK, _MDP = "evaluation/episode_return", "evaluation/task", "ClassificationMdpTask."
_LEARNING = {12: "cifar10", 13: "mnist", 15: "mnist", 16: "cifar10"}
_INCREASES, _MAPS, _BRACKETS = (8, 9), range(8, 12), "In brackets the numbers of the paper. "
_MOST_VALUES = 6  # of a factor that splits runs
_FEWEST_RUNS = 6  # to correlate
_MEASURES = {
    "sign_of_clear_differences": "sign of differences to 'none' that are clear in the paper",
    "sign_of_all_differences": "sign of all differences to 'none'",
    "rho_of_losses_of_plasticity": "rank correlation of losses of plasticity",
    "rho_of_final_losses": "rank correlation of final probe losses",
}


def beside_the_paper(contents: ReportInput) -> Section:
    """Compares cells, games, widths and correlates with the paper's."""
    runs = contents.runs
    if len({arm.rpartition("/")[0] for arm in runs.arms}) > 1:
        reason = "These runs are of several folders. Give one as --runs=FOLDER to compare it with the paper."
        return Section(_TITLE, [reason])
    factors = factors_of(runs.arms)
    parts = [
        part
        for part in (
            _cells(runs, factors),
            _games(runs, factors),
            _widths(runs, factors),
            _correlates(runs, factors),
            _instability(runs),
            _landscape(runs),
            *_of_the_form(runs, factors),
        )
        if part is not None
    ]
    if not parts:
        reason = (
            "Nothing to compare: the paper prints numbers for probe losses by data, network and intervention"
            " (Figs. 8 to 11) and for returns on Atari (Fig. 7), and these runs have neither."
        )
        return Section(_TITLE, [reason])
    return Section(
        _TITLE,
        [text for part in parts for text in part.texts],
        pictures=[each for part in parts for each in part.pictures],
        tables=[each for part in parts for each in part.tables],
    )


def _cells(runs: Runs, factors: tuple[str, ...]) -> Section | None:
    """Compares with Figs. 6 and 8 to 11."""
    fixed = {name: value for name, value in fixed_factors(runs).items() if name not in factors}
    is_mdp = any(key.startswith(_MDP) for run in runs for key in run.config)
    if not is_mdp or PROBE_LOSS not in runs.tags() or not set(FACTORS) <= {*factors, *fixed}:
        return None
    finished = runs.where(lambda run: run.state == "finished" and not run.errors)
    if PROBE_LOSS not in finished.tags():
        return None
    ours = probe_cells(finished, factors, **{name: fixed[name] for name in FACTORS if name in fixed})
    cells = ours.merge(paper_cells(), on=CELL, suffixes=("", "_paper"))
    if cells.empty:
        return None
    frame = pd.DataFrame({name: cells[name] for name in CELL})
    frame["increase, ours"] = cells["plasticity_loss"]
    frame["low"], frame["high"] = cells["low"], cells["high"]
    frame["increase, paper"], frame["spread, paper"] = cells["plasticity_loss_paper"], cells["spread"]
    frame["final loss, ours"], frame["final loss, paper"] = cells["final_loss"], cells["final_loss_paper"]
    frame["runs"] = cells["runs"]
    frame["sign agrees"] = _signs(cells)
    note = _cells_note([int(each) for each in floats(cells, "runs")])
    tables = [Table("paper_cells", "Probe losses, ours and the paper's", frame, note, True)]
    found = agreement(ours)
    found["measure"] = [_MEASURES[name] for name in found["measure"]]
    texts = [f"{len(cells)} of the paper's {len(paper_cells())} cells of data, network and intervention."]
    if left_out := len(runs) - len(finished):
        texts.append(f"{left_out} runs that have not finished, or have errors, are left out of them.")
    if len(cells) > 2:
        tables.insert(0, Table("paper_agreement", "Agreement with the paper", found, _agreement_note()))
        clear = found.iloc[0]
        if clear["cells"]:
            texts.append(
                f"Of {clear['cells']} differences to 'none' that are clear in the paper {clear['ours']:.0%}"
                f" have the same sign here; an exact replication would have {clear['ceiling']:.0%} on"
                f" average, and at least {clear['fifth']:.0%} in 19 of 20 cases."
            )
    numbers = [number for number, data in ((8, "cifar10"), (9, "mnist")) if data in set(cells["data"])]
    pictures = []
    for number in (*numbers, *(number + 2 for number in numbers)):
        if {"architecture", "intervention"} <= set(factors):
            pictures.append(_figure(runs, number, factors=factors))
    return Section(_TITLE, texts, pictures=pictures, tables=tables)


def _signs(cells: pd.DataFrame) -> list[str]:
    """Returns whether ours and the paper's differences to 'none' have one sign; '' without a 'none'."""
    none = where(cells, cells["intervention"] == "none").set_index(["data", "architecture"])
    found = []
    for cell in cells.to_dict("records"):
        key = (cell["data"], cell["architecture"])
        if cell["intervention"] == "none" or key not in none.index:
            found.append("")
            continue
        ours = np.sign(cell["plasticity_loss"] - none.loc[key, "plasticity_loss"])
        theirs = np.sign(cell["plasticity_loss_paper"] - none.loc[key, "plasticity_loss_paper"])
        found.append("yes" if ours == theirs else "no")
    return found


def _games(runs: Runs, factors: tuple[str, ...]) -> Section | None:
    """Compares with Fig. 7."""
    if not {"game", "intervention"} <= set(factors) or _RETURN not in runs.tags():
        return None
    if not {"layer_norm", "none"} <= {part for arm in runs.arms for part in arm.split("-")}:
        return None
    gains = atari.improvements(runs, factors)
    numbers = paper_numbers(7).set_index("data")["value"]
    gains["ours, %"] = 100 * gains.pop("improvement")
    gains["paper, %"] = [numbers.get(game, np.nan) for game in gains["game"]]
    texts = [
        f"Layer normalization on {len(gains)} games: it improves {(gains['ours, %'] > 0).sum()} of them,"
        f" the median improvement is {gains['ours, %'].median():.1f} %; in the paper, on the same games,"
        f" {(gains['paper, %'] > 0).sum()} and {gains['paper, %'].median():.1f} %."
    ]
    table = Table("paper_games", "Improvement by layer normalization", gains, "", True)
    return Section(_TITLE, texts, pictures=[_figure(runs, 7, factors=factors)], tables=[table])


def _widths(runs: Runs, factors: tuple[str, ...]) -> Section | None:
    """Compares with Fig. 5."""
    if "width" not in factors or PROBE_LOSS not in runs.tags():
        return None
    return Section(_TITLE, pictures=[_figure(runs, 5, factors=factors)])


def _correlates(runs: Runs, factors: tuple[str, ...]) -> Section | None:
    """Returns Fig. 3, with the statistics and splits that the runs have."""
    if PROBE_LOSS not in runs.tags() or not factors:
        return None
    points = correlates.falsification_points(runs, factors)
    points = where(points, np.isfinite(points["plasticity_loss"]))
    statistics = [
        name for name in correlates.PANELS if np.isfinite(floats(points, name)).sum() >= _FEWEST_RUNS
    ]
    splits = [factor for factor in factors if 1 < len(set(points[factor])) <= _MOST_VALUES]
    splits = [factor for factor in splits if points[factor].value_counts().min() >= _FEWEST_RUNS]
    if not statistics or not splits:
        return None
    found = correlations(points, statistics, splits)
    table = found.merge(verdicts(found), on=["statistic", "split"])
    note = (
        "How the last value of each statistic (mean over layers) goes with the increase of the probe loss:"
        " slope, Spearman's rho and its 95 % bootstrap interval. A cause would keep its sign in every split."
    )
    pictures = []
    if {split for _, split in correlates.PANELS.values()} <= set(factors) and len(statistics) == 4:
        pictures.append(_figure(runs, 3, factors=factors))
    return Section(
        _TITLE, pictures=pictures, tables=[Table("correlates", "Statistics and lost plasticity", table, note)]
    )


def _instability(runs: Runs) -> Section | None:
    """Compares with Fig. 1."""
    if _TASK not in runs.tags() or FIGURES[1].lacks(runs):
        return None
    text = (
        "Fig. 1 of the paper prints no numbers: with default Adam the fraction of dead units jumps and"
        " accuracy falls to chance as labels change, with tuned Adam neither happens."
    )
    return Section(_TITLE, [text], pictures=[_figure(runs, 1)])


def _landscape(runs: Runs) -> Section | None:
    """Compares with Fig. 2, of runs with Brownian twins."""
    if _sources.TWIN_SPECTRUM not in runs.array_tags() or FIGURES[2].lacks(runs):
        return None
    text = (
        "Fig. 2 of the paper prints no numbers: outlying eigenvalues grow under gradient descent and under"
        " Brownian motion with steps as long, under gradient descent much faster; gradients of different"
        " transitions come to oppose each other under gradient descent alone."
    )
    return Section(_TITLE, [text], pictures=[_figure(runs, 2)], tables=[twins(runs)])


def _of_the_form(runs: Runs, factors: tuple[str, ...]) -> list[Section]:
    """Draws Figs. 12 to 18, of which the paper prints no numbers, where arms have the paper's parts."""
    if not {"environment", "intervention"} <= set(factors):
        return []
    data = {fixed_factors(runs).get("data", "")}
    if "data" in factors:
        data |= {parts["data"] for parts in arm_factors(runs, factors).values()}
    numbers = [14]
    if "architecture" in factors:
        numbers += [number for number, of in _LEARNING.items() if of in data]
    numbers += [17 if "mnist" in data else 18]
    return [
        Section(_TITLE, pictures=[_figure(runs, number, factors=factors)])
        for number in numbers
        if not FIGURES[number].lacks(runs)
    ]


def _figure(runs: Runs, number: int, **options) -> Picture:
    of_paper = FIGURES[number]
    figure, ax = style.new_figure(*of_paper.size)
    of_paper.draw(runs, ax, **options)
    brackets = _BRACKETS if number in _MAPS else ""
    if number in _INCREASES:
        counts = Counter(run.arm for run in runs)
        bounds = aggregate.band_name(list(counts.values()), "mean")
        brackets = f"Means over runs, below them the {bounds}. {_BRACKETS}"
    text = f"In the form of Fig. {number} of the paper. {brackets}{caption(runs)}"
    return Picture(f"paper_fig{number:02}", of_paper.title, text, figure, of_paper.size[0] > 6.5, is_cut=True)


def _agreement_note() -> str:
    return (
        "Signs: the fraction of cells on the paper's side of 'none' in their column; clear are differences of"
        " more than 2 standard errors in the paper (3 runs a cell assumed; it does not say). The ceiling is"
        " the mean over simulated replications with noise in both, the paper's values and the"
        " replication's, of the paper's own spread: 95 % of them are between low and high, 5 % below fifth."
    )


def _cells_note(counts: list[int]) -> str:
    return (
        "Increase of the final probe loss from the first to the last probe, above 0 where plasticity is lost;"
        f" ours is a mean over runs, from low to high is the {aggregate.band_name(counts, 'mean')}."
        " And the final loss of the last probe. The paper's numbers, and the spread of the increase that it"
        " prints, are those of Figs. 8 to 11."
    )
