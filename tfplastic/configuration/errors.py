"""The error that a user can act on, as one line."""


class UsageError(ValueError):
    """A request cannot be carried out: a flag, a gin file, a value, a device or a run directory is wrong.

    Programs print its one line and exit with code 2; a traceback appears only under `--debug`.
    """
