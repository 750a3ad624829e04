"""All methods at one common setting, as tables sorted by accuracy."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tfplastic.reports.published import measures
from tfplastic.reports.published.methods_claims import CLAIMS, PAGES
from tfplastic.reports.published.probe_verdict import probe_verdict
from tfplastic.reports.published.row import Seeds, Study
from tfplastic.reports.reproduction import numbers
from tfplastic.reports.reproduction.result import NOT_RUN
from tfplastic.reports.runs import Run, Runs

BASELINE = "baseline"
STREAMS = {
    "random_labels": "Random labels: MNIST, 30 tasks of 500 steps on 400 images",
    "permuted_pixels": "Permuted pixels: MNIST, 100 tasks of 150 steps on 2,400 images",
}
"""{first part of an arm's name: title of its table}."""
_EXPERIMENT = "gin/published/methods.gin"
_TENTH = 0.1
_FEWEST = 2  # pairs of runs that contradict a paper
SMALLEST_GAIN = 0.02
"""Gain of online accuracy over the baseline from which on a method helps; less may be chance."""
NEVER_DEAD = ("crelu", "deep_fourier", "rational")
"""Methods whose units have no outputs that are 0 for all inputs."""
_COLUMNS = (
    *("method", "average online accuracy", "gain", "end accuracy", "dead units", "srank", "sharpness"),
    *("probe plasticity", "verdict", "relative time", "a paper claims otherwise", "runs"),
)
_INTRODUCTION = """\
Every method with the constants of its own gin file, none tuned for these streams, in place of or in
addition to the baseline: Adam with step 1e-3 and a ReLU network of 2 x 100 units, batches of 16, as in
Kumar et al. 2023. Streams are shorter than theirs, so that all methods take about two hours of processor
time together; tasks of fewer images keep the loss of plasticity: the baseline ends at chance on random
labels. A method that its paper tunes for each problem may do better than here, and this is no ranking of
methods at their best; with two seeds, the order of neighboring rows means nothing.

```
make published NAME=methods
bin/sweep --experiment=gin/published/methods.gin --run_root=runs/published/methods
bin/report --runs=runs/published/methods --out=runs/published/methods/report
```

The first command makes the runs and prints these tables, which `make published` writes from committed runs;
the others make the runs and a report with all curves. Rows are sorted by the average online accuracy, the
mean over all steps of the accuracy on each batch before its update. The gain is its difference from the
baseline with the same seed, hence the same images, labels and permutations. End accuracy is on all images
of a task at its end, the mean over the last tenth of tasks. Dead units (the mean over hidden layers), srank
and sharpness are of the network at the end, after all that a method does between tasks, on up to 512 images
of the task that would come next. Units of CReLU, deep Fourier features and rational functions are never
dead, by their form. srank is that of the last hidden layer, which has 100 features, and about 180 with
CReLU and deep Fourier features. A network that no longer learns has a low sharpness, too.
Probe plasticity is b less the final loss of a probe (Lyle et al. 2023, Eq. 5), 75 steps before the end:
copies of the network are trained on 3 random targets with the baseline's Adam, whatever the method's own
optimizer, and without the method; the verdict compares with 5 fresh networks. Relative time is the processor
time of a whole run over that of the baseline: start, evaluations and the probe, the same for all, are in it,
so that it understates what a method costs.

Settings to know:

- `baseline_1e-4` has the step that is the best of Adam alone in Kumar et al. 2023, and `l2` the coefficient
  that they chose; `weight_decay` has that of Lyle et al. 2023, a thousandth of it.
- `reset_network` draws the whole network again for each task: nothing is lost from task to task. Its probe
  shows the cost of the steps since then alone, which is why its verdict is not "as fresh".
- `hare_and_tortoise` returns to its average every 1,500 steps, 10 epochs of permuted pixels. Its end accuracy
  is that of the average, all else is of the network that trains.
- `partial_resets`, `grama` and `redo` act every 1,000 steps, 15 times in a run.
- `c_chain` and `infer` have factors for values of reinforcement learning, `upgd` a step for batches of one
  image, and `parseval_regularization` is made for orthogonal initial weights.
- `plasticity_injection` has the second hidden layer and the output as its head, and acts at step 5,000.
- `self_normalized_resets` was run when it still estimated its thresholds at every step: its time is that of
  then. It does now at the boundaries where they change, with the same results, about six times as fast.

A paper claims otherwise where it reports that its method helps and the gain here is below .02 with each seed,
of two at least, or where it reports that it does not and the gain is above. Round brackets name another
setting of that paper; there the two do not contradict each other."""

Cells = list[str]


def section(runs: Runs, planned: Seeds, link: str = "paper", figures: Path | None = None) -> str:
    """Returns the tables with their explanation, in Markdown.

    Args:
        runs: the runs that are there.
        planned: the runs that there should be.
        link: path of the folder of all runs from the page.
        figures: not used; there are none.
    """
    del figures
    parts = ["## All methods at one setting", _INTRODUCTION, numbers.NOTE]
    for stream, title in STREAMS.items():
        parts += [f"### {title}", numbers.table(_COLUMNS, table(runs, planned, stream, link))]
    return "\n\n".join(parts) + "\n"


def table(runs: Runs, planned: Seeds, stream: str, link: str = "paper") -> list[Cells]:
    """Returns the rows of a stream, the best method first and those without runs last.

    Args:
        runs: the runs that are there.
        planned: the runs that there should be.
        stream: a key of `STREAMS`.
        link: path of the folder of all runs from the page.
    """
    seeds = {
        arm.removeprefix(f"{stream}-"): of_arm
        for arm, of_arm in planned.items()
        if arm.startswith(f"{stream}-")
    }
    found = {method: measures.of_arm(runs, f"{stream}-{method}") for method in seeds}
    baseline = found.get(BASELINE, Runs([]))
    means = {method: _mean(of_method, _average) for method, of_method in found.items()}
    order = sorted(seeds, key=lambda method: -np.nan_to_num(means[method], nan=-1.0))
    return [_row(stream, method, found[method], baseline, len(seeds[method]), link) for method in order]


def _row(stream: str, method: str, runs: Runs, baseline: Runs, planned: int, link: str) -> Cells:
    name = f"[{method}](#{PAGES[method]})" if method in PAGES else method
    if not len(runs):
        return [name, f"{NOT_RUN} (0 of {planned})", *[""] * (len(_COLUMNS) - 2)]
    missing = "" if len(runs) == planned else f", {NOT_RUN} ({len(runs)} of {planned})"
    return [
        name,
        f"{_shown(runs, _average)}{missing}",
        "" if method == BASELINE else numbers.several(_gains(runs, baseline)),
        _shown(runs, _end),
        numbers.NONE if method in NEVER_DEAD else _shown(runs, _dead_units, 2),
        _shown(runs, _srank, 0),
        _shown(runs, lambda run: measures.scalar(run, "next_task/sharpness/all"), 2),
        _shown(runs, lambda run: measures.scalar(run, "probe/plasticity")),
        _verdicts(runs),
        _cost(runs, baseline),
        _otherwise(stream, method, _gains(runs, baseline)),
        " ".join(f"[{run.seed}]({link}/{STUDY.name}/{run.name})" for run in runs),
    ]


def _average(run: Run) -> float:
    return measures.scalar(run, measures.AVERAGE)


def _end(run: Run) -> float:
    (curve,) = measures.curves(Runs([run]), run.arm, "evaluation/accuracy") or [np.full(1, np.nan)]
    return measures.ends(curve, _TENTH)[1]


def _dead_units(run: Run) -> float:
    found = measures.by_layer(run, "next_task/dead_units/")
    return float(np.mean([*found.values()])) if found else math.nan


def _srank(run: Run) -> float:
    found = {
        layer: value
        for layer, value in measures.by_layer(run, "next_task/feature_srank/").items()
        if layer.startswith("hidden")
    }
    return found[max(found)] if found else math.nan


def _mean(runs: Sequence[Run], of_run: Callable[[Run], float]) -> float:
    return float(np.mean([of_run(run) for run in runs])) if len(runs) else math.nan


def _shown(runs: Sequence[Run], of_run: Callable[[Run], float], digits: int = 3) -> str:
    return numbers.several([of_run(run) for run in runs], digits)


def _verdicts(runs: Sequence[Run]) -> str:
    found = Counter(verdict for run in runs if (verdict := probe_verdict(run)))
    return ", ".join(word if count == len(runs) else f"{word} ({count})" for word, count in found.items())


def _cost(runs: Runs, baseline: Runs) -> str:
    ours, theirs = numbers.durations(runs), numbers.durations(baseline)
    return f"{np.mean(ours) / np.mean(theirs):.1f}" if ours and theirs else numbers.NONE


def _gains(runs: Runs, baseline: Runs) -> list[float]:
    """Returns the gain over the baseline of each seed that both have."""
    theirs = {run.seed: _average(run) for run in baseline}
    return [_average(run) - theirs[run.seed] for run in runs if run.seed in theirs]


def _otherwise(stream: str, method: str, gains: Sequence[float]) -> str:
    """Returns the paper whose claim on a method the gains of all seeds contradict; '' where none does."""
    claim = CLAIMS.get(method)
    if claim is None or len(gains) < _FEWEST or not np.isfinite(gains).all():
        return ""
    helps = [gain >= SMALLEST_GAIN for gain in gains]
    contradicts = not any(helps) if claim.helps_on(stream) else all(helps)
    return claim.paper if contradicts else ""


STUDY = Study("methods", "All methods at one setting", _EXPERIMENT, "methods.md", section)
