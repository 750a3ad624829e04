"""Shared parts of the programs in `bin/`: exit codes and messages."""

import contextlib
import dataclasses
import gc
import io
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from tfplastic._text.program_names import as_started
from tfplastic.configuration import gin_errors
from tfplastic.configuration.errors import UsageError


def run(program: str, parse: Callable[[], Any], act: Callable[[Any], int]) -> int:
    """Runs a program: errors become one line on standard error, with a traceback under `--debug` alone.

    Args:
        program: its name in a clone, for errors.
        parse: function that returns its options, which have an attribute `debug`.
        act: carries out the request and returns the exit code.

    Returns:
        The exit code: that of `act`, 2 if the request cannot be carried out, 1 if it failed, 130 after
        Ctrl-C.
    """
    with reported(program) as ending:
        check_encoding()
        given = parse()
        ending.debug = given.debug
        ending.code = act(given)
    return ending.code


@dataclasses.dataclass
class Ending:
    """The end of a program.

    Attributes:
        code: exit code.
        debug: whether an error is shown with its traceback.
    """

    code: int = 0
    debug: bool = False


@contextlib.contextmanager
def reported(program: str) -> Iterator[Ending]:
    """A context whose errors become one line on standard error, and an exit code.

    Args:
        program: its name in a clone, for errors.

    Yields:
        The end of the program, whose code is as for `run` after an error.
    """
    ending = Ending()
    _write_any_text()
    _collect_garbage_seldom()
    try:
        yield ending
    except KeyboardInterrupt:
        ending.code = _fail(program, "interrupted", 130, ending.debug)
    except UsageError as error:
        ending.code = _fail(program, str(error), 2, ending.debug)
    except Exception as error:
        hint = "" if ending.debug else " (--debug shows the traceback)"
        message = f"{type(error).__name__}: {gin_errors.own_words(str(error))}{hint}"
        ending.code = _fail(program, message, 1, ending.debug)


def check_encoding() -> None:
    """Refuses arguments outside of the locale's encoding: Python reads surrogates, which no file takes.

    Raises:
        UsageError: if an argument of this process is.
    """
    for argument in sys.argv[1:]:
        if any("\ud800" <= each <= "\udfff" for each in argument):
            rule = f"must be of the locale's encoding, {sys.getfilesystemencoding()}"
            action = "Set PYTHONUTF8=1 and run the same command again."
            raise UsageError(f"arguments {rule}. Received: {ascii(argument)}. {action}")


def refuse(usage: str, advice: str) -> int:
    """Writes to standard error how a program is used; returns the exit code, 2.

    Args:
        usage: the forms of its use.
        advice: the missing packages, and where to read more.
    """
    sys.stderr.write(as_started(f"{usage}{advice}\n"))
    return 2


def print_line(text: str) -> None:
    """Prints a line on standard output, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _write_any_text() -> None:
    """Escapes characters that the locale's encoding lacks: names and texts never end a program."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _collect_garbage_seldom() -> None:
    """Spares a program a fifth of the time that its imports take, which make objects that all stay."""
    gc.set_threshold(max(20_000, gc.get_threshold()[0]), 20, 20)


def _fail(program: str, message: str, code: int, show_traceback: bool) -> int:
    if show_traceback:
        traceback.print_exc()
    sys.stderr.write(f"{as_started(program)}: error: {message}\n")
    return code
