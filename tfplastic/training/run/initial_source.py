"""The text of `train.init_from`: a run directory and perhaps a gradient step."""

import os
from pathlib import Path
from typing import NamedTuple


class Source(NamedTuple):
    """Where first weights come from.

    Attributes:
        directory: directory of a run.
        step: gradient step of the checkpoint; None for the newest.
    """

    directory: Path
    step: int | None


def parse_source(text: str) -> Source:
    """Returns the parts of `RUN_DIR` or `RUN_DIR@STEP`; a directory of the whole name comes first.

    Example:
        >>> from tfplastic.training.run.initial_source import parse_source
        >>> source = parse_source('runs/a@9')
        >>> source.directory.name, source.step
        ('a', 9)
    """
    directory, _, digits = text.rpartition("@")
    has_step = directory and digits.isascii() and digits.isdecimal()
    if has_step and not Path(text).is_dir():
        return Source(Path(directory), int(digits))
    return Source(Path(text), None)


def is_same_source(recorded: str, asked: str) -> bool:
    """Returns whether a run's recorded source fits the request, which may leave the step open.

    Args:
        recorded: text of the run, with a step.
        asked: text with or without one.
    """
    old, new = parse_source(recorded), parse_source(asked)
    is_same_directory = os.path.abspath(old.directory) == os.path.abspath(new.directory)
    return is_same_directory and new.step in (None, old.step)
