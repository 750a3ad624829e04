"""The error of a run whose directory cannot be written, in one line with the next action."""

import errno
import os
from pathlib import Path

import tensorflow as tf

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EIO, errno.ENOENT)


class CannotWriteError(OSError):
    """A run's directory cannot be written; what was saved before stays, and the message says what to do."""


def explained(error: BaseException, path: Path) -> BaseException:
    """Returns a `CannotWriteError` for an error of writing below `path`; any other error as it is.

    Args:
        error: of Python or of TensorFlow, which writes event files and variables.
        path: run directory.
    """
    if isinstance(error, CannotWriteError):
        return error
    code = _code_of(error, path)
    if code is None:
        return error
    action = "Free some space" if code in _NO_SPACE else "Make it writable"
    resume = "and run the same command again, which resumes from the last checkpoint"
    return CannotWriteError(f"{path} cannot be written: {os.strerror(code)}. {action}, {resume}")


def _code_of(error: BaseException, path: Path) -> int | None:
    if isinstance(error, OSError) and error.errno is not None:
        # A file that is written or synchronised has no name in its error; one that is opened has.
        is_here = error.filename is None or os.path.abspath(path) in os.path.abspath(
            os.fsdecode(error.filename)
        )
        return error.errno if is_here and error.errno in (*_NO_SPACE, *_NOT_ALLOWED) else None
    if isinstance(error, tf.errors.OpError):
        text = str(error)
        here = os.fspath(path) in text
        codes = (code for code in (*_NO_SPACE, *_NOT_ALLOWED) if os.strerror(code) in text)
        return next(codes, None) if here else None
    return None
