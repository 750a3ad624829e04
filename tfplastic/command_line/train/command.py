"""`bin/train`: flags, gin, device, loop, run directory. Errors of use come before any environment or file."""

import contextlib
import functools
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from tfplastic._text.lines import one_line
from tfplastic.command_line import entry_point, messages
from tfplastic.command_line.entry_point import print_line, refuse
from tfplastic.command_line.train import options
from tfplastic.configuration import device, gin_config, gin_files, initial_run, quiet, unused
from tfplastic.configuration.build import build_loop
from tfplastic.configuration.composing import description
from tfplastic.configuration.errors import UsageError
from tfplastic.configuration.gin_trust import GinTrust


def main(arguments: Sequence[str]) -> int:
    """Runs `bin/train`.

    Args:
        arguments: the command line without the program's name.

    Returns:
        The exit code: 0 if the run finished or Ctrl-C stopped it, 143 if SIGTERM stopped it, 2 if the request
        cannot be carried out, 1 if it failed, 130 if Ctrl-C came outside the training.
    """
    with entry_point.reported("bin/train") as ending:
        entry_point.check_encoding()
        given = options.parse(arguments)
        ending.debug = given.debug
        if given.help or not given.gin_files:
            ending.code = _explain(given)
        elif given.dry_run:
            print_line(_prepare(given).loop.describe())
        else:
            run = _prepare(given)
            with _open(given, run) as directory, messages.messages_shown():
                ending.code = run.loop.run(directory, given.profile_steps, run.device)
    return ending.code


def _explain(given: options.Options) -> int:
    if given.help:
        sys.stdout.write(options.help_text())
        return 0
    return refuse(options.USAGE, "Name at least one gin file. bin/train --help explains the flags.")


class _Run(NamedTuple):
    """A loop, its device, its requested configuration and every value it uses, as gin text."""

    loop: Any
    device: str
    config_text: str
    operative_text: str


def _prepare(given: options.Options) -> _Run:
    """Builds all configured objects and prints the device and the sources of the run."""
    bindings = [*_bindings(given), *([] if given.seed is None else [f"train.seed = {given.seed}"])]
    trust = GinTrust.of_user(given.allow_imports)
    gin_files.scan(
        given.gin_files, bindings, trust
    )  # A missing file is found before TensorFlow's import, at once.
    device_name, sources = _start_tensorflow(given, bindings)  # Takes seconds.
    for note in gin_files.rename_notes(sources):
        print_line(note)
    run = _build(given, sources, device_name)
    config = run.loop.config
    if given.profile_steps and given.profile_steps[1] > config.total_steps:
        rule = f"--profile_steps must end within the run's {config.total_steps} steps"
        raise UsageError(f"{rule}. Received: {given.profile_steps}")
    found_none = given.device == "auto" and device_name.startswith("CPU")
    print_line(f"No GPU found; using the {device_name}." if found_none else f"Device: {device_name}")
    if same_seed := initial_run.note(config, _path(given, config.seed)):
        print_line(same_seed)
    if given.dry_run:
        print_line(f"{description.describe(sources)}\n")
    return run


def _start_tensorflow(given: options.Options, bindings: Sequence[str]) -> tuple[str, list[gin_files.Binding]]:
    """Imports TensorFlow with Keras 2, selects the device and parses gin."""
    if os.environ.get("TF_USE_LEGACY_KERAS", "1").lower() not in ("1", "true"):
        print_line("TF_USE_LEGACY_KERAS is set to 1 for this run, because TF-Agents needs Keras 2.")
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    with contextlib.nullcontext() if given.debug else quiet.imports_quiet():
        device_name = device.select(given.device, given.deterministic)
        return device_name, gin_config.parse(
            given.gin_files, bindings, trust=GinTrust.of_user(given.allow_imports)
        )


def _bindings(given: options.Options) -> list[str]:
    initial = [] if given.init_from is None else [initial_run.as_binding(given.init_from)]
    return [*given.gin_bindings, *initial]


def _build(given: options.Options, sources: Sequence[gin_files.Binding], device_name: str) -> _Run:
    with messages.messages_shown():
        loop = build_loop(sources, functools.partial(_path, given))
    unused.check_all_bindings_used(sources)
    initial = loop.config.init_from
    found = {} if initial is None else {initial_run.ARGUMENT: initial}
    return _Run(loop, device_name, gin_config.config_text(), gin_config.operative_text(found))


def _path(given: options.Options, seed: int) -> str:
    """Returns the directory of the run with a seed."""
    return given.run_directory or default_run_directory(given.gin_files, seed)


def _open(given: options.Options, run: _Run) -> Any:
    from tfplastic.training.run.directory import RunDirectory

    path = _path(given, run.loop.config.seed)
    try:
        return RunDirectory.open(path, run.config_text, run.operative_text, resume=given.resume)
    except (ValueError, OSError) as error:
        raise UsageError(f"--run_dir: {one_line(error)}") from error


def default_run_directory(files: Sequence[str], seed: int) -> str:
    """Returns the directory of a run whose command names none.

    Example:
        >>> from tfplastic.command_line import train
        >>> train.default_run_directory(['gin/atari_dqn_ln.gin', 'gin/sizes/quick.gin'], 0)
        'runs/atari_dqn_ln-quick-seed0'
    """
    return f"runs/{'-'.join(pathlib.Path(file).stem for file in files)}-seed{seed}"
