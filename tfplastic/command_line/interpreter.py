"""A Python that has the packages: the one that runs, else the one of `.venv` next to `bin/`."""

import importlib.util
import os
import pathlib
import sys
from collections.abc import Sequence

PACKAGES = ("absl", "tensorflow", "tf_agents")
TRAIN_PACKAGES = ("ale_py", "gymnasium", "tf_agents")
REPORT_PACKAGES = ("matplotlib", "pandas")
_TF_AGENTS = " && pip install --no-deps tf-agents==0.19.0"  # its own requirements conflict with TensorFlow's


def require_packages(environment: pathlib.Path, packages: Sequence[str] | None = None) -> None:
    """Returns if this Python has the packages, else starts the program again with `environment`'s Python.

    Args:
        environment: a virtual environment, such as `.venv`; it need not exist.
        packages: packages that the program needs; by default `PACKAGES`.

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


def require_extras(extra: str, packages: Sequence[str]) -> None:
    """Returns if this Python has the packages of an extra.

    Args:
        extra: name of the extra of `tfplastic` that brings the packages.
        packages: packages that the program needs, by their import names.

    Raises:
        SystemExit: with code 2 and one line with the command that installs them, if one is missing.
    """
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        install = f"pip install 'tfplastic[{extra}]'" + (_TF_AGENTS if extra == "rl" else "")
        program = os.path.basename(sys.argv[0])
        sys.stderr.write(f"{program}: error: {', '.join(missing)} missing. Run: {install}\n")
        raise SystemExit(2)
