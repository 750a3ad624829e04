"""The error of a run whose directory cannot be written, in one line with the next action."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR)
_ACTIONS = {
    **dict.fromkeys(_NO_SPACE, "Free some space"),
    **dict.fromkeys(_NOT_ALLOWED, "Make it writable"),
    errno.EIO: "Check its disk",
    errno.ENOENT: "Restore it",  # the directory itself
}


class CannotWriteError(OSError):
    """A run's directory cannot be written; saved files stay, and the message names the remedy."""


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Surrounds code that writes below `path`, as little as possible; its errors become one line.

    Args:
        path: run directory.

    Raises:
        CannotWriteError: for an error of writing below `path`; any other error passes.
    """
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        told = explained(error, path)
        if told is error:
            raise
        raise told from error


def explained(error: BaseException, path: Path) -> BaseException:
    """Returns a `CannotWriteError` for an error of writing below `path`; any other error as it is.

    Args:
        error: error of Python or of TensorFlow, which writes event files and variables, while writing.
        path: run directory.
    """
    if isinstance(error, CannotWriteError):
        return error
    code = _code_of(error, path)
    if code is None or (code == errno.ENOENT and path.is_dir()):
        return error
    resume = "and run the same command again, which resumes from the last checkpoint"
    return CannotWriteError(f"{path} cannot be written: {os.strerror(code)}. {_ACTIONS[code]}, {resume}")


def _code_of(error: BaseException, path: Path) -> int | None:
    if isinstance(error, OSError):
        return error.errno if error.errno in _ACTIONS and _is_below(error.filename, path) else None
    if isinstance(error, tf.errors.OpError):
        text = str(error)
        codes = (code for code in _ACTIONS if os.strerror(code) in text)
        return next(codes, None) if f"{path}{os.sep}" in text else None
    return None


def _is_below(name: str | bytes | None, path: Path) -> bool:
    """Returns whether an error's file is; one that is written or synchronized has no name there."""
    return name is None or Path(os.path.abspath(os.fsdecode(name))).is_relative_to(os.path.abspath(path))
