"""The flags of `bin/diagnose`."""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

from absl import flags

from tfplastic._checks import near_matches
from tfplastic.command_line import device, flag_table
from tfplastic.command_line.errors import UsageError
from tfplastic.command_line.flag_table import Flag

COMMANDS = ("spectrum",)

USAGE = """\
Usage: bin/diagnose spectrum --run_dir=RUN [--checkpoint=STEP] [flags]
       bin/diagnose spectrum --model=FILE.keras --data=FILE.npz --loss=NAME [flags]
"""

INTRODUCTION = """\
bin/diagnose spectrum measures the curvature of a loss: the largest and the smallest eigenvalues of its
Hessian over all trainable weights, and the density of all of them, as numbers and as a figure. It takes a
checkpoint of a run of bin/train, whose directory it otherwise only reads, or a Keras model (2 or 3) and data.
"""

EXAMPLES = """\
Examples:
  The newest checkpoint of a run, on the batch that the run's own diagnostics see:
    bin/diagnose spectrum --run_dir=runs/boxing

  A classifier that ends in logits:
    bin/diagnose spectrum --model=cnn.keras --data=mnist.npz \\
        --loss=sparse_categorical_crossentropy --from_logits

docs/curvature.md explains what is written and what the numbers are worth.
"""


@dataclasses.dataclass(frozen=True)
class Options:
    """The flags of one call of `bin/diagnose spectrum`; `--help` says what each means."""

    run_directory: str | None
    checkpoint: int | None
    model: str | None
    data: str | None
    loss: str | None
    from_logits: bool
    batch_size: int
    num_eigenvalues: int
    tol: float
    num_steps: int
    num_probes: int
    seed: int
    out: str | None
    device: str
    debug: bool
    help: bool


def parse(arguments: Sequence[str]) -> Options:
    """The options that `arguments` (without the program's name) give, the command `spectrum` first.

    Raises:
        UsageError: the command or a flag is unknown, a value is wrong, flags do not go together, or there is
            an argument too many.
    """
    values: Any
    values, words = flag_table.parse("bin/diagnose", _FLAGS, arguments, _RULES)
    names = {field.name: field.name for field in dataclasses.fields(Options)} | {"run_directory": "run_dir"}
    given = Options(**{field: values[name].value for field, name in names.items()})
    if given.help:
        return given
    _check_command(words)
    _check_what(given, {name for name in values if values[name].present})
    if not (math.isfinite(given.tol) and given.tol > 0):
        raise UsageError(f"--tol must be {_RULES['tol']}. Received: '{given.tol}'")
    device.parse(given.device)
    return given


def help_text() -> str:
    """What `--help` prints: each flag with its unit and default, and two examples."""
    return flag_table.help_text(INTRODUCTION, USAGE, _FLAGS, EXAMPLES)


def _integer(minimum: int) -> Any:
    return functools.partial(flags.DEFINE_integer, lower_bound=minimum)


