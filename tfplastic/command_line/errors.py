"""The error that a user can act on, as one line."""


class UsageError(ValueError):
    """What was asked for cannot be done: a flag, a gin file, a value, a device or a run directory is wrong.

    Programs print its one line and exit with code 2; a traceback appears only under `--debug`.
    """


def one_line(text: object) -> str:
    r"""`text` on one line, each run of white space as one blank.

    Example:
        >>> from tfplastic.command_line import errors
        >>> errors.one_line(ValueError('first\n   second'))
        'first second'
    """
    return " ".join(str(text).split())
