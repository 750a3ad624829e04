"""The flags of `bin/diagnose probe`."""

import dataclasses
import math
from collections.abc import Set

from absl import flags

from tfplastic.command_line.diagnose import sources
from tfplastic.command_line.diagnose.command_table import CommonOptions
from tfplastic.command_line.flag_table import Flag
from tfplastic.configuration.errors import UsageError

TARGETS = ("sine", "random_network", "random_labels")
SETTINGS = ("num_targets", "num_steps", "batch_size", "baselines", "num_inputs", "seed")
"""The flags that are arguments of a `probing.Probe`."""
NUM_INPUTS = 5_000  # as the probes of a run have it

USAGE = """\
Usage: bin/diagnose probe --run_dir=RUN [--checkpoint=STEP] [flags]
       bin/diagnose probe --model=FILE.keras --data=FILE.npz [--optimizer=NAME] [flags]
"""

INTRODUCTION = """\
bin/diagnose probe measures plasticity: how well a copy of a network, with the optimizer of its training, fits
targets that it has never seen, compared with freshly initialized networks of the same architecture. It takes
all checkpoints of a run of bin/train, whose directory it otherwise only reads, or a Keras model (2 or 3) and
inputs, and draws the curves of the probes as in Fig. 4 of Lyle et al. 2023.
"""

EXAMPLES = """\
Examples:
  All checkpoints of a run, of which bin/train keeps the last train.keep_checkpoints (2, unless set):
    bin/train --gin_file=gin/mdp_true_label_digits.gin --gin_bindings="train.keep_checkpoints = 20" \\
        --run_dir=runs/digits
    bin/diagnose probe --run_dir=runs/digits

  A model of your own, with the optimizer that it was compiled with, first in a quick form:
    bin/diagnose probe --model=cnn.keras --data=mnist.npz --num_targets=3 --num_steps=200

The paper's protocol trains 10 targets and 8 fresh networks, 2,000 steps each: minutes for a small network on
a CPU. Fresh networks train once for all checkpoints.
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """The flags of one call; `--help` explains each."""

    optimizer: str | None
    learning_rate: float | None
    targets: str | None
    value_range: str | None
    num_targets: int | None
    num_steps: int | None
    batch_size: int | None
    baselines: int | None
    num_inputs: int | None
    seed: int | None


def check(given: Options, present: Set[str]) -> None:
    """Raises `UsageError` unless the flags go together."""
    with_model = ("data", "optimizer", "learning_rate")
    sources.check(given, present, ("checkpoint",), with_model, required=("data",))
    rate = given.learning_rate
    if rate is not None and not (math.isfinite(rate) and rate > 0):
        raise UsageError(f"--learning_rate must be {RULES['learning_rate']}. Received: '{rate}'")
    if given.value_range is not None:
        parse_value_range(given.value_range)
        if given.targets == "random_labels":
            raise UsageError("--value_range goes with targets that are values. Received: random_labels")


def parse_value_range(text: str) -> tuple[float, float]:
    """Returns the two numbers of `--value_range`.

    Example:
        >>> from tfplastic.command_line.diagnose.probe import options
        >>> options.parse_value_range('-10,10')
        (-10.0, 10.0)

    Raises:
        UsageError: they are not two finite numbers that ascend.
    """
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        low = high = math.nan
    if not (low < high and math.isfinite(low) and math.isfinite(high)):
        raise UsageError(f"--value_range must be two ascending numbers MIN,MAX. Received: {text!r}")
    return low, high


def _setting(name: str, minimum: int, form: str, text: str, default: str) -> Flag:
    explained = f"{text} Default: that of the run's own probe, if it has one, else {default}."
    return Flag(sources.integer_of_at_least(minimum), name, None, f"--{name}={form}", explained)


FLAGS = (
    sources.run_dir(
        "the optimizer is the run's, and so are the settings of the probe where the run has one (train.probe)"
    ),
    sources.checkpoint("all that there are, each with a curve of its own"),
    sources.MODEL,
    sources.TRUST_MODULE,
    sources.TRUST,
    sources.data("Inputs x or x_train"),
    Flag(
        flags.DEFINE_string,
        "optimizer",
        None,
        "--optimizer=NAME",
        "Name of a Keras optimizer, such as adam, with Keras' settings. Only with --model. Default: the one"
        " that the model was compiled with when it was saved.",
    ),
    Flag(
        flags.DEFINE_float,
        "learning_rate",
        None,
        "--learning_rate=NUMBER",
        "Learning rate of that optimizer. Only with --model. Default: the optimizer's.",
    ),
    Flag(
        sources.one_of(TARGETS),
        "targets",
        None,
        f"--targets={'|'.join(TARGETS)}",
        "Targets to fit. sine: a + sin(1e5 f(x)), f a fresh network, a the probed network's mean prediction,"
        " as in Lyle et al. 2023; random_network: f(x), as in Lyle et al. 2022; random_labels: uniform"
        " labels, by cross-entropy, outputs being logits. Default: those of the run's own probe, if it has"
        " one, else sine.",
    ),
    Flag(
        flags.DEFINE_string,
        "value_range",
        None,
        "--value_range=MIN,MAX",
        "The values of the first and the last bin of a network whose outputs are logits over bins, such as"
        " C51 or two-hot; their expected value is fitted to targets. Default: the head of the run's own"
        " probe, if it has one.",
    ),
    _setting(
        "num_targets", 1, "INTEGER", "How many targets to fit, one after another or side by side.", "10"
    ),
    _setting("num_steps", 1, "INTEGER", "Gradient steps on each target.", "2,000"),
    _setting("batch_size", 1, "INTEGER", "Inputs in the batch of each step.", "32"),
    _setting(
        "baselines",
        0,
        "INTEGER",
        "How many fresh networks to compare with; fewer than 2 give no verdict.",
        "8",
    ),
    _setting(
        "num_inputs",
        1,
        "INTEGER",
        "How many inputs to fit targets on. Those of a run are the inputs of its own probes where it has"
        " kept them, else drawn as its task draws them at the first of the checkpoints.",
        "5,000, or all where there are fewer",
    ),
    _setting("seed", 0, "INTEGER", "Root seed of targets, fresh networks and batches, at least 0.", "0"),
    sources.out(
        "NAME.npz, NAME.csv, NAME.png and NAME.svg",
        "for a run arrays/probe/ (npz, csv) and figures/probe/ in its directory, NAME being the step, or"
        " 'checkpoints' for all; for a model its own directory, NAME being MODEL_probe. In an --out, NAME is"
        " STEP_probe or checkpoints_probe for a run",
    ),
)

RULES: dict[str, str] = (
    dict.fromkeys(SETTINGS, sources.AT_LEAST_ONE)
    | dict.fromkeys(("checkpoint", "seed", "baselines"), sources.AT_LEAST_ZERO)
    | {"learning_rate": "a finite number above 0", "targets": f"one of {', '.join(TARGETS)}"}
)
