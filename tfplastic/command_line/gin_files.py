"""Reads gin files for their statements alone: before any name is known, so before TensorFlow is imported.

Finds what can be found without the names: a missing file or include, a loop of includes, a syntax error.
Remembers where each binding stands, for the errors that come later.
"""

import dataclasses
import os
import pathlib
import re
import tokenize
from collections.abc import Iterator, Sequence

from gin import config_parser

import tfplastic
from tfplastic.command_line.errors import UsageError, one_line


@dataclasses.dataclass(frozen=True)
class Binding:
    """A statement `scope/selector.parameter = value`, or `scope/selector = value`: a macro, parameter ''."""

    scope: str
    selector: str
    parameter: str
    source: str
    """Where it stands, such as 'gin/atari_dqn.gin:3' or '--gin_bindings=train.seed = 1'."""


def root() -> pathlib.Path:
    """The directory that holds `gin/`: the repository's root, or the installed package, which has a copy."""
    package = pathlib.Path(tfplastic.__file__).resolve().parent
    return package if (package / "gin").is_dir() else package.parent


def find(name: str) -> str | None:
    """The path of the gin file `name`, in the working directory or else in `root()`; None if in neither."""
    for path in (name, os.path.join(root(), name)):
        if os.path.isfile(path):
            return path
    return None


def scan(files: Sequence[str], bindings: Sequence[str]) -> list[Binding]:
    """All bindings of `files`, of what they include, and of `bindings`, in the order in which gin reads them.

    Args:
        files: names of gin files, looked for from the working directory, then from `root()`.
        bindings: gin statements.

    Raises:
        UsageError: a file is missing or cannot be read, includes itself, or is not gin.
    """
    found: list[Binding] = []
    for name in files:
        found += _scan_file(name, "--gin_file", ())
    for text in bindings:
        found += _scan_text(text, None, ())
    return found


def source_of(bindings: Sequence[Binding], scope: str, selector: str, parameter: str) -> str | None:
    """Where the binding in force stands: of those in the innermost scope the last; None if there is none.

    Args:
        bindings: what `scan` returned.
        scope: the scope of the call, '' for none.
        selector: the name of a configurable, with as many of its modules as are known, or of a macro.
        parameter: the parameter, '' for a macro.
    """
    for outer in enclosing_scopes(scope):
        for binding in reversed(bindings):
            ends = f".{selector}", f".{binding.selector}"
            same_name = ends[0].endswith(ends[1]) or ends[1].endswith(ends[0])
            if same_name and (binding.scope, binding.parameter) == (outer, parameter):
                return binding.source
    return None


def enclosing_scopes(scope: str) -> list[str]:
    """The scopes whose bindings hold in `scope`, the innermost, which wins, first.

    Example:
        >>> from tfplastic.command_line import gin_files
        >>> gin_files.enclosing_scopes('train/evaluation')
        ['train/evaluation', 'train', '']
    """
    parts = scope.split("/") if scope else []
    return ["/".join(parts[:depth]) for depth in range(len(parts), -1, -1)]


def as_flag(binding: str) -> str:
    """How errors name a binding of the command line."""
    return f"--gin_bindings={one_line(binding)}"


def _scan_file(name: str, reader: str, including: tuple[str, ...]) -> Iterator[Binding]:
    path = find(name)
    if path is None:
        places = dict.fromkeys((os.getcwd(), str(root())))
        looked = "" if os.path.isabs(name) else f"; looked in {' and '.join(places)}"
        raise UsageError(f"{reader}: no such file {name!r}{looked}")
    if os.path.realpath(path) in including:
        raise UsageError(f"{reader}: {name!r} includes itself")
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{reader}: cannot read {name!r}: {one_line(error)}") from error
    yield from _scan_text(text, name, (*including, os.path.realpath(path)))


def _scan_text(text: str, file: str | None, including: tuple[str, ...]) -> Iterator[Binding]:
    try:
        # Collected first, so that an error of an included file does not pass through this handler.
        statements = list(config_parser.ConfigParser(text, _AnyName()))
    except (SyntaxError, tokenize.TokenError) as error:
        raise UsageError(_syntax_error(error, text, file)) from error
    for statement in statements:
        source = f"{file}:{statement.location.line_num}" if file else as_flag(text)
        if isinstance(statement, config_parser.IncludeStatement):
            yield from _scan_file(statement.filename, source, including)
        elif isinstance(statement, config_parser.BindingStatement):
            yield Binding(statement.scope, statement.selector, statement.arg_name, source)


def _syntax_error(error: Exception, text: str, file: str | None) -> str:
    message, location = error.args[0], error.args[1]
    # gin gives (file, line, column, text); Python's tokenizer (line, column) or (file, line, column, text).
    line = location[1] if len(location) > 2 else location[0]
    where = f"{file}:{line}" if file else as_flag(text)
    token = re.search(r"Failed to parse token '(.*)'$", message, re.DOTALL)
    if token:
        return (
            f"{where}: {token[1]!r} is no value: strings need quotes, references start with @, macros with %"
        )
    return f"{where}: syntax error: {one_line(message).rstrip('.')}"


class _AnyName(config_parser.ParserDelegate):
    # Takes every reference and macro, because no names are registered yet.

    def configurable_reference(self, scoped_configurable_name, evaluate):
        return None

    def macro(self, macro_name):
        return None
