"""Checks of Kumar et al. 2023, "Maintaining plasticity ... via regenerative regularization"."""

from collections.abc import Sequence

import numpy as np

from tfplastic.reports import aggregate
from tfplastic.reports.published import measures
from tfplastic.reports.published.row import Judged, Row
from tfplastic.reports.reproduction.numbers import several
from tfplastic.reports.reproduction.result import Claim
from tfplastic.reports.runs import Runs

_SOURCE = "Kumar et al. 2023"
_DEPARTURES = (
    "The released code draws 10,000 of the 60,000 images again for each task and leaves the pixels of the"
    " first task as they are (`PermutedPixels(images='each_task', first_task='original')`), and takes the"
    " last of a task's 625 batches from a new pass (`drop_last='any', new_pass=True, steps_per_task=625`)."
    " Here one draw of images serves all tasks, the first one is permuted, too, and a task is one whole pass."
    " CReLU has as many parameters as the ReLU network, 90 units a layer, as in the text; the launch scripts"
    " have 82."
)
_TRANSFER = (
    "The released code measures backward transfer on 1,000 test images; here it is measured on the training"
    " images of the tasks."
)
_CODE = (
    "As in the released code, penalties are halved. Continual backpropagation has no bias correction of its"
    " running averages, and the utility and maturity of the launch scripts; Adam counts its steps per entry."
)
_REDO = (
    "ReDo draws fresh weights and clears Adam's means, where the released code restores initial weights and"
    " keeps the means."
)
_TABLE2 = (
    # tag, name, target and tolerance in percent
    (measures.AVERAGE, "online accuracy", 81.1, 1.0),
    ("evaluation/backward_transfer", "backward transfer", -63.4, 5.0),
    ("evaluation/one_step_backward_transfer", "one-step backward transfer", -11.3, 3.0),
)
_FORMS = {"l2_init": "lambda", "l2_init_half": "lambda / 2"}
_SETTINGS = ("layer_norm", "l2_init", "l2", "shrink_and_perturb", "continual_backprop", "crelu", "redo")
METHODS = ("baseline", *_SETTINGS)
"""The eight methods; `baseline_1e-3` is the baseline at the step size of the others."""
NAMES = {
    "baseline": "baseline",
    "baseline_1e-3": "baseline with step 1e-3",
    "layer_norm": "layer norm",
    "l2_init": "L2 Init",
    "l2": "L2",
    "shrink_and_perturb": "shrink and perturb",
    "continual_backprop": "continual backpropagation",
    "crelu": "CReLU",
    "redo": "ReDo",
}
"""{arm: name on the page}."""


def table2(runs: Runs) -> Judged:
    """Judges table 2: each form of the penalty against the three numbers, and the run without one."""
    forms = {form: _numbers(runs, arm) for arm, form in _FORMS.items()}
    inside = [form for form, found in forms.items() if found and _is_within(found)]
    claims = [
        Claim(
            "L2 Init",
            ", ".join(f"{name} {value} ± {most}" for _, name, value, most in _TABLE2),
            f"within all three: {' and '.join(inside) or 'no form of the penalty'}",
            True if inside else False if all(forms.values()) else None,
        )
    ]
    # Without a verdict: nothing says which of them the table is of.
    claims += [
        Claim(form, f"L2 Init with penalty {form}", _shown(found), None) for form, found in forms.items()
    ]
    without = _numbers(runs, "baseline")
    outside = not _is_within(without) if without else None
    claims.append(Claim("without", "without L2 Init, at least one is outside", _shown(without), outside))
    parts = [f"with {form} {_with_interval(found[0])}" for form, found in forms.items() if found]
    return Judged(f"online accuracy: {'; '.join(parts)}" if parts else "", claims)


def _numbers(runs: Runs, arm: str) -> list[np.ndarray]:
    """Returns the three numbers of each run, in percent; nothing if one is missing."""
    found = [100 * measures.last(runs, arm, tag) for tag, *_ in _TABLE2]
    return found if all(len(each) for each in found) else []


def _is_within(found: Sequence[np.ndarray]) -> bool:
    pairs = zip(found, _TABLE2, strict=True)
    return all(abs(float(each.mean()) - value) <= most for each, (_, _, value, most) in pairs)


def _shown(found: Sequence[np.ndarray]) -> str:
    if not found:
        return ""
    pairs = zip(_TABLE2, found, strict=True)
    return ", ".join(f"{name} {_with_interval(each)}" for (_, name, *_), each in pairs)


def _with_interval(values: np.ndarray) -> str:
    """Returns the mean with its points and, of two seeds at least, Student's interval."""
    interval = aggregate.student_t(values)
    bounds = f" [{interval.low:.1f}, {interval.high:.1f}]" if len(values) > 1 else ""
    return f"{several(values, 1)}{bounds}"


def permuted(runs: Runs) -> Judged:
    """Judges the 500 tasks of permuted MNIST by the shapes (a) to (d) of its figure."""
    tuned = measures.curves(runs, "baseline_1e-3")
    falls = [measures.fall(curve) for curve in tuned]
    claims = [
        Claim(
            "baseline falls",
            "(a) with Adam at 1e-3 the baseline's task accuracy falls",
            f"fall of {several(falls)}",
            all(each > measures.SMALLEST_FALL for each in falls) if falls else None,
        )
    ]
    for arm in ("l2_init", "l2", "crelu", "shrink_and_perturb"):
        of_arm = [measures.fall(curve) for curve in measures.curves(runs, arm)]
        holds = float(np.mean(of_arm)) <= measures.SMALLEST_FALL if of_arm else None
        claims.append(
            Claim(f"{arm} does not fall", f"(b) {NAMES[arm]} does not fall", several(of_arm), holds)
        )
    claims += [
        _among_best(runs, METHODS, "(c) L2 Init is among the best three"),
        _compared(runs, "(d) L2 is above the baseline by more than .01", is_above=True),
    ]
    return Judged(_ranking(runs), claims)


