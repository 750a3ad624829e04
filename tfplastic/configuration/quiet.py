"""Holds back messages of TensorFlow and TF-Agents on which no user can act."""

import contextlib
import logging
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator

# TensorFlow's C++ parts log these while they are loaded, whatever TF_CPP_MIN_LOG_LEVEL says: information (I)
# and warnings (W), the heading of both, an error on each machine without an NVIDIA driver, and one on CPUs
# that lack some of oneDNN's operations on integers.
_CHATTER = re.compile(
    r"^[IW]\d{4} .*\n|^WARNING: All log messages before absl::.*\n"
    r"|^E\d{4} .*(failed call to cuInit|oneDNN supports \w+ only on platforms with).*\n",
    re.MULTILINE,
)


@contextlib.contextmanager
def imports_quiet() -> Iterator[None]:
    """Within the block, drops that chatter from standard error; the rest comes out when the block ends.

    Asks TensorFlow for errors only, from here on. Where the environment sets TF_CPP_MIN_LOG_LEVEL, the user
    has chosen the level, and everything is printed.
    """
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        yield
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    # In Python, TensorFlow warns of deprecations that TF-Agents meets,
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    # and Python of its `is ()`, where autograph compiles it again.
    warnings.filterwarnings("ignore", category=SyntaxWarning, module=".*__autograph_generated_file")
    sys.stderr.flush()
    original = os.dup(2)  # The file descriptor, because C++ does not write to sys.stderr.
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
            _compute_integers()
        finally:
            sys.stderr.flush()
            os.dup2(original, 2)
            os.close(original)
            held.seek(0)
            sys.stderr.write(_CHATTER.sub("", held.read().decode(errors="replace")))
            sys.stderr.flush()


def _compute_integers() -> None:
    """Makes TensorFlow, if it is loaded, log its one-time messages now, at the first such operation."""
    tf = sys.modules.get("tensorflow")
    if tf is not None:
        with tf.device("CPU"):
            tf.transpose(tf.ones([2, 2], tf.int32))
