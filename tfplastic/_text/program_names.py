"""Names of the programs: `bin/train` in a clone, `tfplastic-train` where the package is installed."""

import os
import re
import sys

_PREFIX = "tfplastic-"
_IN_A_CLONE = re.compile(r"(?<![\w/.])bin/(train|diagnose|sweep|report)\b")


def as_started(text: str) -> str:
    """Returns a text of ours with the programs' names in the form under which this one was started.

    Args:
        text: names programs as in a clone. Not one with words of a user's in it.

    Example:
        >>> import sys
        >>> from tfplastic._text.program_names import as_started
        >>> before, sys.argv = sys.argv, ['/usr/local/bin/tfplastic-train', '--help']
        >>> as_started('bin/diagnose reads runs of bin/train.')
        'tfplastic-diagnose reads runs of tfplastic-train.'
        >>> sys.argv = before
        >>> as_started('bin/diagnose reads runs of bin/train.')
        'bin/diagnose reads runs of bin/train.'
    """
    is_installed = os.path.basename(sys.argv[0]).startswith(_PREFIX)
    return _IN_A_CLONE.sub(rf"{_PREFIX}\1", text) if is_installed else text
