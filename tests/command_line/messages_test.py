import logging
import os

from absl import logging as absl_logging

import tfplastic
from tfplastic.command_line import messages


def test_messages_are_plain_lines(capsys):
    before = logging.getLogger().handlers[:], absl_logging.get_verbosity()
    with messages.messages_shown():
        own = {"absl_logging": absl_logging}
        code = "absl_logging.info('stopped at step %d', 3); absl_logging.debug('not shown')"
        exec(
            compile(code, os.path.join(os.path.dirname(tfplastic.__file__), "training", "any.py"), "exec"),
            own,
        )
        absl_logging.info("not shown, because this file is not of the library")
        logging.getLogger("another.library").info("not shown")
        logging.getLogger("another.library").warning("a warning")
    assert capsys.readouterr().err == "stopped at step 3\na warning\n"
    assert (logging.getLogger().handlers, absl_logging.get_verbosity()) == before
