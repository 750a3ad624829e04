"""Results in MinAtar: scores, sequences of games, replay ratios, learning checks, and levers of speed."""

from tfplastic.reports.published.minatar import agents, levers, replay_ratio, scores, sequence
from tfplastic.reports.published.row import RowsPage

_INTRODUCTION = """\
# MinAtar

Results in MinAtar (Young and Tian 2019), five small games in which two cores can train agents with several
seeds, from the metrics that are committed in [docs/paper](paper/README.md). That page has Figs. 7 and 19 to
22 of Lyle et al. 2023 [in MinAtar](paper/README.md#fig-7). One command makes the runs of a section and judges
them:

```
make published NAME=minatar_scores
```

`make runs` makes the runs that are missing here and commits them; `make published` without a name writes
this page. A verdict is `agree` where all statements that can be judged hold, `partly` where some do, `not`
where none does, and `undecided` where the runs cannot judge the first one; it counts the runs while some are
missing."""

PAGE = RowsPage(
    "minatar.md",
    _INTRODUCTION,
    (scores.ROW, sequence.ROW, replay_ratio.ROW, agents.PPO, agents.VALUES, levers.ROW),
)

__all__ = ["PAGE"]
