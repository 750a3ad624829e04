"""Commit of this code: the commit of its clone, or of the clone that its wheel was built in.

Nothing of this package is imported, so that `setup.py` can use it, too.
"""

import functools
import json
import os
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

BUILT_FROM = "built_from.json"
"""File next to this module in a wheel: the `Source` of its clone."""

_CODE = ("tfplastic/", "gin/", "bin/")  # where a file that git does not know counts as a change
_GIT_SECONDS = 5.0


class Source(NamedTuple):
    """Where code comes from.

    Attributes:
        commit: 40 hexadecimal digits; None where it is not known.
        tree_changed: whether files differ from that commit or new ones lie among the code; None where it
            cannot be known, such as without git.
    """

    commit: str | None = None
    tree_changed: bool | None = None


@functools.cache
def of_package() -> Source:
    """Returns the source of this package, once for each process. Neither git nor a clone is needed."""
    package = Path(__file__).resolve().parent
    if (package.parent / ".git").exists():
        return of_clone(package.parent)
    try:
        return Source(**json.loads((package / BUILT_FROM).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return Source()


def of_clone(root: Path) -> Source:
    """Returns the source of the tree checked out in `root`, which holds `.git`; about 10 ms."""
    try:
        commit = _head(root)
    except (OSError, ValueError):
        return Source()
    return Source(commit, None if commit is None else _is_changed(root))


def _head(root: Path) -> str | None:
    """Returns the checked out commit by git's files: git may be missing or refuse another user's clone."""
    directory = root / ".git"
    if directory.is_file():  # a worktree or a submodule: "gitdir: <path>"
        directory = root / directory.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
    head = (directory / "HEAD").read_text(encoding="utf-8").strip()
    if not head.startswith("ref:"):
        return _checked(head)
    name = head.removeprefix("ref:").strip()
    common = directory / "commondir"
    shared = directory / common.read_text(encoding="utf-8").strip() if common.exists() else directory
    if (shared / name).exists():
        return _checked((shared / name).read_text(encoding="utf-8").strip())
    packed = (shared / "packed-refs").read_text(encoding="utf-8")
    found = re.search(rf"^([0-9a-f]{{40}}) {re.escape(name)}$", packed, re.MULTILINE)
    return found[1] if found else None


def _checked(commit: str) -> str | None:
    return commit if re.fullmatch("[0-9a-f]{40}", commit) else None


def _is_changed(root: Path) -> bool | None:
    # GIT_DIR and the like would speak of another clone.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "--no-optional-locks", "-C", os.fspath(root), "status", "--porcelain"]
    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_GIT_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return any(line[:2] != "??" or line[3:].startswith(_CODE) for line in done.stdout.splitlines())
