"""Check of slowly changing regression: Dohare et al. 2024."""

from collections.abc import Iterable, Sequence

import numpy as np

from tfplastic.reports import aggregate
from tfplastic.reports.published import measures
from tfplastic.reports.published.row import Judged, Row
from tfplastic.reports.reproduction.result import Claim
from tfplastic.reports.runs import Runs

ERRORS = "online_error"
"""Tag of arrays with the mean error of each learner in a bin of steps, `mean`."""
ACTIVATIONS = ("relu", "leaky_relu", "tanh", "sigmoid", "elu", "swish")
OPTIMIZERS = ("sgd", "adam")
FORMS = {
    "long": "with the paper's 3,000,000 examples",
    "released": "in the form of the released code",
}
_REACH_LINEAR = ("relu", "tanh")
_PARTS = 10


def errors(runs: Runs, arm: str) -> np.ndarray:
    """Returns the errors of the learners of an arm, `[bins, learners]`; of no bins where there is no run."""
    for run in measures.of_arm(runs, arm):
        return np.array([each.values["mean"] for each in runs.arrays(ERRORS, of=run)])
    return np.zeros([0, 0])


def judge(runs: Runs) -> Judged:
    """Judges the shapes of the curves, with Student-t intervals over the learners."""
    found = _errors(runs, OPTIMIZERS, (*ACTIVATIONS, "linear"))
    claims = [_rises(found, optimizer) for optimizer in OPTIMIZERS]
    claims += [_reaches_linear(found, name, "sgd", "with sgd") for name in _REACH_LINEAR]
    claims.append(_loses_least(found))
    ends = [f"{arm} {_last(each).mean():.2f}" for arm, each in found.items() if arm.endswith("sgd")]
    return Judged(", ".join(ends), claims)


def judge_forms(runs: Runs) -> Judged:
    """Judges whether learners reach the linear one in other forms of the protocol."""
    found = _errors(runs, FORMS, ("linear", *_REACH_LINEAR))
    claims = [
        _reaches_linear(found, name, form, in_words)
        for form, in_words in FORMS.items()
        for name in _REACH_LINEAR
    ]
    return Judged(", ".join(f"{arm} {_last(each).mean():.2f}" for arm, each in found.items()), claims)


def _errors(runs: Runs, forms: Iterable[str], learners: Sequence[str]) -> dict[str, np.ndarray]:
    """Returns the errors of the arms LEARNER-FORM that have a run."""
    found = {f"{name}-{form}": errors(runs, f"{name}-{form}") for form in forms for name in learners}
    return {arm: each for arm, each in found.items() if len(each)}


def _tenths(each: np.ndarray) -> np.ndarray:
    """Returns the mean errors of the learners in each tenth of the run, `[10, learners]`."""
    return np.stack([part.mean(axis=0) for part in np.array_split(each, min(_PARTS, len(each)))])


def _last(each: np.ndarray) -> np.ndarray:
    return _tenths(each)[-1]


def _rise(each: np.ndarray) -> np.ndarray:
    """Returns by how much each learner ends above the tenth in which the mean over learners is lowest."""
    tenths = _tenths(each)
    return tenths[-1] - tenths[tenths.mean(axis=1).argmin()]


def _rises(found: dict[str, np.ndarray], optimizer: str) -> Claim:
    text = f"with {optimizer} the error of each activation rises after its minimum"
    arms = {name: found.get(f"{name}-{optimizer}") for name in ACTIVATIONS}
    intervals = {name: aggregate.student_t(_rise(each)) for name, each in arms.items() if each is not None}
    shown = ", ".join(f"{name} {interval}" for name, interval in intervals.items())
    is_complete = len(intervals) == len(ACTIVATIONS)
    agrees = all(interval.low > 0 for interval in intervals.values()) if is_complete else None
    return Claim(optimizer, text, shown, agrees)


def _reaches_linear(found: dict[str, np.ndarray], name: str, form: str, in_words: str) -> Claim:
    text = f"{name} {in_words} ends at the linear learner's error or above"
    ours, linear = found.get(f"{name}-{form}"), found.get(f"linear-{form}")
    if ours is None or linear is None:
        return Claim(f"{name}-{form}", text, "", None)
    interval = aggregate.student_t(_last(ours) - _last(linear))  # of the same targets
    return Claim(f"{name}-{form}", text, f"difference {interval}", interval.high >= 0)


def _loses_least(found: dict[str, np.ndarray]) -> Claim:
    text = "ELU loses least, with sgd"
    rises = {name: _rise(found[f"{name}-sgd"]).mean() for name in ACTIVATIONS if f"{name}-sgd" in found}
    shown = ", ".join(
        f"{name} {value:.2f}" for name, value in sorted(rises.items(), key=lambda pair: pair[1])
    )
    is_complete = len(rises) == len(ACTIVATIONS)
    return Claim("elu", text, shown, min(rises, key=rises.__getitem__) == "elu" if is_complete else None)


ROWS = (
    Row(
        "slowly_changing_regression",
        "Slowly changing regression, six activations with SGD and Adam, 100 learners",
        "Dohare et al. 2024, figures",
        "errors fall, then rise; ReLU and tanh reach the linear learner's error; ELU loses least",
        "gin/published/slowly_changing_regression.gin",
        judge,
        (
            "The numbers are mean errors over the last tenth of the run, with SGD. Square brackets here are"
            " 95 % Student-t intervals of the mean over the 100 learners of a run. A rise is the last tenth"
            " less the tenth in which the mean is lowest; the fall is over within the first one. The step is"
            " .01, the largest of the paper's three; 1,000,000 examples, as in the released code. The error"
            " of tanh still grows at the end, and reaches the linear learner's with the paper's 3,000,000"
            " examples and in the form of the released code (next check). A learner ends at the linear"
            " one's error or above unless the interval of the difference is below 0.",
        ),
    ),
    Row(
        "slowly_changing_regression_forms",
        "Slowly changing regression with SGD, 3,000,000 examples and the released form",
        "Dohare et al. 2024, figures",
        "ReLU and tanh reach the linear learner's error",
        "gin/published/slowly_changing_regression_forms.gin",
        judge_forms,
        (
            "The released code draws all slow bits again every 10,000 examples, where the text flips one of"
            " them, gives the target biases, and leaves the constant bit out. The numbers are mean errors"
            " over the last tenth of the run, with 95 % Student-t intervals of the differences over the 100"
            " learners.",
        ),
    ),
)
