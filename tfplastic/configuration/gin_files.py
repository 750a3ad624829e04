"""Statements of gin files, read before any name is known, and so before TensorFlow is imported.

Finds errors that can be found without the names: a missing file or include, a loop of includes, a syntax
error. Remembers where each binding stands, for the errors that come later.
"""

import dataclasses
import itertools
import os
import pathlib
import re
import tokenize
from collections.abc import Iterator, Sequence
from typing import Any

from gin import config_parser

import tfplastic
from tfplastic import _renames
from tfplastic._renames.gin_text import Renamer, Translated
from tfplastic._text.lines import one_line
from tfplastic.configuration import gin_trust
from tfplastic.configuration.errors import UsageError
from tfplastic.configuration.gin_trust import GinTrust

_MOST_CHARACTERS = 60  # of a statement in an error


@dataclasses.dataclass(frozen=True)
class Binding:
    """A statement `scope/selector.parameter = value`, or `scope/selector = value`: a macro, parameter ''."""

    scope: str
    selector: str
    parameter: str
    source: str
    """Where it stands, such as 'gin/atari_dqn.gin:3' or '--gin_bindings=train.seed = 1'."""
    references: tuple[str, ...] = dataclasses.field(default=(), compare=False)
    """Names of the configurables that the value refers to, without scopes."""
    renamed: tuple[str, ...] = dataclasses.field(default=(), compare=False)
    """Notes on renamed names in the statement."""
    given: str = dataclasses.field(default="", compare=False)
    """The file that the user gave and that holds or includes it, or the statement of the command line."""
    files: tuple[str, ...] = dataclasses.field(default=(), compare=False)
    """Paths from the given file to the one that holds it; none for a statement of the command line."""
    is_base: bool = dataclasses.field(default=False, compare=False)
    """Whether the given file is that of the task, whose choices all others may replace."""
    key: tuple[str, str, str] = dataclasses.field(default=("", "", ""), compare=False)
    """Scope, complete name and parameter, as in gin's dictionaries; once names are known."""
    value: Any = dataclasses.field(default=None, compare=False)
    """Once names are known."""
    in_force: bool = dataclasses.field(default=True, compare=False)
    """Whether no other statement has taken its place."""
    displaced_by: "Binding | None" = dataclasses.field(default=None, compare=False)
    """The statement of the command line that binds the whole argument to which it would add."""


def root() -> pathlib.Path:
    """Returns the directory that holds `gin/`: the repository's root, or the installed package's copy."""
    package = pathlib.Path(tfplastic.__file__).resolve().parent
    return package if (package / "gin").is_dir() else package.parent


def find(name: str) -> str | None:
    """Returns the path of the gin file `name` in the working directory or `root()`; None if in neither."""
    for path in (name, os.path.join(root(), name)):
        if os.path.isfile(path):
            return path
    return None


def scan(files: Sequence[str], bindings: Sequence[str], trust: GinTrust = gin_trust.USER) -> list[Binding]:
    """Returns all bindings of `files`, their includes, and `bindings`, in the order in which gin reads them.

    Args:
        files: names of gin files, looked for from the working directory, then from `root()`. Its includes
            must lie below its own directory or `root()`.
        bindings: gin statements.
        trust: the limits of them all.

    Raises:
        UsageError: a file is missing or cannot be read, includes itself, is not gin, or has a statement that
            is not trusted; or two files name a task, of which none includes the other.
    """
    found: list[Binding] = []
    renamer = Renamer()
    for name in files:
        roots = [str(root()), os.path.dirname(os.path.abspath(find(name) or name))]
        read = _Scan(trust, roots, renamer).file(name, "--gin_file", ())
        found += [dataclasses.replace(each, given=name) for each in read]
    for text in bindings:
        if all(line.strip() == "" or line.lstrip().startswith("#") for line in text.splitlines()):
            rule = "must be a gin statement, such as 'train.seed = 1'"
            raise UsageError(f"--gin_bindings {rule}. Received: {text!r}")
        read = _Scan(trust, [str(root()), os.getcwd()], renamer).text(text, None, ())
        found += [dataclasses.replace(each, given=as_flag(text)) for each in read]
    _check_one_task(found)
    base = _base(found, files)
    return [dataclasses.replace(each, is_base=bool(each.files) and each.given == base) for each in found]


def rename_notes(bindings: Sequence[Binding]) -> list[str]:
    """Returns a line for each name that has changed since an earlier version.

    Args:
        bindings: result of `scan`.
    """
    return list(dict.fromkeys(f"{each.source}: {note}." for each in bindings for note in each.renamed))


def source_of(bindings: Sequence[Binding], scope: str, selector: str, parameter: str) -> str | None:
    """Returns the place of the binding in force: the last one of the innermost scope; None without one.

    Args:
        bindings: result of `scan`.
        scope: the scope of the call, '' for none.
        selector: the name of a configurable, with as many of its modules as are known, or of a macro.
        parameter: the parameter, '' for a macro.
    """
    for outer in enclosing_scopes(scope):
        for binding in reversed(bindings):
            ends = f".{selector}", f".{binding.selector}"
            same_name = ends[0].endswith(ends[1]) or ends[1].endswith(ends[0])
            is_it = same_name and (binding.scope, binding.parameter) == (outer, parameter)
            if is_it and binding.in_force:
                return binding.source
    return None


def enclosing_scopes(scope: str) -> list[str]:
    """Returns the scopes whose bindings hold in `scope`, the innermost, which wins, first.

    Example:
        >>> from tfplastic.configuration import gin_files
        >>> gin_files.enclosing_scopes('train/evaluation')
        ['train/evaluation', 'train', '']
    """
    parts = scope.split("/") if scope else []
    return ["/".join(parts[:depth]) for depth in range(len(parts), -1, -1)]


