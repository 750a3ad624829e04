"""Where a sweep's runs are: a directory, or a URL that fsspec knows."""

import os
import pathlib
from typing import Any

from tfplastic import _renames
from tfplastic.writers import atomic_file


@_renames.accept_old_arguments("RunRoot")
class RunRoot:
    """A directory that all nodes see, or an object store (anything with `://`, even `file://`).

    Args:
        location: a path, taken from the working directory, or a URL.

    Attributes:
        location: the absolute path, or the URL without a last `/`.
        is_remote: whether it is a URL.

    Raises:
        ValueError: if fsspec does not know the URL's protocol, or lacks the package for it.

    Example:
        >>> from tfplastic import sweeps
        >>> root = sweeps.RunRoot('memory://sweeps/fig01')
        >>> root.write('sweep.json', '{}')
        >>> root.read('sweep.json'), root.read('none.json')
        ('{}', None)
    """

    def __init__(self, location: str | os.PathLike[str]):
        text = os.fspath(location)
        self.is_remote = "://" in text
        self.location = text.rstrip("/") if self.is_remote else os.path.abspath(text)
        if self.is_remote:
            self.filesystem, self.path = _filesystem(self.location)

    def read(self, name: str) -> str | None:
        """Returns the text of a file in it, or None; bytes that are not UTF-8 are replaced."""
        try:
            if self.is_remote:
                return self.filesystem.cat_file(f"{self.path}/{name}").decode(errors="replace")
            return pathlib.Path(self.location, name).read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, name: str, text: str) -> None:
        """Writes a file, in one move where it is a directory; folders are made as needed."""
        if self.is_remote:
            self.filesystem.makedirs(f"{self.path}/{name}".rpartition("/")[0], exist_ok=True)
            self.filesystem.pipe_file(f"{self.path}/{name}", text.encode())
            return
        path = pathlib.Path(self.location, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as file:
            file.write(text.encode())

    def of(self, name: str) -> str:
        """Returns the path or the URL of an entry in it."""
        return f"{self.location}/{name}"


def _filesystem(url: str) -> tuple[Any, str]:
    import fsspec  # Here, because a sweep in a directory does without.

    try:
        filesystem, path = fsspec.core.url_to_fs(url)
    except (ValueError, ImportError) as error:
        words = " ".join(str(error).split())
        raise ValueError(f"`run_root` must be a directory or a URL that fsspec knows: {words}") from error
    return filesystem, path.rstrip("/")
