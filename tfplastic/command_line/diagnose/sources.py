"""The flags that name the subject of a diagnosis, a run or a model, and their rules."""

import functools
from collections.abc import Sequence, Set
from typing import Any

from absl import flags

from tfplastic.command_line.diagnose.command_table import CommonOptions
from tfplastic.command_line.flag_table import Flag
from tfplastic.configuration.errors import UsageError


def integer_of_at_least(minimum: int) -> Any:
    """Returns the definition of a flag that is such an integer."""
    return functools.partial(flags.DEFINE_integer, lower_bound=minimum)


def one_of(values: Sequence[str]) -> Any:
    """Returns the definition of a flag that is one of `values`."""
    return lambda name, default, text, flag_values: flags.DEFINE_enum(
        name, default, list(values), text, flag_values=flag_values
    )


def run_dir(rest: str) -> Flag:
    """Returns `--run_dir`, with the end of its explanation."""
    return Flag(
        flags.DEFINE_string,
        "run_dir",
        None,
        "--run_dir=DIRECTORY",
        "Directory of a run of bin/train. Task and network are built as its operative config says;"
        f" {rest}. A run that is training continues undisturbed.",
    )


def checkpoint(default: str) -> Flag:
    """Returns `--checkpoint`, with its default."""
    return Flag(
        integer_of_at_least(0),
        "checkpoint",
        None,
        "--checkpoint=STEP",
        f"Gradient step of the checkpoint to take. Only with --run_dir. Default: {default}.",
    )


def data(holds: str) -> Flag:
    """Returns the definition of `--data`, with the contents of the file."""
    return Flag(
        flags.DEFINE_string,
        "data",
        None,
        "--data=FILE.npz",
        f"{holds}, as arrays [examples, ...]. Required with --model.",
    )


def out(names: str, default: str) -> Flag:
    """Returns `--out`, with the names of files and the default."""
    return Flag(
        flags.DEFINE_string,
        "out",
        None,
        "--out=DIRECTORY",
        f"Where to write {names}, replacing older ones. Default: {default}.",
    )


MODEL = Flag(
    flags.DEFINE_string,
    "model",
    None,
    "--model=FILE.keras",
    "Keras model, in the format .keras or .h5, with one input and one output; whether it is of Keras 2 or"
    " Keras 3 is read from it. It is called with training=False. A file that names anything beyond Keras and"
    " tfplastic is refused; docs/trust.md says more.",
)
TRUST_MODULE = Flag(
    flags.DEFINE_multi_string,
    "trust_module",
    [],
    "--trust_module=NAME",
    "Python module, or package, of layers or tasks of your own, which is imported, from the working directory"
    " or where Python looks, and which the model or the run's config may name; may be given several times."
    " Default: none.",
)
TRUST = Flag(
    flags.DEFINE_boolean,
    "trust",
    False,
    "--[no]trust",
    "Load whatever the model's file names: Lambda layers, any module, TensorFlow's SavedModel directories."
    " The file can then run any command. Only with --model. Default: --notrust.",
)
LOSS = Flag(
    flags.DEFINE_string,
    "loss",
    None,
    "--loss=NAME",
    "Name of a Keras loss, such as mse or categorical_crossentropy; the loss is its mean over all examples"
    " of --data, without the model's regularizers. Only with --model. Default: the loss that the model was"
    " compiled with, regularizers included.",
)
FROM_LOGITS = Flag(
    flags.DEFINE_boolean,
    "from_logits",
    False,
    "--[no]from_logits",
    "Whether the model's outputs are logits, for the crossentropies. Only with --model. Default:"
    " --nofrom_logits, outputs are probabilities.",
)
AT_LEAST_ONE, AT_LEAST_ZERO = "an integer of at least 1", "an integer of at least 0"


def check(
    given: CommonOptions,
    present: Set[str],
    with_run: Sequence[str],
    with_model: Sequence[str],
    required: Sequence[str],
) -> None:
    """Checks that either a run or a model is given, and that each flag that is given is read.

    Args:
        given: the options.
        present: names of the flags that are given.
        with_run: flags that go with `--run_dir` alone.
        with_model: flags that go with `--model` alone.
        required: names of those that must be given.

    Raises:
        UsageError: they do not go together.
    """
    if (given.run_dir is None) == (given.model is None):
        received = "neither" if given.model is None else "both"
        raise UsageError(f"give either --run_dir or --model. Received: {received}")
    if given.model is None:
        needed, foreign, other = ["run_dir"], with_model, "--model"
    else:
        needed, foreign, other = ["model", *required], with_run, "--run_dir"
    for name in (*foreign, *(["trust"] if given.model is None else [])):
        if name in present:
            raise UsageError(f"--{name} goes with {other}, which is not given")
    for name in needed:
        value = getattr(given, name)
        if not value:
            raise UsageError(f"--{name} must be given" if value is None else f"--{name} must not be empty")
