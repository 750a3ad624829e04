"""Sequences of MinAtar's games: returns by cycle, relearning, forgetting, and plasticity at each switch."""

import ast
import functools
from collections.abc import Sequence

from matplotlib.axes import Axes

from tfplastic.reports.figures import forms
from tfplastic.reports.published import measures
from tfplastic.reports.published.minatar import cells
from tfplastic.reports.published.row import Judged, Row, Seeds
from tfplastic.reports.reproduction import numbers
from tfplastic.reports.reproduction.result import Claim, Drawing
from tfplastic.reports.runs import Run, Runs
from tfplastic.reports.statistics.factorial import PROBE_LOSS

BASELINE, PROJECTED = "none", "normalize_and_project"
MAPPED = (cells.STANDARDIZED, "probe/standardized_fresh_final_loss")
"""Loss at the end of a probe, and that of fresh networks: outputs mapped to the targets' mean and scale."""
PLAIN = (PROBE_LOSS, "probe/fresh_final_loss")
"""The same with outputs as they are."""
_CAPTION = (
    "Return in training and loss at the end of the probe, with outputs mapped to the targets' mean and scale"
    " before it, along the sequence, with a dotted line at each switch of games: medians over seeds, thin"
    " lines single runs, bands their range below 6 runs."
)


def games_of(run: Run) -> list[str]:
    """Returns the games of a sequence in their order."""
    return list(ast.literal_eval(run.config.get("GameSequence.games", "[]")))


def turn_ends(run: Run) -> list[int]:
    """Returns the last gradient step of each turn, in the order of time."""
    last = {round(turn): step for step, turn in cells.series(run, "sequence/turn")}
    return [last[turn] for turn in sorted(last)]


def return_of(run: Run, game: str, cycle: int) -> float:
    """Returns the mean return of training at the end of a turn; NaN where there is none."""
    return measures.scalar(run, f"sequence/{game}/episode_return_of_cycle_{cycle}")


def relearning_steps(run: Run, game: str) -> float:
    """Returns the agent steps of the last turn until the return of the turn before; NaN if it is missed."""
    return measures.scalar(run, f"sequence/{game}/relearning_steps")


def forgetting(run: Run, game: str) -> float:
    """Returns what is lost of a game's first turn when all others have been played, before its second turn.

    The return in the evaluation at the end of the first turn less that in the last evaluation before the
    second; NaN where there is none.
    """
    games, ends = games_of(run), turn_ends(run)
    before_second = games.index(game) + len(games)  # turns
    latest = ends[:before_second][-1] if ends else 0
    values = [value for step, value in cells.series(run, f"evaluation/{game}/forgetting") if step <= latest]
    return values[-1] if values else float("nan")


def increases(run: Run, tags: tuple[str, str] = MAPPED) -> list[float]:
    """Returns the probe loss less that of fresh networks on the same observations, at each switch.

    Args:
        run: run of a sequence.
        tags: `MAPPED` or `PLAIN`.
    """
    found, of_fresh = (cells.series(run, tag) for tag in tags)
    fresh = dict(of_fresh)
    return [value - fresh.get(step, float("nan")) for step, value in found if step]


def _increase(run: Run) -> float:
    return (increases(run) or [float("nan")])[-1]


def _games(runs: Runs) -> list[str]:
    return list(dict.fromkeys(game for run in runs for game in games_of(run)))


def judge(runs: Runs) -> Judged:
    """Judges plasticity at the last switch, and returns of the second cycle."""
    increase = cells.of_runs(runs, BASELINE, _increase)
    claims = [
        Claim(
            BASELINE,
            "without a method plasticity is lost: the probe loss ends above that of fresh networks on the"
            " same observations",
            f"by {numbers.several(increase)}" if len(increase) else "",
            cells.is_clearly_positive(increase),
        ),
        _keeps(runs),
        _second_cycle(runs),
    ]
    return Judged(_ours(runs), claims)


def _keeps(runs: Runs) -> Claim:
    text = (
        "normalize and project keeps more plasticity: its probe loss ends less above that of fresh networks"
        " than without a method"
    )
    ours, theirs = (cells.of_runs(runs, arm, _increase) for arm in (PROJECTED, BASELINE))
    shown = f"above by {numbers.several(ours)}, without by {numbers.several(theirs)}"
    is_there = len(ours) and len(theirs)
    return Claim(PROJECTED, text, shown if is_there else "", cells.is_clearly_above(theirs, ours))


def _second_cycle(runs: Runs) -> Claim:
    text = "normalize and project has the higher mean return of the second cycle in most games"
    pairs = {
        game: [
            cells.of_runs(runs, arm, functools.partial(return_of, game=game, cycle=2))
            for arm in (PROJECTED, BASELINE)
        ]
        for game in _games(runs)
    }
    if not pairs or not all(len(each) for pair in pairs.values() for each in pair):
        return Claim("second_cycle", text, "", None)
    clear = {game: cells.is_clearly_above(ours, theirs) for game, (ours, theirs) in pairs.items()}
    higher, lower = ([game for game, is_clear in clear.items() if is_clear is each] for each in (True, False))
    shown = (
        f"clearly higher in {len(higher)} of {len(pairs)}: {', '.join(higher) or numbers.NONE}; clearly lower"
        f" in {len(lower)}: {', '.join(lower) or numbers.NONE}"
    )
    agrees = True if 2 * len(higher) > len(pairs) else False if 2 * len(lower) > len(pairs) else None
    return Claim("second_cycle", text, shown, agrees)


def _ours(runs: Runs) -> str:
    found = {arm: cells.of_runs(runs, arm, _increase) for arm in runs.arms}
    parts = [f"{arm} {each.mean():+.3f}" for arm, each in found.items() if len(each)]
    return f"probe loss less that of fresh networks: {', '.join(parts)}" if parts else ""


