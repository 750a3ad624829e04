"""The gin configuration of a program: parsed, checked that all of it is read, and as text.

TensorFlow and the modules whose names gin files use are imported by `parse`.
"""

import contextlib
import importlib
import io
import pathlib
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import gin

import tfplastic
from tfplastic._gin_renames import Renamer
from tfplastic._lines import one_line
from tfplastic.configuration import gin_errors, gin_files, gin_trust
from tfplastic.configuration.errors import UsageError
from tfplastic.configuration.gin_trust import GinTrust

PACKAGES = (
    "diagnostics",
    "layers",
    "linalg",
    "mitigations",
    "networks",
    "optimizers",
    "probing",
    "rl",
    "tasks",
    "training",
)
"""The packages of this library whose names gin files may use."""


def parse(
    files: Sequence[str],
    bindings: Sequence[str],
    packages: Sequence[str] = PACKAGES,
    trust: GinTrust = gin_trust.USER,
) -> list[gin_files.Binding]:
    """Replaces gin's configuration by that of `files` and, after them, `bindings`.

    Names that have changed since an earlier version are taken (`gin_files.rename_notes` tells of them).

    Args:
        files: names of gin files, looked for from the working directory, then from `gin_files.root()`.
        bindings: gin statements, one each.
        packages: those of this library whose names may be used.
        trust: the limits of files and bindings.

    Returns:
        Where each binding stands, for the functions that report errors of what is built later.

    Raises:
        UsageError: a file is missing or is not gin; or a name or a parameter is unknown; or a macro or a
            required parameter has no value; or a statement is not trusted, or is of an earlier version and
            cannot be said in today's names.
    """
    sources = gin_files.scan(files, bindings, trust)
    _register_names(packages)
    trust.check_references([(name, each.source) for each in sources for name in each.references])
    gin.clear_config()
    renamer = Renamer()
    with _our_file_lookup(renamer):
        for file in files:
            with gin_errors.parsing(file):
                gin.parse_config_file(file)
        for binding in bindings:
            with gin_errors.parsing(gin_files.as_flag(binding)):
                gin.parse_config(renamer(binding).text)
    with gin_errors.finalizing(sources):
        gin.finalize()
    return sources


def check_all_bindings_used(sources: Sequence[gin_files.Binding]) -> None:
    """Checks that all that was parsed has been read, now that all that is configured has been built.

    A binding has been read if its configurable was called, in its scope, and took the value from it; or if a
    binding that has been read hands over the configurable itself (`@name` without parentheses), to be called
    later. A macro has been read if a binding that refers to it has been.

    Args:
        sources: what `parse` returned.

    Raises:
        UsageError: names each binding that nothing has read and where it stands.
    """
    unused = [_describe(key, sources) for key in sorted(_bound() - _read())]
    if unused:
        raise UsageError(f"nothing in this run reads {', '.join(unused)}")


def config_text() -> str:
    """What was parsed, as gin text: the bindings in force, sorted."""
    return gin.config_str(max_line_length=110)


def operative_text(found: Mapping[str, Any] = MappingProxyType({})) -> str:
    """What has been read or will be, defaults included, as gin text, sorted.

    gin counts what has been called; what is handed over to be called later, such as a diagnostic, is added
    with the values it will be called with.

    Args:
        found: {'name.argument': value}, values that were found by looking, in place of what gin has.
    """
    operative = gin.config._OPERATIVE_CONFIG
    before = {key: dict(values) for key, values in operative.items()}
    for scope, selector in _handed_over():
        registered = gin.config._REGISTRY[selector]
        values = gin.config._get_default_configurable_parameter_values(
            registered.wrapped, registered.allowlist, registered.denylist
        )
        for outer in gin_files.enclosing_scopes(scope)[::-1]:
            values |= gin.config._CONFIG.get((outer, selector), {})
        operative[scope, selector] = values | operative.get((scope, selector), {})
    for name, value in found.items():
        selector, _, argument = name.rpartition(".")
        operative["", gin.config._REGISTRY.get_match(selector).selector][argument] = value
    try:
        return gin.operative_config_str(max_line_length=110)
    finally:
        operative.clear()
        operative.update(before)


def _register_names(packages: Sequence[str]) -> None:
    for package in packages:
        name = f"{tfplastic.__name__}.{package}"
        try:
            for module in pkgutil.iter_modules(importlib.import_module(name).__path__):
                importlib.import_module(f"{name}.{module.name}")
        except ImportError as error:
            raise UsageError(f"cannot import {name}: {one_line(error)}") from error


@contextlib.contextmanager
def _our_file_lookup(renamer: Renamer) -> Iterator[None]:
    # gin's own lookup of a file that is not in the working directory logs an error and imports its folder.
    def read(name: str) -> io.StringIO:
        path = gin_files.find(name) or name
        return _File(renamer(pathlib.Path(path).read_text(encoding="utf-8")).text, path)

    readers = gin.config._FILE_READERS
    gin.config._FILE_READERS = [(read, gin_files.find)]
    try:
        yield
    finally:
        gin.config._FILE_READERS = readers


class _File(io.StringIO):
    """The text of a gin file, which gin's errors call by its name."""

    def __init__(self, text: str, name: str):
        super().__init__(text)
        self.name = name


# Below, a binding is (scope, complete name of the configurable, parameter), as in gin's dictionaries.


def _bound() -> set[tuple[str, str, str]]:
    return {(*key, parameter) for key, values in gin.config._CONFIG.items() for parameter in values}


def _read() -> set[tuple[str, str, str]]:
    read = set()
    for (scope, selector), values in gin.config._OPERATIVE_CONFIG.items():
        read |= {_in_force(scope, selector, parameter) for parameter in values}
    for scope, selector in _handed_over():
        for outer in gin_files.enclosing_scopes(scope):
            parameters = gin.config._CONFIG.get((outer, selector), {})
            read |= {_in_force(scope, selector, parameter) for parameter in parameters}
    return read


def _handed_over() -> set[tuple[str, str]]:
    """(scope, complete name) of what is passed on to be called later, and of what that refers to."""
    references = [
        reference
        for values in gin.config._OPERATIVE_CONFIG.values()
        for reference in gin.config.iterate_references(values)
        if not reference.evaluate
    ]
    found: set[tuple[str, str]] = set()
    while references:
        scope, selector = references.pop().config_key
        if (scope, selector) in found:
            continue
        found.add((scope, selector))
        for outer in gin_files.enclosing_scopes(scope):
            for value in gin.config._CONFIG.get((outer, selector), {}).values():
                references += gin.config.iterate_references(value)
    return found


def _in_force(scope: str, selector: str, parameter: str) -> tuple[str, str, str]:
    for outer in gin_files.enclosing_scopes(scope):
        if parameter in gin.config._CONFIG.get((outer, selector), {}):
            return outer, selector, parameter
    return scope, selector, parameter  # A default: no binding.


def _describe(key: tuple[str, str, str], sources: Sequence[gin_files.Binding]) -> str:
    scope, selector, parameter = key
    if selector == "gin.macro":
        outer, _, name = scope.rpartition("/")
        return f"the macro {scope} ({gin_files.source_of(sources, outer, name, '')})"
    name = "/".join([*filter(None, [scope]), gin.config._REGISTRY.minimal_selector(selector)])
    return f"{name}.{parameter} ({gin_files.source_of(sources, scope, selector, parameter)})"