_FLAGS = (
    Flag(
        flags.DEFINE_string,
        "run_dir",
        None,
        "--run_dir=DIRECTORY",
        "Directory of a run of bin/train. Task and network are built as its operative config says; the loss"
        " is the training loss on the fixed batch that the run's own diagnostics see. A run that is at work"
        " goes on undisturbed.",
    ),
    Flag(
        _integer(0),
        "checkpoint",
        None,
        "--checkpoint=STEP",
        "Gradient step of the checkpoint to take. Only with --run_dir. Default: the newest.",
    ),
    Flag(
        flags.DEFINE_string,
        "model",
        None,
        "--model=FILE.keras",
        "Keras model, in the format .keras, with one input and one output; whether it is of Keras 2 or Keras"
        " 3 is read from it. It is called with training=False.",
    ),
    Flag(
        flags.DEFINE_string,
        "data",
        None,
        "--data=FILE.npz",
        "Inputs x and targets y, or x_train and y_train, as arrays [examples, ...]. Required with --model.",
    ),
    Flag(
        flags.DEFINE_string,
        "loss",
        None,
        "--loss=NAME",
        "Name of a Keras loss, such as mse or categorical_crossentropy; the loss is its mean over all"
        " examples of --data. Required with --model.",
    ),
    Flag(
        flags.DEFINE_boolean,
        "from_logits",
        False,
        "--[no]from_logits",
        "Whether the model's outputs are logits, for the crossentropies. Only with --model. Default:"
        " --nofrom_logits, outputs are probabilities.",
    ),
    Flag(
        _integer(1),
        "batch_size",
        256,
        "--batch_size=INTEGER",
        "Examples that go through the model at once: more are faster and take more memory; results differ by"
        " rounding alone. Only with --model. Default: 256.",
    ),
    Flag(
        _integer(1),
        "num_eigenvalues",
        10,
        "--num_eigenvalues=INTEGER",
        "How many eigenvalues to find at each end of the spectrum, with at most 100 Hessian-vector products,"
        " or 5 for each where that is more; as many vectors of all weights are held in memory. Default: 10.",
    ),
    Flag(
        flags.DEFINE_float,
        "tol",
        1e-3,
        "--tol=NUMBER",
        "An eigenvalue counts as found when the residual of its eigenpair, |H v - lambda v|, is at most this"
        " fraction of it. Default: 0.001.",
    ),
    Flag(
        _integer(1),
        "num_steps",
        90,
        "--num_steps=INTEGER",
        "Lanczos steps for each probe of the density, a Hessian-vector product each: more resolve finer"
        " detail. Default: 90.",
    ),
    Flag(
        _integer(1),
        "num_probes",
        10,
        "--num_probes=INTEGER",
        "Random start vectors that the density is averaged over: more make its bulk less noisy. Default: 10.",
    ),
    Flag(
        _integer(0),
        "seed",
        0,
        "--seed=INTEGER",
        "Root seed of the random start vectors, at least 0. Default: 0.",
    ),
    Flag(
        flags.DEFINE_string,
        "out",
        None,
        "--out=DIRECTORY",
        "Where to write NAME.npz, NAME.png and NAME.svg, replacing older ones. Default for a run:"
        " arrays/spectrum/ (npz) and figures/spectrum/ in its directory, NAME being the step; for a model:"
        " its own directory, NAME being MODEL_spectrum.",
    ),
    flag_table.DEVICE,
    flag_table.DEBUG,
)

_WITH_RUN = ("checkpoint",)
_WITH_MODEL = ("data", "loss", "from_logits", "batch_size")
_RULES: dict[str, str] = dict.fromkeys(
    ("batch_size", "num_eigenvalues", "num_steps", "num_probes"), "an integer of at least 1"
)
_RULES |= dict.fromkeys(("checkpoint", "seed"), "an integer of at least 0") | {
    "tol": "a finite number above 0"
}


def _check_command(words: Sequence[str]) -> None:
    if not words or words[0] not in COMMANDS:
        received = f" Received: {words[0]!r}.{near_matches(words[0], COMMANDS)}" if words else ""
        raise UsageError(f"the first word must be a command: {', '.join(COMMANDS)}.{received}")
    if words[1:]:
        raise UsageError(f"unexpected argument {words[1]!r}. Flags are given as --name=value")


def _check_what(given: Options, present: set[str]) -> None:
    """Checks that either a run or a model is given, and that each flag that is given is read."""
    if (given.run_directory is None) == (given.model is None):
        received = "neither" if given.model is None else "both"
        raise UsageError(f"give either --run_dir or --model. Received: {received}")
    if given.model is None:
        needed, foreign, other = ("run_dir",), _WITH_MODEL, "--model"
    else:
        needed, foreign, other = ("model", "data", "loss"), _WITH_RUN, "--run_dir"
    for name in foreign:
        if name in present:
            raise UsageError(f"--{name} goes with {other}, which is not given")
    fields = {"run_dir": given.run_directory, "model": given.model, "data": given.data, "loss": given.loss}
    for name in needed:
        if not fields[name]:
            raise UsageError(
                f"--{name} must be given" if fields[name] is None else f"--{name} must not be empty"
            )
