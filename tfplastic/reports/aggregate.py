"""Many scores in one number, with an interval: by resampling from six runs on, else their range.

A percentile bootstrap of two or three runs equals their range, and covers the median of the distribution with
50 or 75 % instead of 95. So the bounds of fewer than `FEWEST_RUNS` runs are their smallest and largest value,
and `Interval.kind` says so; `student_t` is an interval of the mean for any number.

Scores are a mapping {task: `[runs]` floats}: the scores of the runs, one for each seed, on each task; tasks
may have different numbers of runs. A NaN among them makes the results NaN: the caller decides how a failed
run counts.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from tfplastic import seeds
from tfplastic._checks import (
    check_callable,
    check_finite,
    check_fits_in_memory,
    check_fraction,
    check_integer,
    check_mapping,
    check_positive_integer,
    check_sequence,
    shown,
)

Scores = Mapping[str, Any]
Statistic = Callable[[Sequence[np.ndarray]], np.ndarray]
"""From one array `[..., runs]` for each task, with the same axes before the last, to `[...]`."""

_TRIMMED = 0.25
_ENDS = (np.min, np.max)
_POINTS_AT_ONCE = 64
FEWEST_RUNS = 6
"""Runs, of all tasks together, from which on bounds are those of a percentile bootstrap."""
BOOTSTRAP, RANGE, STUDENT_T = "bootstrap", "range", "Student-t"
"""Values of `Interval.kind`."""
CONFIDENCE = 0.95
NUM_RESAMPLES = 2_000


@dataclasses.dataclass(frozen=True)
class Interval:
    """A value and the bounds of its interval; all NaN where a score is.

    Attributes:
        point: aggregate of the scores themselves.
        low: the lower bound.
        high: the upper bound.
        kind: kind of the bounds: 'bootstrap', 'Student-t', or 'range', which claims no probability.
    """

    point: float
    low: float
    high: float
    kind: str = BOOTSTRAP

    def __str__(self) -> str:
        return f"{self.point:.3g} [{self.low:.3g}, {self.high:.3g}]"


def bootstrap(
    scores: Scores,
    statistic: Statistic,
    confidence: float = CONFIDENCE,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Returns the percentile interval of `statistic` over stratified resamples of the runs of each task.

    Agarwal et al. 2021, "Deep reinforcement learning at the edge of the statistical precipice", section 4.1.
    With fewer than six runs in all, the bounds are the range: `statistic` of the smallest run of each task
    and of the largest. Many tasks of three runs each have intervals that cover about 89 % instead of 95,
    because a resample of three has two thirds of the variance.

    Args:
        scores: {task: `[runs]`}.
        statistic: `mean`, `median`, `median_of_tasks`, `interquartile_mean`, `optimality_gap`, or any other
            function of that form.
        confidence: probability that the interval should have, in [0, 1]. 0.95 in Agarwal et al.
        num_resamples: number of resamples. 2,000 suffice for the interval of an aggregate, according to
            Agarwal et al.
        seed: same seed, same interval.

    Raises:
        ValueError: there are no scores, or an argument is outside its range.

    Example:
        >>> from tfplastic.reports import aggregate
        >>> interval = aggregate.bootstrap({'Pong': [0.0, 1.0, 2.0]}, aggregate.mean)
        >>> str(interval), interval.kind
        ('1 [0, 2]', 'range')
    """
    arrays = _arrays(scores)
    check_callable("statistic", statistic, "aggregate.mean")
    _check_num_resamples(num_resamples, sum(map(len, arrays)))
    if _is_few(arrays):
        check_fraction("confidence", confidence)
        ends = [float(statistic([end(each, axis=-1, keepdims=True) for each in arrays])) for end in _ENDS]
        return Interval(float(statistic(arrays)), min(ends), max(ends), RANGE)
    resampled = statistic(_resamples(arrays, num_resamples, seed, "bootstrap"))  # [num_resamples]
    return _interval(float(statistic(arrays)), resampled, confidence)