def as_flag(binding: str) -> str:
    """Returns the name of a command-line binding in errors."""
    return f"--gin_bindings={one_line(binding)}"


def _base(bindings: Sequence[Binding], files: Sequence[str]) -> str:
    """Returns the first given file that names a task; the first one where none does."""
    tasks = (each.given for each in bindings if each.files and _names_task(each))
    return next(tasks, files[0] if files else "")


def _check_one_task(bindings: Sequence[Binding]) -> None:
    """Refuses a second given file that names a task, unless one of the two includes the other."""
    naming = {each.files[0]: each for each in bindings if each.files and _names_task(each)}
    read = {
        name: {file for each in bindings if each.files[:1] == (name,) for file in each.files}
        for name in naming
    }
    for (one, first), (other, second) in itertools.combinations(naming.items(), 2):
        if one not in read[other] and other not in read[one]:
            places = [
                each.given if each.source.startswith(f"{each.given}:") else f"{each.given} ({each.source})"
                for each in (first, second)
            ]
            text = f"--gin_file: {places[0]} and {places[1]} both name a task, and a run has one"
            raise UsageError(f"{text}. Give one of the two, and the agents, networks and sizes to add to it")


def _names_task(binding: Binding) -> bool:
    return (binding.selector.rpartition(".")[2], binding.parameter) == ("train", "task")


class _Scan:
    """Reader of one file, and of its includes from below `roots`."""

    def __init__(self, trust: GinTrust, roots: Sequence[str], renamer: Renamer):
        self._trust = trust
        self._renamer = renamer
        self._roots = list(dict.fromkeys(roots))

    def file(
        self, name: str, reader: str, including: tuple[str, ...], is_included: bool = False
    ) -> Iterator[Binding]:
        path = find(name)
        if path is None:
            if instead := _renames.gin_files(name):
                raise UsageError(f"{reader}: {name!r} is gone: give {' and '.join(instead)} in its place")
            places = dict.fromkeys((os.getcwd(), str(root())))
            looked = "" if os.path.isabs(name) else f"; looked in {' and '.join(places)}"
            raise UsageError(f"{reader}: no such file {name!r}{looked}. Give its path")
        if is_included:
            self._trust.check_include(path, name, reader, self._roots)
        if os.path.realpath(path) in including:
            raise UsageError(f"{reader}: {name!r} includes itself. Remove this include")
        try:
            text = pathlib.Path(path).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"{reader}: cannot read {name!r}: {one_line(error)}. Give a text file of gin"
            ) from error
        yield from self.text(text, name, (*including, os.path.realpath(path)))

    def text(self, text: str, file: str | None, including: tuple[str, ...]) -> Iterator[Binding]:
        names = _AnyName()
        statements = []
        translated = self._renamer(text)
        for line, reason in translated.refusals:
            raise UsageError(f"{f'{file}:{line}' if file else as_flag(text)}: {reason}")
        try:
            # Collected first, so that an error of an included file does not pass through this handler.
            for statement in config_parser.ConfigParser(translated.text, names):
                statements.append((statement, names.taken()))
        except (SyntaxError, tokenize.TokenError) as error:
            raise UsageError(_syntax_error(error, text, file)) from error
        except (RecursionError, MemoryError) as error:  # from Python's parser
            source = file or as_flag(text[:_MOST_CHARACTERS])
            raise UsageError(f"{source}: a value is nested too deeply. Nest it less") from error
        notes = _by_statement(translated, [statement.location.line_num for statement, _ in statements])
        carried: tuple[str, ...] = ()
        for (statement, references), renamed in zip(statements, notes, strict=True):
            carried += references
            source = f"{file}:{statement.location.line_num}" if file else as_flag(text)
            if isinstance(statement, config_parser.IncludeStatement):
                yield from self.file(statement.filename, source, including, is_included=True)
            elif isinstance(statement, config_parser.ImportStatement):
                self._trust.check_import(statement.module, source)
            elif isinstance(statement, config_parser.BindingStatement):
                scope, selector, argument = statement.scope, statement.selector, statement.arg_name
                yield Binding(scope, selector, argument, source, carried, renamed, files=including)
                carried = ()


def _by_statement(translated: Translated, lines: Sequence[int]) -> list[tuple[str, ...]]:
    """Returns the notes of each statement, from the lines where statements begin."""
    ends = [*lines, len(translated.text)][1:]
    return [
        tuple(text for line, text in translated.notes if start <= line < max(end, start + 1))
        for start, end in zip(lines, ends, strict=True)
    ]


def _syntax_error(error: Exception, text: str, file: str | None) -> str:
    message, location = error.args[0], error.args[1]
    # gin gives (file, line, column, text); Python's tokenizer (line, column) or (file, line, column, text).
    line = location[1] if len(location) > 2 else location[0]
    where = f"{file}:{line}" if file else as_flag(text)
    token = re.search(r"Failed to parse token '(.*)'$", message, re.DOTALL)
    if token:
        return f"{where}: {token[1]!r} is not a value: strings need quotes, references @, macros %"
    return f"{where}: syntax error: {one_line(message).rstrip('.')}"


class _AnyName(config_parser.ParserDelegate):
    """Parser delegate that takes all references and macros, as no names are known yet, and notes them."""

    def __init__(self):
        self._references: list[str] = []

    def configurable_reference(self, scoped_configurable_name, evaluate):
        self._references.append(scoped_configurable_name.rpartition("/")[-1])
        return None

    def macro(self, macro_name):
        return None

    def taken(self) -> tuple[str, ...]:
        """Returns the references since the last call; a block is parsed at once, with its name."""
        found = tuple(self._references)
        self._references.clear()
        return found
