"""`bin/train`: flags, gin, device, loop, run directory. Errors of use come before any environment or file."""

import contextlib
import os
import pathlib
import sys
from collections.abc import Sequence

import gin

from tfplastic.command_line import (
    device,
    gin_config,
    gin_errors,
    gin_files,
    messages,
    options,
    programs,
    quiet,
)
from tfplastic.command_line.errors import UsageError, one_line


def main(arguments: Sequence[str]) -> int:
    """Runs `bin/train`.

    Args:
        arguments: the command line without the program's name.

    Returns:
        The exit code: 0 if the run finished or Ctrl-C stopped it, 143 if SIGTERM stopped it, 2 if what was
        asked for cannot be done, 1 if it failed, 130 if Ctrl-C came outside the training.
    """
    return programs.run("bin/train", lambda: options.parse(arguments), _act)


def _act(given: options.Options) -> int:
    if given.help:
        sys.stdout.write(options.help_text())
        return 0
    if not given.gin_files:
        sys.stderr.write(f"{options.USAGE}Name at least one gin file. bin/train --help explains the flags.\n")
        return 2
    return _train(given)


def _train(given: options.Options) -> int:
    bindings = [*given.gin_bindings, *([] if given.seed is None else [f"train.seed = {given.seed}"])]
    gin_files.scan(given.gin_files, bindings)  # A missing file is found before TensorFlow's import, at once.
    device_name, sources = _start_tensorflow(given, bindings)  # Takes seconds.
    from tfplastic.training.loop import Loop, TrainConfig
    from tfplastic.training.run_directory import RunDirectory

    with gin_errors.constructing(sources):
        config = gin.get_configurable(TrainConfig)()
        loop = Loop(config)
    gin_config.check_all_bindings_used(sources)
    if given.profile_steps and given.profile_steps[1] > config.total_steps:
        rule = f"--profile_steps must end within the run's {config.total_steps} steps"
        raise UsageError(f"{rule}. Received: {given.profile_steps}")
    found_none = given.device == "auto" and device_name.startswith("CPU")
    programs.say(
        f"No GPU found; going on with the {device_name}." if found_none else f"Device: {device_name}"
    )
    if given.dry_run:
        programs.say(loop.describe())
        return 0
    path = given.run_directory or default_run_directory(given.gin_files, config.seed)
    try:
        directory = RunDirectory.open(
            path, gin_config.config_text(), gin_config.operative_text(), resume=given.resume
        )
    except (ValueError, OSError) as error:
        raise UsageError(f"--run_dir: {one_line(error)}") from error
    with directory, messages.messages_shown():
        return loop.run(directory, given.profile_steps, device_name)


def _start_tensorflow(given: options.Options, bindings: Sequence[str]) -> tuple[str, list[gin_files.Binding]]:
    """Imports TensorFlow with Keras 2, selects the device and parses gin."""
    if os.environ.get("TF_USE_LEGACY_KERAS", "1").lower() not in ("1", "true"):
        programs.say("TF_USE_LEGACY_KERAS is set to 1 for this run, because TF-Agents needs Keras 2.")
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    with contextlib.nullcontext() if given.debug else quiet.imports_quiet():
        device_name = device.select(given.device, given.deterministic)
        return device_name, gin_config.parse(given.gin_files, bindings)


def default_run_directory(files: Sequence[str], seed: int) -> str:
    """The directory of a run whose command names none.

    Example:
        >>> from tfplastic.command_line import train
        >>> train.default_run_directory(['gin/atari_dqn_ln.gin', 'gin/sizes/quick.gin'], 0)
        'runs/atari_dqn_ln-quick-seed0'
    """
    return f"runs/{'-'.join(pathlib.Path(file).stem for file in files)}-seed{seed}"
