"""The library's log (absl) as plain lines, such as how to resume a stopped run."""

import contextlib
import logging
import os
from collections.abc import Iterator

from absl import logging as absl_logging

import tfplastic

_OWN_DIRECTORY = os.path.dirname(tfplastic.__file__) + os.sep


@contextlib.contextmanager
def messages_shown() -> Iterator[None]:
    """Within the block, this library's messages and others' warnings go to standard error."""
    root = logging.getLogger()
    handlers, verbosity = root.handlers[:], absl_logging.get_verbosity()
    # Plain text in place of absl's own handler, which puts date, process and line before each message.
    handler = logging.StreamHandler()
    handler.addFilter(_is_for_users)
    root.handlers[:] = [handler]
    absl_logging.set_verbosity(absl_logging.INFO)
    try:
        yield
    finally:
        root.handlers[:] = handlers
        absl_logging.set_verbosity(verbosity)


def _is_for_users(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING or record.pathname.startswith(_OWN_DIRECTORY)
