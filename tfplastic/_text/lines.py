"""Text of any shape as one line, which messages to the user are."""


def one_line(text: object) -> str:
    r"""Returns `text` on one line, each run of white space as one blank.

    Args:
        text: Anything that `str` makes text of, such as an error.

    Returns:
        The line, without white space at its ends.

    Example:
        >>> from tfplastic._text import lines
        >>> lines.one_line(ValueError('first\n   second'))
        'first second'
    """
    return " ".join(str(text).split())


def last_line(text: object) -> str:
    r"""Returns the last line of `text` that is not blank, where programs and tracebacks say why they ended.

    Args:
        text: Anything that `str` makes text of.

    Returns:
        The line, without white space at its ends, or '' if there is none.

    Example:
        >>> from tfplastic._text import lines
        >>> lines.last_line('Traceback:\n  somewhere\nValueError: no\n\n')
        'ValueError: no'
    """
    return next((line.strip() for line in reversed(str(text).splitlines()) if line.strip()), "")