def student_t(runs: Any, confidence: float = CONFIDENCE) -> Interval:
    """Returns the Student-t interval of the mean: mean +- t_{(1 + confidence) / 2, n - 1} s / sqrt(n).

    Exact for normal values whatever their number; in simulations of n = 2 to 10 runs it covers the mean of an
    exponential distribution with 88 to 91 %.

    Args:
        runs: `[n]`, of one task.
        confidence: probability that the interval should have, in [0, 1].

    Returns:
        Bounds are NaN for a single run.

    Raises:
        ValueError: there are no runs, or `confidence` is outside its range.

    Example:
        >>> from tfplastic.reports import aggregate
        >>> str(aggregate.student_t([1.0, 2.0, 3.0]))  # 4.303 / sqrt(3) on each side
        '2 [-0.484, 4.48]'
    """
    values = _numbers("runs", runs)
    check_fraction("confidence", confidence)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"`runs` must be of shape [n], n at least 1. Received: shape {list(values.shape)}")
    point, count = float(np.mean(values)), len(values)
    if count < 2:
        return Interval(point, float("nan"), float("nan"), STUDENT_T)
    quantile = stats.t.ppf((1 + confidence) / 2, count - 1)
    with np.errstate(invalid="ignore"):  # of infinite runs
        half = float(quantile * np.std(values, ddof=1) / np.sqrt(count))
    return Interval(point, point - half, point + half, STUDENT_T)


def mean(scores: Scores | Sequence[np.ndarray]) -> np.ndarray:
    """Returns the mean over tasks of the means over runs."""
    return np.mean([np.mean(of_task, axis=-1) for of_task in _arrays(scores)], axis=0)


def median(scores: Scores | Sequence[np.ndarray]) -> np.ndarray:
    """Returns the median of all runs of all tasks."""
    return np.median(np.concatenate(_arrays(scores), axis=-1), axis=-1)


def median_of_tasks(scores: Scores | Sequence[np.ndarray]) -> np.ndarray:
    """Returns the median over tasks of the means over runs, the usual aggregate over the games of Atari."""
    return np.median([np.mean(of_task, axis=-1) for of_task in _arrays(scores)], axis=0)


def interquartile_mean(scores: Scores | Sequence[np.ndarray]) -> np.ndarray:
    """Returns the mean of the middle half of all runs of all tasks (IQM).

    Of n runs the floor(n / 4) smallest and as many of the largest are left out. Agarwal et al. 2021, section
    4.3. A task with more runs weighs more.
    """
    ordered = np.sort(np.concatenate(_arrays(scores), axis=-1), axis=-1)
    count = ordered.shape[-1]
    cut = int(_TRIMMED * count)
    return np.where(np.isnan(ordered).any(-1), np.nan, np.mean(ordered[..., cut : count - cut], axis=-1))[()]


def optimality_gap(scores: Scores | Sequence[np.ndarray], gamma: float = 1.0) -> np.ndarray:
    """Returns how far scores fall short of `gamma` on average, excess not counted (Agarwal et al. 2021).

    gamma - mean over tasks of the mean over runs of min(score, gamma).
    """
    gamma = check_finite("gamma", gamma)
    return gamma - mean([np.minimum(of_task, gamma) for of_task in _arrays(scores)])


