"""Finds a Python that has the packages: the one that runs, else the one of `.venv` beside `bin/`."""

import importlib.util
import os
import pathlib
import sys
from collections.abc import Sequence

PACKAGES = ("absl", "tensorflow", "tf_agents")


def require_packages(environment: pathlib.Path, packages: Sequence[str] | None = None) -> None:
    """Returns if this Python has the packages, else starts the program again with `environment`'s Python.

    Args:
        environment: a virtual environment, such as `.venv`; it need not exist.
        packages: that the program needs; by default `PACKAGES`.

    Raises:
        SystemExit: with code 2 and one line, if neither Python has them.
    """
    missing = [name for name in packages or PACKAGES if importlib.util.find_spec(name) is None]
    if not missing:
        return
    python = environment / "bin" / "python"
    if python.exists() and pathlib.Path(sys.prefix).resolve() != environment.resolve():
        sys.stdout.flush()
        os.execv(python, [str(python), *sys.argv])
    sys.stderr.write(
        f"{os.path.basename(sys.argv[0])}: error: {sys.executable} lacks {', '.join(missing)}."
        f" `make setup` installs everything into {environment}\n"
    )
    raise SystemExit(2)
