"""Scores of DQN in MinAtar at the protocol of Young and Tian 2019."""

from collections.abc import Sequence

from tfplastic.reports.published import measures
from tfplastic.reports.published.minatar import cells
from tfplastic.reports.published.row import Judged, Row, Seeds
from tfplastic.reports.reproduction import numbers
from tfplastic.reports.reproduction.result import Claim
from tfplastic.reports.runs import Runs
from tfplastic.reports.statistics.minatar_scores import PUBLISHED

TOLERANCE = 0.25
"""Largest difference from a published score, as a share of it."""


def judge(runs: Runs) -> Judged:
    """Judges the return at 1M frames in each game."""
    claims = [_near(runs, game, target) for game, target in PUBLISHED.items()]
    return Judged("; ".join(f"{claim.name} {claim.ours}" for claim in claims if claim.ours), claims)


def _near(runs: Runs, game: str, target: float) -> Claim:
    values = measures.last(runs, game, cells.RETURN)
    text = f"{game} {target:g} ± {TOLERANCE * target:g}"
    if not len(values):
        return Claim(game, text, "", None)
    agrees = abs(float(values.mean()) - target) <= TOLERANCE * target
    return Claim(game, text, cells.several(values, 1), agrees)


def tables(runs: Runs, planned: Seeds) -> Sequence[str]:
    """Returns the published score of each game, ours, and the number of runs."""
    rows = [
        [
            game,
            f"{PUBLISHED[game]:g}" if game in PUBLISHED else numbers.NONE,
            cells.several(measures.last(runs, game, cells.RETURN), 1),
            cells.progress(runs, game, planned),
        ]
        for game in planned
    ]
    return [numbers.table(["game", "published at 1M frames", "ours", "runs"], rows)]


ROW = Row(
    "minatar_scores",
    "Scores of DQN at 1M frames",
    "Young and Tian 2019, a figure: learning_curves.gif in the repository of MinAtar, 30 seeds",
    ", ".join(f"{game} {target:g}" for game, target in PUBLISHED.items()) + ", each ± 25 %",
    "gin/paper/small/minatar_scores.gin",
    judge,
    (
        "A score agrees if the mean over our seeds is within 25 % of the published one, which is read off a"
        " curve; the tolerance is ours. '(one seed)' marks a mean that another seed may move by more. Ours"
        " is the mean of the last 100 episodes of training, in freeway those of the last 250,000 frames,"
        " with one gradient step per frame. As in the curves, each game has the step size that is best for"
        " it there (sensitivity_curves.gif): 2^-9, 2^-11 and 2^-12, where examples/dqn.py has 2.5e-4."
        " Seaquest is not comparable, as its curve precedes a fix of the game, and asterix learns only after"
        " 0.8M frames.",
    ),
    needs=(cells.RETURN,),
    tables=tables,
)