def probability_of_improvement(
    scores: Scores,
    baseline: Scores,
    confidence: float = CONFIDENCE,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Returns the probability that a run beats a run of the baseline, on a task drawn at random.

    The mean over tasks of #{(i, j): x_i > y_j} / (N M), a tie counting one half, for the N runs x and the M
    runs y of the baseline on the task: Agarwal et al. 2021, section 4.3. 0.5 where they are equal, also where
    both are infinite. Bounds are NaN where either side has fewer than six runs, of kind 'range': single
    comparisons are 0, 0.5 or 1 and their range says nothing.

    Args:
        scores: {task: `[runs]`}.
        baseline: scores of the baseline on the same tasks.
        confidence: see `bootstrap`.
        num_resamples: see `bootstrap`.
        seed: see `bootstrap`.

    Raises:
        ValueError: the tasks differ, there are none, or an argument is outside its range.

    Example:
        >>> from tfplastic.reports import aggregate
        >>> aggregate.probability_of_improvement({'Pong': [1.0, 3.0]}, {'Pong': [2.0, 2.0]}).point
        0.5
    """
    for name, given in (("scores", scores), ("baseline", baseline)):
        check_mapping(name, given, "{'Pong': [1.0, 2.0]}")
    if set(scores) != set(baseline):
        different = sorted(set(scores) ^ set(baseline), key=str)
        raise ValueError(
            f"`baseline` must have the tasks of `scores`. Received: {different[0]!r} in one only"
        )
    ours, theirs = _arrays(scores), _arrays([baseline[task] for task in scores], "baseline")
    _check_num_resamples(num_resamples, sum(map(len, [*ours, *theirs])))
    if _is_few(ours) or _is_few(theirs):
        check_fraction("confidence", confidence)
        return Interval(float(_improvements(ours, theirs)), float("nan"), float("nan"), RANGE)
    resampled = _improvements(
        _resamples(ours, num_resamples, seed, "scores"), _resamples(theirs, num_resamples, seed, "baseline")
    )
    return _interval(float(_improvements(ours, theirs)), resampled, confidence)


def performance_profile(
    scores: Scores,
    thresholds: Any,
    confidence: float = CONFIDENCE,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the fraction of runs above each threshold, on a random task, with a band for each threshold.

    The mean over tasks of #{i: x_i > tau} / N: the run-score distribution of Agarwal et al. 2021, section
    4.2. With fewer than six runs in all the bounds are NaN.

    Args:
        scores: {task: `[runs]`}.
        thresholds: `[k]`, the values tau.
        confidence: see `bootstrap`; of each threshold separately.
        num_resamples: see `bootstrap`.
        seed: see `bootstrap`.

    Returns:
        The fractions, their lower and their upper bounds, each `[k]` in [0, 1]; NaN where a score is.

    Raises:
        ValueError: there are no scores, or an argument is outside its range.
    """
    arrays, levels = _arrays(scores), _numbers("thresholds", thresholds)
    if levels.ndim != 1:
        raise ValueError(f"`thresholds` must be of shape [k]. Received: shape {list(levels.shape)}")
    resampled = _resamples(arrays, num_resamples, seed, "bootstrap")
    intervals = [_interval(float(_above(arrays, tau)), _above(resampled, tau), confidence) for tau in levels]
    point, low, high = np.array([(each.point, each.low, each.high) for each in intervals]).reshape(-1, 3).T
    missing = np.full_like(point, np.nan)
    return (point, missing, missing.copy()) if _is_few(arrays) else (point, low, high)


def band(
    curves: Any, confidence: float = CONFIDENCE, num_resamples: int = NUM_RESAMPLES, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the median of curves at each point, and a band: their range, or by resampling whole curves.

    Where fewer than six runs have a value the band is from the smallest to the largest of them; `band_name`
    says which. From six on it is the percentile interval of the median.

    Args:
        curves: `[runs, points]` floats; NaN where a run has no value, which is then left out of that point.
        confidence: see `bootstrap`; of each point separately.
        num_resamples: see `bootstrap`.
        seed: see `bootstrap`.

    Returns:
        The medians, their lower and their upper bounds, each `[points]`; NaN where no run has a value, bounds
        by resampling also where they are infinite.

    Raises:
        ValueError: there are no curves, or an argument is outside its range.
    """
    curves = _numbers("curves", curves)
    if curves.ndim != 2 or not len(curves):
        raise ValueError(f"`curves` must be of shape [runs, points]. Received: {list(curves.shape)}")
    _check_num_resamples(num_resamples, len(curves))
    tail = 100 * (1 - check_fraction("confidence", confidence)) / 2
    draws = _generator(seed, "band").random((num_resamples, len(curves)))
    results = np.full((3, curves.shape[1]), np.nan)
    patterns, pattern_of = np.unique(~np.isnan(curves), axis=1, return_inverse=True)
    for number, has_value in enumerate(patterns.T):
        count = np.count_nonzero(has_value)
        if not count:
            continue
        # Few runs have few resamples that differ: [different resamples, count].
        drawn = np.sort((draws[:, :count] * count).astype(int), axis=1)
        chosen, resample = np.unique(drawn, axis=0, return_inverse=True)
        points = np.flatnonzero(pattern_of.ravel() == number)
        for block in np.array_split(points, -(-len(points) // _POINTS_AT_ONCE)):
            values = curves[np.ix_(has_value, block)]  # [count, points]
            results[0, block] = np.median(values, axis=0)
            if count < FEWEST_RUNS:
                results[1:, block] = values.min(axis=0), values.max(axis=0)
                continue
            medians = _medians_of_resamples(values, chosen)[resample.ravel()]  # [num_resamples, points]
            with np.errstate(invalid="ignore"):  # between two infinite values
                results[1:, block] = np.percentile(medians, [tail, 100 - tail], axis=0)
    point, low, high = results
    return point, low, high


def _medians_of_resamples(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Returns np.median(values[chosen], axis=1), without resampled values: runs are counted in their order.

    Args:
        values: `[count, points]`, without NaN.
        chosen: rows of `values` in each resample, `[resamples, count]`.
    """
    count = len(values)
    counts = (chosen[..., None] == np.arange(count)).sum(axis=1, dtype=np.int16)  # of each run
    order = np.argsort(values, axis=0)
    reached = np.zeros((len(chosen), values.shape[1]), np.int16)
    places = np.zeros((2, *reached.shape), np.int16)  # in `order`, of the two values in the middle
    for runs in order:
        reached += counts[:, runs]
        for place, middle in zip(places, ((count - 1) // 2, count // 2), strict=True):
            place += reached <= middle
    ordered = np.take_along_axis(values, order, axis=0)
    lower, upper = (ordered[place, np.arange(values.shape[1])] for place in places)
    with np.errstate(invalid="ignore"):  # between two infinite values
        return lower if count % 2 else (lower + upper) / 2


def band_name(num_runs: Sequence[int], of: str = "median") -> str:
    """Describes the bands of `band`, or the bounds of `bootstrap`, in words.

    Args:
        num_runs: numbers of runs, one for each curve or cell.
        of: name of the statistic in the middle.

    Example:
        >>> from tfplastic.reports import aggregate
        >>> aggregate.band_name([2, 3])
        'range of the runs'
        >>> aggregate.band_name([3, 10])
        'range of fewer than 6 runs, else 95 % bootstrap interval of the median'
    """
    for count in check_sequence("num_runs", num_runs, "[3, 10]"):
        check_integer("num_runs", count)
    by_resampling = f"{100 * CONFIDENCE:.0f} % bootstrap interval of the {of}"
    if all(count < FEWEST_RUNS for count in num_runs):
        return "range of the runs"
    if any(count < FEWEST_RUNS for count in num_runs):
        return f"range of fewer than {FEWEST_RUNS} runs, else {by_resampling}"
    return by_resampling


def _is_few(arrays: Sequence[np.ndarray]) -> bool:
    # With one run of each task there is nothing to draw: every sample is the same.
    counts = [array.shape[-1] for array in arrays]
    return sum(counts) < FEWEST_RUNS or max(counts) == 1


def _arrays(scores: Scores | Sequence[np.ndarray], name: str = "scores") -> list[np.ndarray]:
    of_tasks = scores.values() if isinstance(scores, Mapping) else scores
    if isinstance(of_tasks, str | bytes) or not isinstance(of_tasks, Iterable):
        raise TypeError(
            f"`{name}` must be a dictionary, such as {{'Pong': [1.0]}}. Received: {shown(scores)}"
        )
    arrays = [_numbers(name, of_task) for of_task in of_tasks]
    if not arrays or not all(array.ndim and array.shape[-1] for array in arrays):
        shapes = [list(array.shape) for array in arrays]
        raise ValueError(
            f"`{name}` must have at least one run of at least one task. Received: shapes {shapes}"
        )
    return arrays


def _numbers(name: str, values: Any) -> np.ndarray:
    try:
        array = np.asarray(values)
        if array.dtype.kind in "USO" and array.size and None not in array:
            raise TypeError
        return array.astype(np.float64)
    except (TypeError, ValueError, OverflowError):  # texts, objects, nests of several lengths
        raise ValueError(f"`{name}` must be numbers. Received: {shown(values)}") from None


def _check_num_resamples(count: int, num_runs: int) -> None:
    check_positive_integer("num_resamples", count)
    check_fits_in_memory("num_resamples", count, 16 * count * num_runs)


def _resamples(arrays: Sequence[np.ndarray], count: int, seed: int, name: str) -> list[np.ndarray]:
    """Returns `[count, runs]` for each task."""
    _check_num_resamples(count, sum(map(len, arrays)))
    generator = _generator(seed, name)
    return [array[generator.integers(len(array), size=(count, len(array)))] for array in arrays]


def _generator(seed: int, name: str) -> np.random.Generator:
    return seeds.generator(seeds.derive(check_integer("seed", seed), "reports", name))


def _interval(point: float, resampled: np.ndarray, confidence: float) -> Interval:
    tail = 100 * (1 - check_fraction("confidence", confidence)) / 2
    with np.errstate(invalid="ignore"):  # between two infinite values
        low, high = np.percentile(resampled, [tail, 100 - tail])
    return Interval(point, float(low), float(high))


def _improvements(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> np.ndarray:
    of_tasks = []
    for x, y in zip(ours, theirs, strict=True):
        one, other = x[..., :, None], y[..., None, :]
        wins = (one > other) + 0.5 * (one == other)  # by comparing: a difference of infinities is NaN
        of_tasks.append(np.mean(np.where(np.isnan(one) | np.isnan(other), np.nan, wins), (-2, -1)))
    return np.mean(of_tasks, axis=0)


def _above(arrays: Sequence[np.ndarray], threshold: float) -> np.ndarray:
    return mean([np.where(np.isnan(array), np.nan, array > threshold) for array in arrays])
