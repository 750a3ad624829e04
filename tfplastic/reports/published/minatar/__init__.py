"""Results in MinAtar: scores, sequences of games, replay ratios, learning checks, and speed-ups."""

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

These runs are in `runs/published` and do not change this page. `make runs` works off all of
docs/paper/queue.txt, of which the runs that are missing here are a part, and commits each finished one to the
repository; `make published` without a name writes this page from the committed runs.

A frame is an agent step. Unless a section says otherwise, agents are DQN (`gin/minatar_dqn.gin`), play eight
environments with one gradient step per four frames (`gin/sizes/minatar_cpu.gin`), and are evaluated with 10 %
random actions.

A verdict is `agree` where all statements that can be judged hold, `partly` where some do, `not`
where none does, and `undecided` where the runs cannot judge the first one; it counts the runs while some are
missing."""

PAGE = RowsPage(
    "minatar.md",
    _INTRODUCTION,
    (scores.ROW, sequence.ROW, replay_ratio.ROW, agents.PPO, agents.VALUES, levers.ROW),
)

__all__ = ["PAGE"]
