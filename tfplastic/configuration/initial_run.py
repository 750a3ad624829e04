"""`train.init_from` of a command line: absolute, and with the step that is then recorded."""

import ast
import os
import pathlib
from typing import Any

import gin

from tfplastic import _checkpoint_files as files
from tfplastic.run_format import CHECKPOINTS_DIRECTORY, OPERATIVE_CONFIG_FILE

ARGUMENT = "train.init_from"
_SEED = "train.seed"


def as_binding(text: str) -> str:
    """Returns the gin statement that the flag `--init_from` stands for."""
    return f"{ARGUMENT} = {text!r}"


def make_absolute() -> None:
    """Makes the path in gin's configuration absolute, as another process may read it elsewhere."""
    try:
        given = gin.query_parameter(ARGUMENT)
    except ValueError:  # not bound
        return
    if isinstance(given, str) and given:
        with gin.unlock_config():
            gin.bind_parameter(ARGUMENT, os.path.abspath(given))


def has_begun(run_directory: str) -> bool:
    """Returns whether a run has a checkpoint to resume from, so that no first weights are read."""
    return bool(files.complete(pathlib.Path(run_directory, CHECKPOINTS_DIRECTORY)))


def resolved(config: Any, run_directory: str) -> Any:
    """Returns a `TrainConfig` whose `init_from`, if it has one, names a step.

    That is the step which the run in `run_directory` has recorded, where its source is the one asked for;
    else the newest good checkpoint of the source.

    Raises:
        ValueError: the source has none.
    """
    from tfplastic.training.run.initial_source import is_same_source, parse_source
    from tfplastic.training.run.initial_weights import find_source

    if config.init_from is None:
        return config
    recorded = _recorded(pathlib.Path(run_directory, OPERATIVE_CONFIG_FILE))
    if recorded is not None and is_same_source(recorded, config.init_from):
        return config.initialized_from(recorded)
    source = parse_source(config.init_from)
    step = find_source(config.init_from).step if source.step is None else source.step
    return config.initialized_from(f"{os.path.abspath(source.directory)}@{step}")


def note(config: Any, run_directory: str) -> str:
    """Returns a line on a run that begins with the seed of its source; empty for another.

    Args:
        config: a `TrainConfig`, as from `resolved`.
        run_directory: directory of the run; a run with a checkpoint does not start again.
    """
    from tfplastic.training.run.initial_source import parse_source

    if config.init_from is None or has_begun(run_directory):
        return ""
    seed = _value(parse_source(config.init_from).directory / OPERATIVE_CONFIG_FILE, _SEED)
    if seed != config.seed:
        return ""
    return f"--init_from: same seed as the source ({seed}): its draws are drawn again; --seed=N draws others."


def _recorded(path: pathlib.Path) -> str | None:
    """Returns the `init_from` of a run; None where there is no run or it has none."""
    value = _value(path, ARGUMENT)
    return value if isinstance(value, str) else None


def _value(path: pathlib.Path, argument: str) -> Any:
    """Returns the value of an argument in the config of a run; None without a run or a value."""
    from tfplastic.training.run.bindings import parse_bindings

    try:
        return ast.literal_eval(parse_bindings(path.read_text(encoding="utf-8")).get(argument, "None"))
    except (OSError, ValueError, SyntaxError):
        return None
