import logging

from absl import logging as absl_logging

from tfplastic.command_line import messages


def test_messages_are_plain_lines(capsys):
    before = logging.getLogger().handlers[:], absl_logging.get_verbosity()
    with messages.messages_shown():
        absl_logging.info("stopped at step %d", 3)
        absl_logging.debug("not shown")
        logging.getLogger("another.library").info("not shown")
        logging.getLogger("another.library").warning("a warning")
    assert capsys.readouterr().err == "stopped at step 3\na warning\n"
    assert (logging.getLogger().handlers, absl_logging.get_verbosity()) == before