def tables(runs: Runs, planned: Seeds) -> Sequence[str]:
    """Returns the table of returns, by method and game, and that of the probes at each switch."""
    games = _games(runs)
    returns: list[list[str]] = []
    probes: dict[tuple[str, str], list[list[str]]] = {MAPPED: [], PLAIN: []}
    switches = max((len(turn_ends(run)) for run in runs), default=0)
    for method in planned:
        runs_cell = cells.progress(runs, method, planned)
        if not len(measures.of_arm(runs, method)):
            returns.append([method, *[""] * 5, runs_cell])
            for rows in probes.values():
                rows.append([method, *[""] * switches, runs_cell])
            continue
        returns += [_returns(runs, method, game, runs_cell) for game in games]
        for tags, rows in probes.items():
            rows.append([method, *_probes(runs, method, switches, tags), runs_cell])
    columns = ["method", "game", "return, cycle 1", "return, cycle 2", "relearning steps", "forgetting"]
    ends = [f"after {games[turn % len(games)]}, cycle {turn // len(games) + 1}" for turn in range(switches)]
    return [
        numbers.table([*columns, "runs"], returns),
        "Loss at the end of the probe less that of fresh networks on the same observations, right before each"
        " switch, with outputs mapped to the mean and scale of the targets before it:",
        numbers.table(["method", *ends, "runs"], probes[MAPPED]),
        "The same for the probe of Lyle et al. 2023, which does not map the outputs:",
        numbers.table(["method", *ends, "runs"], probes[PLAIN]),
    ]


def _returns(runs: Runs, method: str, game: str, runs_cell: str) -> list[str]:
    cycles = [
        cells.of_runs(runs, method, functools.partial(return_of, game=game, cycle=cycle)) for cycle in (1, 2)
    ]
    steps = cells.known_of_runs(runs, method, functools.partial(relearning_steps, game=game))
    lost = cells.known_of_runs(runs, method, functools.partial(forgetting, game=game))
    of = len(measures.of_arm(runs, method))
    missed = f"; missed in {of - len(steps)} of {of}" if len(steps) < of else ""
    texts = [numbers.several(each, 1) for each in cycles]
    relearned = f"{numbers.several(steps, 0)}{missed}" if len(steps) else f"missed in {of} of {of}"
    return [method, game, *texts, relearned, numbers.several(lost, 1), runs_cell]


def _probes(runs: Runs, method: str, switches: int, tags: tuple[str, str]) -> list[str]:
    """Returns the increase at each switch; the nth probe after the first is at the nth switch."""
    by_run = [increases(run, tags) for run in measures.of_arm(runs, method)]
    columns = [[each[place] for each in by_run if place < len(each)] for place in range(switches)]
    return [numbers.several(column) for column in columns]


def drawings(runs: Runs) -> Sequence[Drawing]:
    """Returns the picture of returns and probe losses along the sequence."""
    return [Drawing("minatar_sequence", _CAPTION, functools.partial(draw, runs), (10, 3.4))]


def draw(runs: Runs, ax: Axes) -> Axes:
    """Draws the return of training and the probe loss along the sequence, a line for each method.

    Args:
        runs: at least one.
        ax: axes to draw on.
    """
    panels = forms.panels(ax, 1, 2)[0]
    colors = forms.group_colors(runs.arms)
    tags = {"return of training": cells.RETURN, "loss at the end of the probe": cells.STANDARDIZED}
    ends = sorted({end for run in runs for end in turn_ends(run)[:-1]})
    for panel, (title, tag) in zip(panels, tags.items(), strict=True):
        forms.curves(runs.scalars(tag), panel, colors=colors)
        panel.set(title=title, xlabel="gradient steps")
        panel.set_ylim(bottom=0)
        for step in ends:
            panel.axvline(step, color="k", linewidth=0.6, linestyle=":")
    panels[-1].legend(loc="lower left")
    return ax


ROW = Row(
    "minatar_sequence",
    "Sequences of games",
    'After Lyle et al. 2024, "Normalization and effective learning rates in reinforcement learning": their'
    " sequential Atari in a small form; statements are ours",
    "without a method plasticity is lost; normalize and project keeps more of it, and has higher returns in"
    " the second cycle",
    "gin/paper/small/minatar_sequence.gin",
    judge,
    (
        "Breakout, freeway and space_invaders in turn, 150,000 frames each, in two cycles, by one DQN"
        " ([sequences of games](game_sequences.md)), where the paper has Rainbow; epsilon starts again and"
        " falls over 30,000 frames in each turn, and the replay is kept. Returns are means of the last 100"
        " episodes of a turn, which in freeway, with about 60, are all of them. Relearning steps are the"
        " agent steps of the second turn until the mean return, of 10 episodes at least, is that of the end"
        " of the first, 'missed' where it never is. Forgetting is the return in the evaluation at the end"
        " of a game's first turn less that right before its second, when the other games have been played."
        " A mean over seeds is above another if Welch's test at 5 % says so, and above 0 if Student's does;"
        " '–' where the test shows neither. Statements on plasticity use the probe with mapped outputs: the"
        " outputs of a trained network start far from the targets, so that the other probe measures mostly"
        " how fast their scale is unlearned. Each seed has targets and fresh networks of its own. In"
        " freeway a network that always goes up has more than half of the published score, so its returns"
        " are the least informative. Probes are on the observations of the replay at that step, with Adam"
        " at 1e-3, because the agent's optimizer hardly fits their targets within 1,000 steps even from a"
        " fresh network. Normalize and project includes layer normalization.",
    ),
    needs=(cells.RETURN, "sequence/turn", *MAPPED, *PLAIN),
    tables=tables,
    drawings=drawings,
)
