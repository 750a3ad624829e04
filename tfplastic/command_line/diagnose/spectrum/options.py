"""The flags of `bin/diagnose spectrum`."""

import dataclasses
import math
from collections.abc import Set

from absl import flags

from tfplastic.command_line.diagnose import sources
from tfplastic.command_line.diagnose.command_table import CommonOptions
from tfplastic.command_line.flag_table import Flag
from tfplastic.configuration.errors import UsageError

USAGE = """\
Usage: bin/diagnose spectrum --run_dir=RUN [--checkpoint=STEP] [flags]
       bin/diagnose spectrum --model=FILE.keras --data=FILE.npz [--loss=NAME] [flags]
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

docs/curvature.md explains the files and the accuracy of the numbers.
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """The flags of one call; `--help` explains each."""

    loss: str | None
    from_logits: bool
    batch_size: int
    num_eigenvalues: int
    tol: float
    num_steps: int
    num_probes: int
    seed: int


def check(given: Options, present: Set[str]) -> None:
    """Raises `UsageError` unless the flags go together."""
    with_model = ("data", "loss", "from_logits", "batch_size")
    sources.check(given, present, ("checkpoint",), with_model, required=("data",))
    if given.loss == "":
        raise UsageError("--loss must not be empty")
    if given.from_logits and not given.loss:
        raise UsageError("--from_logits goes with --loss, which is not given")
    if not (math.isfinite(given.tol) and given.tol > 0):
        raise UsageError(f"--tol must be {RULES['tol']}. Received: '{given.tol}'")


FLAGS = (
    sources.run_dir(
        "the loss is the training loss, or train.diagnostics_loss, on the fixed batch that the run's own"
        " diagnostics see"
    ),
    sources.checkpoint("the newest"),
    sources.MODEL,
    sources.TRUST_MODULE,
    sources.TRUST,
    sources.data("Inputs x and targets y, or x_train and y_train"),
    sources.LOSS,
    sources.FROM_LOGITS,
    Flag(
        sources.integer_of_at_least(1),
        "batch_size",
        256,
        "--batch_size=INTEGER",
        "Examples that go through the model at once: more are faster and take more memory; results differ by"
        " rounding alone. Only with --model. Default: 256.",
    ),
    Flag(
        sources.integer_of_at_least(1),
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
        sources.integer_of_at_least(1),
        "num_steps",
        90,
        "--num_steps=INTEGER",
        "Lanczos steps for each probe of the density, a Hessian-vector product each: more resolve finer"
        " detail. Default: 90.",
    ),
    Flag(
        sources.integer_of_at_least(1),
        "num_probes",
        10,
        "--num_probes=INTEGER",
        "Random start vectors that the density is averaged over: more make its bulk less noisy. Default: 10.",
    ),
    Flag(
        sources.integer_of_at_least(0),
        "seed",
        0,
        "--seed=INTEGER",
        "Root seed of the random start vectors, at least 0. Default: 0.",
    ),
    sources.out(
        "NAME.npz, NAME.png and NAME.svg",
        "for a run arrays/spectrum/ (npz) and figures/spectrum/ in its directory, NAME being the step; for a"
        " model its own directory, NAME being MODEL_spectrum. In an --out, NAME is STEP_spectrum for a run",
    ),
)

RULES: dict[str, str] = dict.fromkeys(
    ("batch_size", "num_eigenvalues", "num_steps", "num_probes"), sources.AT_LEAST_ONE
)
RULES |= dict.fromkeys(("checkpoint", "seed"), sources.AT_LEAST_ZERO) | {"tol": "a finite number above 0"}
