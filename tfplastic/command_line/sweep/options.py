"""The flags of `bin/sweep`."""

import dataclasses
import functools
import math
import pathlib
from collections.abc import Sequence

from absl import flags

from tfplastic.command_line import flag_table
from tfplastic.command_line.flag_table import Flag
from tfplastic.configuration.errors import UsageError
from tfplastic.sweeps.ray_pool import LOCAL

USAGE = """\
Usage: bin/sweep --experiment=FILE [flags]
"""

INTRODUCTION = """\
bin/sweep trains the arms of an experiment with all its seeds, side by side, on this machine or a Ray cluster.
Each run is one of bin/train, in a process and a directory of its own.
"""

EXAMPLES = """\
Examples:
  Fig. 1 of the paper in its small form, on this machine; first its cost:
    bin/sweep --experiment=gin/paper/small/fig01.gin --dry_run
    bin/sweep --experiment=gin/paper/small/fig01.gin

  On a Ray cluster, four runs to a GPU, where all nodes see /shared:
    bin/sweep --experiment=gin/paper/fig07.gin --address=auto --gpus_per_run=0.25 --run_root=/shared/fig07

Ctrl-C stops a sweep; the same command resumes it. docs/sweeps.md shows clusters and Slurm.
"""


@dataclasses.dataclass(frozen=True)
class Options:
    """The flags of one call of `bin/sweep`; `--help` explains each."""

    experiment: str | None
    run_root: str
    address: str
    cpus_per_run: float
    gpus_per_run: float
    retries: int
    limit: int | None
    reuse: tuple[str, ...]
    gin_bindings: tuple[str, ...]
    allow_imports: bool
    sync_period: float
    dry_run: bool
    debug: bool
    help: bool

    @property
    def device(self) -> str:
        """The flag `--device` of the runs."""
        return "gpu" if self.gpus_per_run else "cpu"


def parse(arguments: Sequence[str]) -> Options:
    """Returns the options that `arguments` (without the program's name) give.

    Raises:
        UsageError: a flag is unknown or its value is wrong, or an argument is not a flag.
    """
    values, rest = flag_table.parse("bin/sweep", _FLAGS, arguments, _RULES)
    if rest:
        raise UsageError(f"unexpected argument {rest[0]!r}. The experiment is given as --experiment=FILE")
    for name in ("run_root", "address", "experiment"):
        if values[name].value == "":
            raise UsageError(f"--{name} must not be empty")
    _check_share("cpus_per_run", values.cpus_per_run, values.cpus_per_run > 0)
    gpus = values.gpus_per_run
    # Ray divides single GPUs only.
    _check_share("gpus_per_run", gpus, 0 <= gpus <= 1 or float(gpus).is_integer())
    _check_share("sync_period", values.sync_period, True)
    name = pathlib.Path(values.experiment or "").stem
    return Options(
        experiment=values.experiment,
        run_root=values.run_root or f"runs/{name}",
        address=values.address,
        cpus_per_run=values.cpus_per_run,
        gpus_per_run=values.gpus_per_run,
        retries=values.retries,
        limit=values.limit,
        reuse=tuple(values.reuse),
        gin_bindings=tuple(values.gin_bindings),
        allow_imports=values.allow_imports,
        sync_period=values.sync_period,
        dry_run=values.dry_run,
        debug=values.debug,
        help=values.help,
    )


def help_text() -> str:
    """Returns the text of `--help`: each flag with its unit and default, and two examples."""
    return flag_table.help_text(INTRODUCTION, USAGE, _FLAGS, EXAMPLES)


_FLAGS = (
    Flag(
        flags.DEFINE_string,
        "experiment",
        None,
        "--experiment=FILE",
        "A gin file that binds sweep.base, sweep.arms and sweep.seeds. It and the files that it names are"
        " looked for from the working directory, then from the repository's root. Required.",
    ),
    Flag(
        flags.DEFINE_string,
        "run_root",
        None,
        "--run_root=DIRECTORY|URL",
        "Where the run directories ARM-seedSEED, sweep.json and logs/ go: a directory that all nodes see, or"
        " a URL that fsspec knows, such as s3://bucket/fig06. With a URL a run writes to a temporary"
        " directory of its node, which is copied there every --sync_period seconds. Default: runs/NAME in"
        " the working directory, where NAME is the experiment's name without .gin.",
    ),
    Flag(
        flags.DEFINE_string,
        "address",
        LOCAL,
        "--address=local|auto|HOST:PORT",
        "Ray's address: local starts Ray on this machine, for this sweep; auto is the cluster that this"
        " machine belongs to, HOST:PORT any other. Default: local.",
    ),
    Flag(
        functools.partial(flags.DEFINE_float, lower_bound=0),
        "cpus_per_run",
        1.0,
        "--cpus_per_run=X",
        "Processor cores that a run may use: a share of a node. TensorFlow's"
        " threads are limited to it. As many runs execute at once as fit. Default: 1.",
    ),
    Flag(
        functools.partial(flags.DEFINE_float, lower_bound=0),
        "gpus_per_run",
        0.0,
        "--gpus_per_run=X",
        "GPUs that a run may use: 1, or 0.25 for four runs on one; 0 trains on the CPU. Default: 0.",
    ),
    Flag(
        functools.partial(flags.DEFINE_integer, lower_bound=0),
        "retries",
        2,
        "--retries=N",
        "How often a run that failed, or was lost with its node, resumes from its last checkpoint; counted"
        " from 0 again when it has got further than before. Default: 2.",
    ),
    Flag(
        functools.partial(flags.DEFINE_integer, lower_bound=0),
        "limit",
        None,
        "--limit=N",
        "Do the first N of the runs that are not finished, in the order seed by seed, arm by arm. Default:"
        " all.",
    ),
    Flag(
        flags.DEFINE_multi_string,
        "reuse",
        [],
        "--reuse=DIRECTORY|URL",
        "Another run root, whose finished runs are taken as they are, such as one with metrics that were"
        " committed without checkpoints; may be given several times. Default: none.",
    ),
    Flag(
        flags.DEFINE_multi_string,
        "gin_bindings",
        [],
        "--gin_bindings=BINDING",
        "One gin statement for every run, read after all files; may be given several times. Default: none.",
    ),
    flag_table.ALLOW_IMPORTS,
    Flag(
        functools.partial(flags.DEFINE_float, lower_bound=0.1),
        "sync_period",
        60.0,
        "--sync_period=SECONDS",
        "How often a run's files are copied to a --run_root that is a URL. Default: 60.",
    ),
    Flag(
        flags.DEFINE_boolean,
        "dry_run",
        False,
        "--[no]dry_run",
        "Read and build every arm, try the speed of each for a moment on this machine, print runs, cost and"
        " disk, and exit; no file is written. Default: --nodry_run.",
    ),
    flag_table.DEBUG,
)

_RULES = {
    "cpus_per_run": "a number above 0",
    "gpus_per_run": "a number in [0, 1] or a whole number",
    "retries": "an integer of at least 0",
    "limit": "an integer of at least 0",
    "sync_period": "a number of seconds, at least 0.1",
}


def _check_share(name: str, value: float, is_right: bool) -> None:
    if not (math.isfinite(value) and is_right):
        raise UsageError(f"--{name} must be {_RULES[name]}. Received: '{value}'")
