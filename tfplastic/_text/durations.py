"""Lengths of time as text, for progress lines and plans."""

import math

UNKNOWN = "-"


def duration(seconds: float | None) -> str:
    """Returns a length of time in its two largest units, '-' for None or a number that is not finite.

    Example:
        >>> from tfplastic._text.durations import duration
        >>> duration(42), duration(200), duration(3800), duration(187200)
        ('42 s', '3 min 20 s', '1 h 03 min', '2 d 04 h')
    """
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    minutes, whole_seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours:02} h"
    if hours:
        return f"{hours} h {minutes:02} min"
    if minutes:
        return f"{minutes} min {whole_seconds:02} s"
    return f"{whole_seconds} s"


def rough_duration(seconds: float | None) -> str:
    """Returns a length of time in one unit, as estimates deserve; '-' as in `duration`.

    Example:
        >>> from tfplastic._text.durations import rough_duration
        >>> [rough_duration(seconds) for seconds in (None, 0.4, 75, 4_000, 90_000, 9e6)]
        ['-', '0 s', '75 s', '67 min', '25.0 h', '104 d']
    """
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    for unit, length, digits in (("s", 1, 0), ("min", 60, 0), ("h", 3_600, 1)):
        if seconds < (48 if unit == "h" else 90) * length:
            return f"{seconds / length:.{digits}f} {unit}"
    return f"{seconds / 86_400:.0f} d"
