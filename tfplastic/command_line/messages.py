"""Shows what the library logs (absl) as plain lines, such as how to resume a run that was stopped."""

import contextlib
import logging
from collections.abc import Iterator

from absl import logging as absl_logging


@contextlib.contextmanager
def messages_shown() -> Iterator[None]:
    """Within the block, absl's messages from INFO on and others from WARNING on go to standard error."""
    root = logging.getLogger()
    handlers, verbosity = root.handlers[:], absl_logging.get_verbosity()
    # Plain text in place of absl's own handler, which puts date, process and line before each message.
    root.handlers[:] = [logging.StreamHandler()]
    absl_logging.set_verbosity(absl_logging.INFO)
    try:
        yield
    finally:
        root.handlers[:] = handlers
        absl_logging.set_verbosity(verbosity)
