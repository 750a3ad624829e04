"""Check of slowly changing regression: Dohare et al. 2024."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from tfplastic.reports import aggregate
from tfplastic.reports.published import measures
from tfplastic.reports.published.row import Judged, Row, Seeds
from tfplastic.reports.reproduction import numbers
from tfplastic.reports.reproduction.result import Claim
from tfplastic.reports.runs import Runs

ERRORS = "online_error"
"""Tag of arrays with the mean error of each learner in a bin of steps, `mean`."""
ACTIVATIONS = ("relu", "leaky_relu", "tanh", "sigmoid", "elu", "swish")
OPTIMIZERS = {"sgd": "SGD", "adam": "Adam"}
NAMES = {
    "linear": "linear",
    "relu": "ReLU",
    "leaky_relu": "leaky ReLU",
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "elu": "ELU",
    "swish": "swish",
}
"""{learner in an arm's name: name on the page}."""
FORMS = {
    "long": "with the paper's 3,000,000 examples",
    "released": "in the form of the released code",
}
_REACH_LINEAR = ("relu", "tanh")
_PARTS = 10
_MARGIN = 0.05  # of an error, within which a learner that ends below the linear one still reaches it
_AMONG_TENTHS = 1 - (1 - aggregate.CONFIDENCE) / (
    _PARTS - 1
)  # the lowest tenth is one of nine before the last


def errors(runs: Runs, arm: str) -> np.ndarray:
    """Returns the errors of the learners of an arm, `[bins, learners]`; of no bins where there is no run."""
    for run in measures.of_arm(runs, arm):
        return np.array([each.values["mean"] for each in runs.arrays(ERRORS, of=run)])
    return np.zeros([0, 0])


def judge(runs: Runs) -> Judged:
    """Judges the shapes of the curves, with Student-t intervals over the learners."""
    found = _errors(runs, OPTIMIZERS, (*ACTIVATIONS, "linear"))
    claims = [_rises(found, optimizer) for optimizer in OPTIMIZERS]
    claims += [
        _reaches_linear(found, name, optimizer, f"with {in_words}")
        for optimizer, in_words in OPTIMIZERS.items()
        for name in _REACH_LINEAR
    ]
    claims += [_loses_least(found, optimizer) for optimizer in OPTIMIZERS]
    return Judged(_ends(found, ("linear", *_REACH_LINEAR, "elu"), OPTIMIZERS), claims)


def judge_start(runs: Runs) -> Judged:
    """Judges whether errors fall within the first 40,000 examples."""
    found = _errors(runs, OPTIMIZERS, ACTIVATIONS)
    shown = {arm: each for arm, each in found.items() if arm.endswith("sgd")}
    falls = [f"{_name(arm)} {aggregate.student_t(_fall(each))}" for arm, each in shown.items()]
    return Judged(
        f"falls with SGD: {', '.join(falls)}" if falls else "",
        [_falls(found, optimizer) for optimizer in OPTIMIZERS],
    )


def judge_forms(runs: Runs) -> Judged:
    """Judges whether learners reach the linear one in other forms of the protocol."""
    found = _errors(runs, FORMS, ("linear", *_REACH_LINEAR))
    claims = [
        _reaches_linear(found, name, form, in_words)
        for form, in_words in FORMS.items()
        for name in _REACH_LINEAR
    ]
    return Judged(_ends(found, ("linear", *_REACH_LINEAR), FORMS), claims)


def _ends(found: Mapping[str, np.ndarray], learners: Sequence[str], forms: Mapping[str, str]) -> str:
    """Returns the errors of the last tenth with their intervals, in words."""
    parts = []
    for form, in_words in forms.items():
        shown = [
            f"{NAMES[name]} {aggregate.student_t(_last(found[f'{name}-{form}']))}"
            for name in learners
            if f"{name}-{form}" in found
        ]
        parts += [f"{in_words}: {', '.join(shown)}"] if shown else []
    return "; ".join(parts)


def _name(arm: str) -> str:
    return NAMES[arm.partition("-")[0]]


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
    """Returns by how much each learner ends above the tenth in which the mean over learners is lowest.

    The tenth is chosen from the same errors, so that an interval of its mean needs `_AMONG_TENTHS`.
    """
    tenths = _tenths(each)
    return tenths[-1] - tenths[tenths.mean(axis=1).argmin()]


def _fall(each: np.ndarray) -> np.ndarray:
    """Returns by how much each learner's first bin is above that in which the mean is lowest."""
    return each[0] - each[each.mean(axis=1).argmin()]


def _rises(found: Mapping[str, np.ndarray], optimizer: str) -> Claim:
    text = f"with {OPTIMIZERS[optimizer]} the error of each activation rises after its minimum"
    return _of_all(found, optimizer, text, _rise, _AMONG_TENTHS)


def _falls(found: Mapping[str, np.ndarray], optimizer: str) -> Claim:
    text = f"with {OPTIMIZERS[optimizer]} the error of each activation falls at first"
    return _of_all(found, optimizer, text, _fall)


def _of_all(
    found: Mapping[str, np.ndarray],
    optimizer: str,
    text: str,
    change: Callable[[np.ndarray], np.ndarray],
    confidence: float = aggregate.CONFIDENCE,
) -> Claim:
    """Returns the claim that a change is clearly above 0 with each activation, not so if one is below."""
    arms = {name: found.get(f"{name}-{optimizer}") for name in ACTIVATIONS}
    intervals = {
        name: aggregate.student_t(change(each), confidence) for name, each in arms.items() if each is not None
    }
    shown = ", ".join(f"{NAMES[name]} {interval}" for name, interval in intervals.items())
    agrees = None
    if len(intervals) == len(ACTIVATIONS):
        is_above = all(interval.low > 0 for interval in intervals.values())
        agrees = True if is_above else False if any(each.high <= 0 for each in intervals.values()) else None
    return Claim(optimizer, text, shown, agrees)


def _reaches_linear(found: Mapping[str, np.ndarray], name: str, form: str, in_words: str) -> Claim:
    text = f"{NAMES[name]} {in_words} ends at the linear learner's error or above, within {_MARGIN}"
    ours, linear = found.get(f"{name}-{form}"), found.get(f"linear-{form}")
    if ours is None or linear is None:
        return Claim(f"{name}-{form}", text, "", None)
    interval = aggregate.student_t(_last(ours) - _last(linear))  # of the same targets
    agrees = True if interval.low > -_MARGIN else False if interval.high < -_MARGIN else None
    return Claim(f"{name}-{form}", text, f"difference {interval}", agrees)


def _loses_least(found: Mapping[str, np.ndarray], optimizer: str) -> Claim:
    text = f"ELU loses least, with {OPTIMIZERS[optimizer]}"
    rises = {
        name: _rise(found[f"{name}-{optimizer}"]) for name in ACTIVATIONS if f"{name}-{optimizer}" in found
    }
    order = sorted(rises, key=lambda name: rises[name].mean())
    if len(order) < len(ACTIVATIONS):
        return Claim(f"elu-{optimizer}", text, "", None)
    other = next(name for name in order if name != "elu")
    interval = aggregate.student_t(rises[other] - rises["elu"])  # of the same targets
    shown = ", ".join(f"{NAMES[name]} {rises[name].mean():.2f}" for name in order)
    agrees = True if interval.low > 0 else False if interval.point < 0 else None
    return Claim(f"elu-{optimizer}", text, f"{shown}; {NAMES[other]} less ELU {interval}", agrees)


def tables(runs: Runs, planned: Seeds) -> Sequence[str]:
    """Returns the error at the end and its rise for each learner and optimizer."""
    found = _errors(runs, OPTIMIZERS, [*NAMES])
    rows = [
        [
            NAMES[name],
            OPTIMIZERS[optimizer],
            str(aggregate.student_t(_last(found[arm]))) if arm in found else numbers.NONE,
            str(aggregate.student_t(_rise(found[arm]), _AMONG_TENTHS)) if arm in found else numbers.NONE,
        ]
        for optimizer in OPTIMIZERS
        for name in NAMES
        if (arm := f"{name}-{optimizer}") in planned
    ]
    return [numbers.table(["learner", "optimizer", "error of the last tenth", "rise"], rows)]


ROWS = (
    Row(
        "slowly_changing_regression",
        "Slowly changing regression, six activations with SGD and Adam, 100 learners",
        "Dohare et al. 2024, figures",
        "errors fall, then rise; ReLU and tanh reach the linear learner's error; ELU loses least",
        "gin/published/slowly_changing_regression.gin",
        judge,
        (
            "Errors are means over the last tenth of the run. Square brackets here are 95 % Student-t"
            " intervals of the mean over the 100 learners of a run. A rise is the last tenth less the tenth"
            " in which the mean is lowest; as this one is the lowest of nine, its interval is one of 99.4 %."
            " Errors rise if the intervals of all activations are above 0, and do not if one is at 0 or"
            " below; '–' between the two. A learner ends at the linear one's error or above if the interval"
            f" of the difference is above -{_MARGIN}, and does not if it is below; '–' between the two: near"
            " 0, nothing says which of the two is larger. ELU loses least if the interval of the difference"
            " from the next one is above 0.",
            "The step is .01, the largest of the paper's three; 1,000,000 examples, as in the released code."
            " Errors of the activations are lowest in the first or second bin of 40,000 examples, so that"
            " their fall is the subject of the next check.",
            "With SGD the error of tanh still grows at the end, and is within .05 of the linear learner's"
            " with the paper's 3,000,000 examples and in the form of the released code (the check after the"
            " next)."
            " Other forms were not run with Adam.",
        ),
        tables=tables,
    ),
    Row(
        "slowly_changing_regression_start",
        "Slowly changing regression, the first 40,000 examples",
        "Dohare et al. 2024, figures",
        "errors fall at first",
        "gin/published/slowly_changing_regression_start.gin",
        judge_start,
        (
            "A fall is the first bin of 1,000 examples less the bin in which the mean over the 100 learners"
            " is lowest, with its 95 % Student-t interval. It says that the networks learn at first, as the"
            " linear learner does, too; sigmoid with SGD still improves at the end of the 40,000.",
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
