"""The gin configuration of a program: parsed, composed, and as text.

TensorFlow and the modules whose names gin files use are imported by `parse`.
"""

import contextlib
import dataclasses
import importlib
import io
import pathlib
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import gin

import tfplastic
from tfplastic._renames.gin_text import Renamer
from tfplastic._text.lines import one_line
from tfplastic.configuration import gin_errors, gin_files, gin_trust, unused
from tfplastic.configuration.composing import composition, members, precedence
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

    A later binding overrides an earlier one (`precedence`), where the file that names the task counts as the
    first, wherever it is given; members add up (`composition`). Names of earlier versions are accepted
    (`gin_files.rename_notes` reports them).

    Args:
        files: names of gin files, looked for from the working directory, then from `gin_files.root()`.
        bindings: gin statements, one each.
        packages: packages of this library whose names may be used.
        trust: the limits of files and bindings.

    Returns:
        Each binding and where it stands, those that others have replaced included, for the functions that
        report errors of later construction.

    Raises:
        UsageError: a file is missing or is not gin; or a name or a parameter is unknown; or a macro or a
            required parameter has no value; or a statement is not trusted, or is of an earlier version and
            cannot be said in today's names.
    """
    sources = gin_files.scan(files, bindings, trust)
    _register_names(packages)
    trust.check_references([(name, each.source) for each in sources for name in each.references])
    gin.clear_config()
    read = _read(files, bindings)
    known = [
        dataclasses.replace(source, key=key, value=value)
        for source, (key, value) in zip(sources, read, strict=True)
    ]
    known = precedence.settle(sorted(known, key=lambda each: not each.is_base))
    known = composition.compose(known)
    for each in known:
        if each.in_force and not members.is_member(each):
            gin.bind_parameter(each.key, each.value)
    with gin_errors.finalizing(known):
        gin.finalize()
    return known


def config_text() -> str:
    """Returns the parsed bindings in force as sorted gin text."""
    return gin.config_str(max_line_length=110)


def operative_text(found: Mapping[str, Any] = MappingProxyType({})) -> str:
    """Returns the values that have been or will be read, defaults included, as sorted gin text.

    Gin counts functions that have been called; functions that are passed on to be called later, such as
    diagnostics, are added with the values of that call.

    Args:
        found: {'name.argument': value}, values that were determined at start-up, in place of gin's.
    """
    operative = gin.config._OPERATIVE_CONFIG
    before = {key: dict(values) for key, values in operative.items()}
    for scope, selector in unused.handed_over():
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
            raise UsageError(f"cannot import {name}: {one_line(error)}. Install it first") from error


def _read(files: Sequence[str], bindings: Sequence[str]) -> list[tuple[tuple[str, str, str], Any]]:
    """Returns the (key, value) of every statement, as gin's parser reads them; binds none."""
    found = []

    def remember(key: Any, value: Any) -> None:
        parsed = gin.config.ParsedBindingKey.parse(key)
        found.append(((parsed.scope, parsed.complete_selector, parsed.arg_name), value))

    renamer = Renamer()
    bind_parameter = gin.config.bind_parameter
    gin.config.bind_parameter = remember
    try:
        with _our_file_lookup(renamer):
            for file in files:
                with gin_errors.parsing(file):
                    gin.parse_config_file(file)
            for binding in bindings:
                with gin_errors.parsing(gin_files.as_flag(binding)):
                    gin.parse_config(renamer(binding).text)
    finally:
        gin.config.bind_parameter = bind_parameter
    return found


@contextlib.contextmanager
def _our_file_lookup(renamer: Renamer) -> Iterator[None]:
    # gin's own lookup of a file that is not in the working directory logs an error and imports its folder.
    def read(name: str) -> io.StringIO:
        path = gin_files.find(name) or name
        return _File(renamer(pathlib.Path(path).read_text(encoding="utf-8-sig")).text, path)

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
