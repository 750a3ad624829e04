"""The file that lists a queue: which experiments, in which order, at which commit."""

import re
from pathlib import Path
from typing import NamedTuple

from tfplastic.configuration.errors import UsageError

_FIGURE = re.compile(r"[a-z0-9_]+")
_COMMIT = re.compile(r"[0-9a-f]{7,40}")


class Entry(NamedTuple):
    """An experiment of the queue.

    Attributes:
        figure: name of the folder next to the queue's file into which its runs are committed.
        experiment: gin file, by its path in the commit.
        commit: commit at which its runs are made.
        arrays: tags whose array files are committed too; `*` stands for anything.
    """

    figure: str
    experiment: str
    commit: str
    arrays: tuple[str, ...]


def read(path: Path) -> list[Entry]:
    """Returns the entries of a queue's file, the most valuable first.

    A line `commit SHA` is of all entries after it, up to the next such line: a later commit for new entries
    leaves the runs of earlier ones as they are. An entry is `FIGURE EXPERIMENT [TAG ...]`. `#` begins a
    comment.

    Raises:
        UsageError: the file is missing, or a line is malformed.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UsageError(
            f"--queue must name a file that can be read: {error.strerror}. Received: {path}"
        ) from error
    entries: list[Entry] = []
    commit = ""
    for number, line in enumerate(lines, start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            if words[0] == "commit":
                commit = _commit(words)
            else:
                entries.append(_entry(words, commit))
        except ValueError as error:
            raise UsageError(f"{path}:{number}: {error}. Received: {line.strip()!r}") from error
    return entries


def _commit(words: list[str]) -> str:
    if len(words) != 2 or not _COMMIT.fullmatch(words[1]):
        raise ValueError("a line `commit SHA` must have 7 to 40 hexadecimal digits")
    return words[1]


def _entry(words: list[str], commit: str) -> Entry:
    if len(words) < 2 or not _FIGURE.fullmatch(words[0]) or not words[1].endswith(".gin"):
        raise ValueError("an entry must be `FIGURE EXPERIMENT [TAG ...]`, such as `fig04 gin/fig04.gin`")
    if not commit:
        raise ValueError("a line `commit SHA` must come before the first entry")
    figure, experiment, *arrays = words
    return Entry(figure, experiment, commit, tuple(arrays))