def random_label(runs: Runs) -> Judged:
    """Judges the 50 tasks of random-label MNIST by the shapes of its figure."""
    curves = measures.curves(runs, "baseline_1e-3")
    ratio = [measures.ends(curve, 0.1)[1] / float(curve[0]) for curve in curves]
    claims = [
        Claim(
            "baseline collapses",
            "with Adam at 1e-3 the baseline collapses: the last five tasks have less than half of the first"
            " task's accuracy",
            f"share that is left {several(ratio, 2)}",
            all(each < 0.5 for each in ratio) if ratio else None,
        ),
        _among_best(runs, METHODS, "L2 Init is among the best three"),
        _compared(runs, "L2 does not help: it is not above the baseline by more than .01", is_above=False),
    ]
    return Judged(_ranking(runs), claims)


def _ranking(runs: Runs) -> str:
    ranked = [arm for arm, _ in measures.best_first(runs, METHODS)]
    shown = [f"{NAMES[arm]} {several(measures.last(runs, arm, measures.AVERAGE))}" for arm in ranked]
    return f"average online accuracy: {', '.join(shown)}" if shown else ""


def _among_best(runs: Runs, arms: Sequence[str], text: str) -> Claim:
    ranked = [arm for arm, _ in measures.best_first(runs, arms)]
    is_complete = len(ranked) == len(arms)
    ours = f"place {ranked.index('l2_init') + 1} of {len(arms)}" if is_complete else ""
    return Claim("L2 Init", text, ours, "l2_init" in ranked[:3] if is_complete else None)


def _compared(runs: Runs, text: str, is_above: bool) -> Claim:
    ours, baseline = (measures.last(runs, arm, measures.AVERAGE) for arm in ("l2", "baseline"))
    if not (len(ours) and len(baseline)):
        return Claim("L2", text, "", None)
    ends = [
        [measures.ends(curve, 0.1)[1] for curve in measures.curves(runs, arm)] for arm in ("l2", "baseline")
    ]
    shown = f"L2 {several(ours)}, baseline {several(baseline)}"
    if all(ends):
        shown += f"; last tenth of the tasks: L2 {several(ends[0])}, baseline {several(ends[1])}"
    return Claim("L2", text, shown, bool(ours.mean() - baseline.mean() > measures.SMALLEST_FALL) == is_above)


ROWS = (
    Row(
        "kumar_table2",
        "Permuted MNIST, 20 tasks, L2 Init 1e-3",
        f"{_SOURCE}, table 2",
        "online accuracy 81.1 ± 1.0, backward transfer -63.4 ± 5, one step -11.3 ± 3 (percent)",
        "gin/published/kumar_table2.gin",
        table2,
        (
            "The paper writes the penalty lambda sum d², its code lambda / 2 sum d²; nothing says which one"
            " the table is of. Adam's state is kept from task to task. Tolerances are ours: the 10,000 images"
            " need not be theirs. Square brackets here are 95 % Student-t intervals of the mean over seeds.",
            _DEPARTURES,
            _TRANSFER,
        ),
        needs=tuple(tag for tag, *_ in _TABLE2),
    ),
    Row(
        "kumar_permuted_mnist",
        "Permuted MNIST, 500 tasks, eight methods",
        f"{_SOURCE}, a figure",
        "(a) Adam at 1e-3 falls; (b) L2 Init, L2, CReLU and shrink and perturb do not; (c) L2 Init among the"
        " best three; (d) L2 above the baseline",
        "gin/published/kumar_permuted_mnist.gin",
        permuted,
        (
            "A curve falls if the mean over its last tenth is more than .01 below that of its best tenth; (a)"
            " is of each seed, (b) of the mean over seeds. Settings are the best of tables 3 and 4.",
            _CODE,
            _DEPARTURES,
            _REDO,
        ),
        needs=(measures.AVERAGE, measures.ONLINE),
    ),
    Row(
        "kumar_random_label_mnist",
        "Random-label MNIST, 50 tasks of 30,000 steps, eight methods",
        f"{_SOURCE}, a figure",
        "the baseline at 1e-3 collapses; L2 Init among the best three; L2 does not help",
        "gin/published/kumar_random_label_mnist.gin",
        random_label,
        (
            "The collapse was first judged by the mean of the first five tasks. The runs showed that the"
            " baseline is at chance from the second task on, so that this mean is one of collapsed tasks: it"
            " is judged by the first task instead.",
            "Labels are uniform, as in the text, and an epoch has all 75 batches; the released code, with"
            " which coefficients were chosen, shuffles the true labels and leaves out the last batch"
            " (`RandomLabelTask(labels='shuffled', drop_last='any')`).",
            "L2 is judged by its average over all tasks. If that is above the baseline's and the last tenth"
            " is not, L2 delays the collapse and does not prevent it.",
            "Shrink and perturb acts every 100 steps, each time with the combined effect of 100 of the"
            " paper's steps: shrink 0.99005, noise 0.1.",
            _CODE,
            _REDO,
        ),
        needs=(measures.AVERAGE, measures.ONLINE),
    ),
)
