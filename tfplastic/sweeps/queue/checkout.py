"""The checkout that a queue works for: it clones commits of it and commits runs into it."""

import contextlib
import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tfplastic.configuration.errors import UsageError

_PATIENCE_S = 120.0  # with another git process
_BUSY = ("rebase-merge", "rebase-apply", "MERGE_HEAD", "CHERRY_PICK_HEAD", "index.lock")


class Checkout:
    """A git checkout.

    Args:
        directory: anywhere in it.

    Attributes:
        top: its top folder.

    Raises:
        UsageError: it is not in a git checkout.
    """

    def __init__(self, directory: Path):
        found = _git(directory, "rev-parse", "--show-toplevel")
        if found.returncode:
            raise UsageError(
                f"the queue must be in a git checkout: {_last_line(found)}. Received: {directory}"
            )
        self.top = Path(found.stdout.strip())

    def commit_of(self, name: str) -> str:
        """Returns the 40 digits of a commit.

        Raises:
            UsageError: there is no such commit.
        """
        found = _git(self.top, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
        if found.returncode:
            raise UsageError(f"there is no commit {name} in {self.top}. Fetch it, or change the queue's file")
        return found.stdout.strip()

    def file_of(self, commit: str, path: str) -> str:
        """Returns the text of a file as it is in a commit; nothing is checked out.

        Raises:
            UsageError: the commit has no such file.
        """
        found = _git(self.top, "cat-file", "blob", f"{commit}:{path}")
        if found.returncode:
            raise UsageError(f"there is no file {path} in commit {commit[:12]}. Change the queue's file")
        return found.stdout

    def clone(self, commit: str, directory: Path) -> None:
        """Clones a commit into `directory`, unless that has been done; a clone that was cut short is removed.

        Raises:
            UsageError: git failed.
        """
        if directory.exists():
            return
        scratch = directory.with_name(f"{directory.name}.part")
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.parent.mkdir(parents=True, exist_ok=True)
        for arguments in (
            ("clone", "--quiet", "--no-checkout", os.fspath(self.top), os.fspath(scratch)),
            ("-C", os.fspath(scratch), "checkout", "--quiet", "--detach", commit),
        ):
            done = _git(self.top, *arguments)
            if done.returncode:
                text = f"{commit[:12]} cannot be cloned: {_last_line(done)}"
                raise UsageError(f"{text}. Put that right and run the same command again")
        scratch.rename(directory)

    def changed(self, directory: Path) -> list[Path]:
        """Returns the files below `directory` that differ from the commit."""
        done = _git(
            self.top, "status", "--porcelain", "-z", "--untracked-files=all", "--", os.fspath(directory)
        )
        return [self.top / line[3:] for line in done.stdout.split("\0") if len(line) > 3]

    def commit(self, directory: Path, message: str, lock: Path) -> str:
        """Commits the files below `directory` and nothing else, whatever else is staged or changed.

        Waits a while for another git process, a rebase or a merge to end. The file `lock` is locked
        meanwhile, so that a rebase of the checkout can wait for it: `flock LOCK git rebase ...`.

        Returns:
            '' or the reason, in one line, why it is not committed; it can be tried again at any time.
        """
        path, deadline = os.fspath(directory), time.monotonic() + _PATIENCE_S
        while True:
            with _locked(lock):
                why = self._busy_with()
                if not why:
                    done = _git(self.top, "add", "--all", "--", path)
                    if not done.returncode:
                        done = _git(self.top, "commit", "--quiet", f"--message={message}", "--", path)
                    if not done.returncode:
                        return ""
                    why = _last_line(done)
            if time.monotonic() > deadline:
                return why
            time.sleep(1.0)

    def _busy_with(self) -> str:
        for name in _BUSY:
            found = _git(self.top, "rev-parse", "--git-path", name).stdout.strip()
            if found and (self.top / found).exists():
                return f"{name} is in the way"
        return ""


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _git(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # GIT_DIR and the like, as in a hook, would speak of another checkout.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command: Sequence[str] = ("git", "-C", os.fspath(directory), *arguments)
    return subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", errors="replace")


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    return lines[-1].removeprefix("fatal: ") if lines else f"git ended with code {done.returncode}"
