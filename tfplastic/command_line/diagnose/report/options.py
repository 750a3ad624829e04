"""The flags of `bin/diagnose report`."""

import dataclasses
from collections.abc import Set

from absl import flags

from tfplastic.command_line.diagnose import sources
from tfplastic.command_line.diagnose.command_table import CommonOptions
from tfplastic.command_line.flag_table import Flag
from tfplastic.configuration.errors import UsageError

BUDGETS = ("cheap", "medium", "full")

USAGE = """\
Usage: bin/diagnose report --run_dir=RUN [--checkpoint=STEP | --all_checkpoints] [flags]
       bin/diagnose report --model=FILE.keras --data=FILE.npz [--loss=NAME] [flags]
"""

INTRODUCTION = """\
bin/diagnose report measures every layer of a network: dead and dormant units, ranks, weights, gradients,
kernel and curvature, as tables, and arrays as figures. It takes a checkpoint of a run of bin/train, whose
directory it otherwise only reads, or all of them, to draw each quantity along the run; or a Keras model (2 or
3) and data.
"""

EXAMPLES = """\
Examples:
  The newest checkpoint of a run, with curvature and the gradients' covariance:
    bin/diagnose report --run_dir=runs/boxing --budget=full

  Along a run, of which bin/train keeps the last train.keep_checkpoints (2, unless set):
    bin/train --gin_file=gin/random_labels_digits.gin --gin_bindings="train.keep_checkpoints = 20" \\
        --run_dir=runs/digits
    bin/diagnose report --run_dir=runs/digits --all_checkpoints

  A classifier of your own that ends in logits:
    bin/diagnose report --model=cnn.keras --data=mnist.npz \\
        --loss=sparse_categorical_crossentropy --from_logits

Quantities of change need the network at gradient step 0, which a run keeps if train.diagnostics has one of
them, and those of the next update an optimizer with its state, which only runs have.
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """The flags of one call; `--help` explains each."""

    all_checkpoints: bool
    loss: str | None
    from_logits: bool
    num_examples: int
    budget: str


def check(given: Options, present: Set[str]) -> None:
    """Raises `UsageError` unless the flags go together."""
    with_run, with_model = ("checkpoint", "all_checkpoints"), ("data", "loss", "from_logits", "num_examples")
    sources.check(given, present, with_run, with_model, required=("data",))
    if given.all_checkpoints and given.checkpoint is not None:
        raise UsageError("give either --checkpoint or --all_checkpoints. Received: both")
    if given.from_logits and not given.loss:
        raise UsageError("--from_logits goes with --loss, which is not given")
    if given.loss == "":
        raise UsageError("--loss must not be empty")


FLAGS = (
    sources.run_dir(
        "loss and data are the training loss, or train.diagnostics_loss, and the fixed batch that the run's"
        " own diagnostics see, the optimizer is the one in the checkpoint"
    ),
    sources.checkpoint("the newest"),
    Flag(
        flags.DEFINE_boolean,
        "all_checkpoints",
        False,
        "--[no]all_checkpoints",
        "Report on all checkpoints that there are, and draw each quantity over gradient steps. Only with"
        " --run_dir. Default: --noall_checkpoints.",
    ),
    sources.MODEL,
    sources.TRUST_MODULE,
    sources.TRUST,
    sources.data("Inputs x, and for a loss targets y; or x_train and y_train"),
    Flag(
        flags.DEFINE_string,
        "loss",
        None,
        "--loss=NAME",
        "Name of a Keras loss, such as mse or categorical_crossentropy, for quantities of the loss: its mean"
        " over the examples, without the model's regularizers. Only with --model. Default: the loss that the"
        " model was compiled with, regularizers included, where --data has targets; else quantities of the"
        " loss are left out.",
    ),
    sources.FROM_LOGITS,
    Flag(
        sources.integer_of_at_least(1),
        "num_examples",
        2_048,
        "--num_examples=INTEGER",
        "How many of the first examples of --data to take; all where there are fewer. Features of all of them"
        " are held in memory. Only with --model. Default: 2048.",
    ),
    Flag(
        sources.one_of(BUDGETS),
        "budget",
        "medium",
        f"--budget={'|'.join(BUDGETS)}",
        "Computation to spend. cheap: one forward pass and the weights; medium: with gradients and the"
        " next update; full: with gradients of single examples, the kernel and curvature too, minutes for"
        " large networks. Default: medium.",
    ),
    sources.out(
        "NAME.csv, NAME.json, NAME.npz (arrays), and NAME_QUANTITY.png and .svg (arrays drawn); with"
        " --all_checkpoints, for NAME all steps, and checkpoints.csv and checkpoints_KIND.png and .svg",
        "for a run arrays/report/ (csv, json, npz) and figures/report/ in its directory, NAME being the"
        " step; for a model its own directory, NAME being MODEL_report. In an --out, NAME is STEP_report for"
        " a run",
    ),
)

RULES: dict[str, str] = {
    "checkpoint": sources.AT_LEAST_ZERO,
    "num_examples": sources.AT_LEAST_ONE,
    "budget": f"one of {', '.join(BUDGETS)}",
}
