"""The flags of `bin/train`."""

import dataclasses
import functools
from collections.abc import Sequence

from absl import flags

from tfplastic.command_line import flag_table
from tfplastic.command_line.flag_table import Flag
from tfplastic.configuration import device
from tfplastic.configuration.errors import UsageError

USAGE = """\
Usage: bin/train --gin_file=FILE [--gin_file=FILE ...] [--gin_bindings=BINDING ...] [flags]
"""

INTRODUCTION = """\
bin/train trains the network that gin files describe and writes its measurements to a run directory.
"""

EXAMPLES = """\
Examples:
  A run of a few minutes on a CPU:
    bin/train --gin_file=gin/atari_dqn_ln.gin --gin_file=gin/sizes/quick.gin

  The cost of another game and another seed, without starting the run:
    bin/train --gin_file=gin/atari_dqn_ln.gin --gin_bindings="AtariTask.game = 'Pong'" --seed=1 --dry_run

Ctrl-C stops a run; the same command resumes it.
TensorBoard shows it: tensorboard --logdir=runs
"""


@dataclasses.dataclass(frozen=True)
class Options:
    """The flags of one call of `bin/train`; `--help` explains each."""

    gin_files: tuple[str, ...]
    gin_bindings: tuple[str, ...]
    allow_imports: bool
    run_directory: str | None
    seed: int | None
    init_from: str | None
    resume: bool
    profile_steps: tuple[int, int] | None
    device: str
    deterministic: bool
    dry_run: bool
    debug: bool
    help: bool


def parse(arguments: Sequence[str]) -> Options:
    """Returns the options that `arguments` (without the program's name) give.

    Raises:
        UsageError: a flag is unknown or its value is wrong, or an argument is not a flag.
    """
    values, rest = flag_table.parse("bin/train", _FLAGS, arguments, _RULES)
    if rest:
        raise UsageError(f"unexpected argument {rest[0]!r}. Gin files are given as --gin_file=FILE")
    if values.init_from == "":
        raise UsageError("--init_from must name a run directory. Received: ''")
    if "" in values.gin_file:
        raise UsageError("--gin_file must name a file. Received: ''")
    twice = [file for file in values.gin_file if values.gin_file.count(file) > 1]
    if twice:
        raise UsageError(f"--gin_file must name each file once. Received: {twice[0]!r} twice")
    if values.run_dir == "":
        raise UsageError("--run_dir must name a directory. Received: ''")
    device.parse(values.device)
    return Options(
        gin_files=tuple(values.gin_file),
        gin_bindings=tuple(values.gin_bindings),
        allow_imports=values.allow_imports,
        run_directory=values.run_dir,
        seed=values.seed,
        init_from=values.init_from,
        resume=values.resume,
        profile_steps=_parse_profile_steps(values.profile_steps),
        device=values.device,
        deterministic=values.deterministic,
        dry_run=values.dry_run,
        debug=values.debug,
        help=values.help,
    )


def help_text() -> str:
    """Returns the text of `--help`: each flag with its unit and default, and two examples."""
    return flag_table.help_text(INTRODUCTION, USAGE, _FLAGS, EXAMPLES)


_FLAGS = (
    Flag(
        flags.DEFINE_multi_string,
        "gin_file",
        [],
        "--gin_file=FILE",
        "A gin file to read; may be given several times: one of a task and any number to add, in any order."
        " Where several set one value, the last one does. A file and what it includes are looked for from the"
        " working directory, then from the repository's root. Required.",
    ),
    Flag(
        flags.DEFINE_multi_string,
        "gin_bindings",
        [],
        "--gin_bindings=BINDING",
        "One gin statement, such as \"AtariTask.game = 'Pong'\", read after all files; may be given several"
        " times. Default: none.",
    ),
    flag_table.ALLOW_IMPORTS,
    Flag(
        flags.DEFINE_string,
        "run_dir",
        None,
        "--run_dir=DIRECTORY",
        "Directory of the run. Default: runs/NAMES-seedSEED in the working directory, where NAMES are the gin"
        " files' names, without .gin, joined by '-'.",
    ),
    Flag(
        functools.partial(flags.DEFINE_integer, lower_bound=0),
        "seed",
        None,
        "--seed=INTEGER",
        "Root seed of every random draw, an integer of at least 0; the same as a last"
        " --gin_bindings='train.seed = INTEGER'. Default: the value in the gin files, else 0.",
    ),
    Flag(
        flags.DEFINE_string,
        "init_from",
        None,
        "--init_from=DIRECTORY[@STEP]",
        "Run directory whose network gives the first weights, by its newest good checkpoint or that of a"
        " gradient step; the same as a last --gin_bindings=\"train.init_from = 'DIRECTORY@STEP'\". Only the"
        " weights are taken, and the other run stays as it is. A run that is resumed does not read them"
        " again. Default: none.",
    ),
    Flag(
        flags.DEFINE_boolean,
        "resume",
        True,
        "--[no]resume",
        "Resume from the last checkpoint if the run directory holds this run; one that holds another run is"
        " refused. With --noresume, so is one that holds this run. Default: --resume.",
    ),
    Flag(
        flags.DEFINE_string,
        "profile_steps",
        None,
        "--profile_steps=A,B",
        "Trace gradient steps A to B (0 <= A < B) for TensorBoard's profile plugin. Default: none.",
    ),
    flag_table.DEVICE,
    Flag(
        flags.DEFINE_boolean,
        "deterministic",
        False,
        "--[no]deterministic",
        "Use only operations that give the same bits each time. A CPU repeats a run without it; a GPU does"
        " not, and is slower with it. Default: --nodeterministic.",
    ),
    Flag(
        flags.DEFINE_boolean,
        "dry_run",
        False,
        "--[no]dry_run",
        "Read and build everything, try the speed for a moment, print the plan (network, memory, disk, steps,"
        " periods, duration) and exit; no file is written. Default: --nodry_run.",
    ),
    flag_table.DEBUG,
)


_RULES = {"seed": "an integer of at least 0"}


def _parse_profile_steps(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) == 2 and all(part.strip().isdecimal() for part in parts):
        first, last = int(parts[0]), int(parts[1])
        if first < last:
            return first, last
    raise UsageError(f"--profile_steps must be two integers A,B with 0 <= A < B. Received: {text!r}")
